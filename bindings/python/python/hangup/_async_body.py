"""A request body that an event loop makes while it is sent."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncGenerator, AsyncIterable


class AsyncBody:
    """An async iterable of bytes as a file: its `read` is called by the library on a thread of its own.

    A task of the loop runs the iterable, with the context of the one that sends, and goes only as far as pieces
    are asked for. `close` ends that task, and whoever waits in `read`.
    """

    def __init__(self, source: AsyncIterable[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._source = source
        self._loop = loop
        self._wanted = asyncio.Event()
        self._made: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._task = loop.create_task(self._make(), name="hangup: a request's body")

    def read(self, room: int, /) -> bytes:
        """The next piece, or none at the end. Raises what the iterable raised."""
        self._loop.call_soon_threadsafe(self._wanted.set)
        while True:
            try:
                made = self._made.get(timeout=1)
                break
            except queue.Empty:
                if self._loop.is_closed():
                    raise RuntimeError("the event loop that makes the request's body was closed") from None
        if isinstance(made, BaseException):
            raise made
        return made  # type: ignore[return-value]  # what it is made of is looked at by the caller

    def close(self) -> None:
        """On the loop's thread. Twice is once."""
        self._task.cancel()

    async def _make(self) -> None:
        try:
            await self._wanted.wait()
            async for piece in self._source:
                if piece != b"":
                    self._wanted.clear()
                    self._made.put(piece)
                    await self._wanted.wait()
            self._made.put(b"")
        except asyncio.CancelledError:
            self._made.put(RuntimeError("the task that makes the request's body was cancelled"))
            raise
        except BaseException as error:
            # Raised to whoever sends.
            self._made.put(error)
        finally:
            # One that was not run to its end is not to wait for the garbage collection.
            if isinstance(self._source, AsyncGenerator):
                await self._source.aclose()
