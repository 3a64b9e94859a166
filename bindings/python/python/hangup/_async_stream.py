"""`AsyncStream`: a connection that a response handed over, for asyncio and trio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from . import _native
from ._loop_binding import running_loop
from ._stream import MAX_READ, BaseStream, as_bytes, read_size

if TYPE_CHECKING:
    from ._async_client import AsyncClient
    from ._errors import RequestInfo


class AsyncStream(BaseStream):
    """A Stream for asyncio and trio: the same connection, whose reads and writes are awaited. Made by
    `AsyncResponse.take_stream`; `async with` closes it.

    One task reads and one writes at a time, also at the same time. If a task is cancelled while it reads or writes, the
    connection is closed, because what was read or sent in that moment is not known. To stop waiting for data without that,
    use `set_timeouts(read=...)`: after ReadTimeout the stream can be read again.
    """

    __slots__ = ("_client",)

    def __init__(self, raw: _native.Stream, request: RequestInfo, client: AsyncClient) -> None:
        super().__init__(raw, request)
        self._client = client

    async def read(self, max_bytes: int = MAX_READ) -> bytes:
        """At least one byte, as soon as there is one; b"" if the peer ended its direction. Raises any RequestError."""
        size = read_size(max_bytes)
        result: bytes = await self._submit(lambda port, future: self._raw.submit_read(size, port, future))
        return result

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends all of the data. Raises any RequestError, and the connection is closed, because a part may have been sent;
        InvalidState after `shutdown_write`."""
        copy = as_bytes(data)
        await self._submit(lambda port, future: self._raw.submit_write(copy, port, future))

    async def shutdown_write(self) -> None:
        """Ends the direction of writing: the peer reads an end, and what it sends can still be read. Does nothing the second
        time."""
        await self._submit(lambda port, future: self._raw.submit_shutdown_write(port, future))

    async def aclose(self) -> None:
        """`close`, which never waits."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    async def _submit(self, submit: Callable[[_native.Port, asyncio.Future[Any]], int]) -> Any:
        loop = running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        binding = self._client._binding(loop)
        tag = submit(binding.port(), future)  # type: ignore[arg-type]  # it is alive
        try:
            return await future
        except BaseException as error:
            if not future.done() or future.cancelled() or future.exception() is not error:
                # The task was cancelled.
                self.close()
                binding.forget(tag, future)
            raise
