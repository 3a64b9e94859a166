"""`AsyncUpload`: the body of a request that a task writes piece by piece."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from ._loop_binding import bind, running_loop
from ._stream import as_bytes
from ._upload import BaseUpload


class AsyncUpload(BaseUpload):
    """An Upload for asyncio and trio: a task writes it while another one sends the request.

        upload = hangup.AsyncUpload()
        sent = asyncio.create_task(client.post(url, content=upload))
        async with upload:
            async for row in rows:
                await upload.write(row)
        response = await sent

    If a task is cancelled while it writes, the body is given up.
    """

    __slots__ = ()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Writes all of the data; waits while the buffer is full, for as long as the request has not begun or its timeouts
        allow. Raises as `Upload.write` does."""
        copy = as_bytes(data)
        loop = running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        binding = bind(loop, None)
        port = binding.port()
        tag = self._raw.submit_write(copy, port, future)  # type: ignore[arg-type]  # it is alive
        del port
        try:
            await future
        except BaseException as error:
            if not future.done() or future.cancelled() or future.exception() is not error:
                # The task was cancelled.
                self.abort("the task that wrote it was cancelled")
                binding.forget(tag, future)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(error)
