"""A request body that a task of the event loop makes while it is sent."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncGenerator, AsyncIterable


class AsyncBody:
    """An async iterable of bytes as a file object, whose `read` the library calls on one of its threads.

    A task of the loop runs the iterable, in the context of the sending task, one piece for each `read`. `close`
    cancels that task and ends a blocked `read`.
    """

    def __init__(self, source: AsyncIterable[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._source = source
        self._loop = loop
        self._demand = asyncio.Event()
        self._pieces: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._task = loop.create_task(self._run(), name="hangup: a request's body")

    def read(self, room: int, /) -> bytes:
        """The next piece; empty at the end. Raises the exception of the iterable."""
        self._loop.call_soon_threadsafe(self._demand.set)
        while True:
            try:
                piece = self._pieces.get(timeout=1)
                break
            except queue.Empty:
                if self._loop.is_closed():
                    raise RuntimeError("the event loop that makes the request's body was closed") from None
        if isinstance(piece, BaseException):
            raise piece
        return piece  # type: ignore[return-value]  # the caller checks the type

    def close(self) -> None:
        """Cancels the task. Threads: the loop's only. Does nothing the second time."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._demand.wait()
            async for piece in self._source:
                if piece != b"":
                    self._demand.clear()
                    self._pieces.put(piece)
                    await self._demand.wait()
            self._pieces.put(b"")
        except asyncio.CancelledError:
            self._pieces.put(RuntimeError("the task that makes the request's body was cancelled"))
            raise
        except BaseException as error:
            # `read` raises it on the sending thread.
            self._pieces.put(error)
        finally:
            # Closed now: the garbage collector would close an unfinished generator at some later time.
            if isinstance(self._source, AsyncGenerator):
                await self._source.aclose()
