"""The methods of an asyncio event loop and future that this package uses, for trio.

Imported only if trio is imported. A system task of trio waits for the port's descriptor, and ends with the run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

import trio


class Loop:
    """One run of trio, with the methods of an asyncio loop."""

    __slots__ = ("_token", "_readers", "__weakref__")

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._readers: dict[int, trio.CancelScope] = {}

    def create_future(self) -> Future:
        return Future()

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        scope = self._readers[fd] = trio.CancelScope()
        trio.lowlevel.spawn_system_task(_read, fd, callback, scope, name="hangup: completions")

    def remove_reader(self, fd: int) -> None:
        self._readers.pop(fd).cancel()

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> None:
        """Raises RuntimeError (trio.RunFinishedError) after the run."""
        self._token.run_sync_soon(callback, *args)

    call_soon = call_soon_threadsafe


class Future:
    """A result that one task waits for."""

    __slots__ = ("_task", "_done", "_value", "_error")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None

    def set_result(self, value: object) -> None:
        self._value = value
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._finish()

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return False

    def exception(self) -> BaseException | None:
        return self._error

    def result(self) -> Any:
        return self._value

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._done:
            self._task = trio.lowlevel.current_task()
            yield from trio.lowlevel.wait_task_rescheduled(self._abort).__await__()
        if self._error is not None:
            raise self._error
        return self._value

    def _finish(self) -> None:
        self._done = True
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


_running: trio.lowlevel.RunVar[Loop] = trio.lowlevel.RunVar("hangup.loop")


def running_loop() -> Loop | None:
    """The loop of the current run; None outside of a task of trio's."""
    if not trio.lowlevel.in_trio_task():
        return None
    try:
        return _running.get()
    except LookupError:
        loop = Loop()
        _running.set(loop)
        return loop


def turn() -> Awaitable[None] | None:
    """See `_loop_binding.turn`; None outside of a task of trio's."""
    return trio.lowlevel.checkpoint() if trio.lowlevel.in_trio_task() else None


async def _read(fd: int, callback: Callable[[], object], scope: trio.CancelScope) -> None:
    with scope:
        while True:
            await trio.lowlevel.wait_readable(fd)
            callback()
