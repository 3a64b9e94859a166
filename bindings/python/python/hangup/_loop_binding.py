"""The port of each event loop: one for each loop, shared by the clients that are used in it.

Only the loop owns a port, as the callback of its descriptor. So a port ends with its loop, or when the last of its
clients is closed and no work is pending. All references here are weak, and no coroutine holds a port while it waits.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

from . import _native
from ._manager import NOW

if TYPE_CHECKING:
    from ._async_client import AsyncClient


class LoopBinding:
    """A loop, its port, and the open clients that use it."""

    __slots__ = ("loop", "port", "clients", "__weakref__")

    def __init__(self, loop: asyncio.AbstractEventLoop, port: _native.Port) -> None:
        self.loop = weakref.ref(loop)
        self.port = weakref.ref(port)
        self.clients: weakref.WeakSet[AsyncClient] = weakref.WeakSet()

    def is_of(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether the port is alive and belongs to this loop: a new loop may have the id of an old one."""
        return self.loop() is loop and self.port() is not None

    def forget(self, tag: int, future: asyncio.Future[Any]) -> None:
        """Cancels work whose task no longer waits for it. A response that has arrived already is closed now: the traceback
        of the exception that ended the task may keep its future alive for long."""
        port = self.port()
        if port is not None:
            port.forget(tag)
        if future.done() and not future.cancelled() and future.exception() is None:
            response = future.result()
            if isinstance(response, _native.Response):
                response.close(NOW)

    def keep_open(self) -> None:
        """Keeps the port open while no work is pending."""
        port = self.port()
        if port is not None:
            port.on_idle(None)

    def remove_client(self, client: AsyncClient) -> None:
        """The client was closed. Threads: any."""
        self.clients.discard(client)
        loop = self.loop()
        if loop is not None and not self.clients:
            try:
                loop.call_soon_threadsafe(self.close_when_idle)
            except RuntimeError:
                pass  # the loop is closed, and the port with it

    def close_when_idle(self) -> None:
        """Closes the port as soon as no work is pending, if there is no open client. Threads: the loop's only."""
        port = self.port()
        if port is not None and not self.clients:
            port.on_idle(self._end)

    def _end(self) -> None:
        loop, port = self.loop(), self.port()
        if loop is not None and port is not None:
            loop.remove_reader(port.fileno())


def running_loop() -> asyncio.AbstractEventLoop:
    """The running loop of asyncio, or its substitute in trio. Raises RuntimeError outside of both."""
    if "trio" in sys.modules:
        # First: asyncio's loop may be the host of trio's, and then it runs, too.
        from ._trio import running_loop as trio_loop

        loop = trio_loop()
        if loop is not None:
            return loop  # type: ignore[return-value]  # it has the methods that are used
    return asyncio.get_running_loop()


class _Turn:
    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


_TURN = _Turn()


def turn() -> Awaitable[None]:
    """Lets the other tasks of the running loop run. Raises if the task was cancelled."""
    if "trio" in sys.modules:
        from ._trio import turn as trio_turn

        other = trio_turn()
        if other is not None:
            return other
    return _TURN


_bindings: dict[int, LoopBinding] = {}


def bind(loop: asyncio.AbstractEventLoop, client: AsyncClient | None) -> LoopBinding:
    """The binding of the running loop, with the client added to it. Without a client the port may end when the work is done."""
    binding = _bindings.get(id(loop))
    if binding is None or not binding.is_of(loop):
        for key in [key for key, old in list(_bindings.items()) if old.port() is None]:
            _bindings.pop(key, None)
        port = _native.Port()
        binding = _bindings[id(loop)] = LoopBinding(loop, port)
        loop.add_reader(port.fileno(), port.drain)
    if client is None or client.is_closed:  # an upload is written, or a response of a closed client is read
        loop.call_soon(binding.close_when_idle)
    else:
        binding.clients.add(client)
        binding.keep_open()
    return binding
