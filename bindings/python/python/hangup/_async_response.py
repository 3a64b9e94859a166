"""`AsyncResponse`: a response whose body is read with `await`."""

from __future__ import annotations

import asyncio
import codecs
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from . import _native
from ._errors import InvalidArgument, InvalidState, RequestInfo, TooLarge
from ._limit_values import non_negative_int
from ._manager import NOW
from ._loop_binding import running_loop, turn
from ._async_stream import AsyncStream
from ._response import BROKEN, MAX_PIECE, ByteChunker, LineSplitter, Response
from ._timeouts import short_repr

if TYPE_CHECKING:
    from ._async_client import AsyncClient


# How much is waited for of a body that is read as a whole: the rest is read into its place.
WAITED = 64 * 1024
# What a smaller piece counts as.
MIN_COUNTED = 16 * 1024


class AsyncResponse(Response):
    """One response of an AsyncClient. `client.get` and the other verbs return it with its body: then all methods of
    Response can be used. `client.stream` returns it before the body is read, with `aread` or the `aiter` methods.

    One task at a time reads. If a task is cancelled while it reads, the connection is closed at once. Reading may raise
    any RequestError; a body that was cut off is never reported as complete.
    """

    __slots__ = ("_native", "_client", "_since_turn")

    def __init__(self, raw: _native.Response, request: RequestInfo, client: AsyncClient) -> None:
        super().__init__(raw, request)
        self._native = raw
        self._client = client
        self._since_turn = 0

    async def aread(self, at_most: int | None = None) -> bytes:
        """Reads the body to its end, stores it and returns it. The connection is idle before this returns.

        A body of more than `at_most` decoded bytes raises TooLarge, and the connection is closed. Default: the client's
        `max_body`. Raises InvalidState if an iterator has read a part of it, and any RequestError.
        """
        if self._content is None and not self._native.ended:
            if self._started:
                raise InvalidState("an iterator has already taken a part of the body, so the whole body is not available")
            self._content = await self._read_rest(None if at_most is None else non_negative_int("at_most", at_most))
        return super().read(at_most)

    def read(self, at_most: int | None = None) -> bytes:
        """The body after `aread`, and of every response but that of `client.stream`; otherwise raises InvalidState."""
        if self._content is None and not self._native.ended:
            raise InvalidState("the body was not read yet: await response.aread()")
        return super().read(at_most)

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body in pieces, under the condition of `read`; otherwise raises InvalidState: use `aiter_bytes`."""
        if self._content is None and not self._native.ended:
            raise InvalidState("the body was not read yet: use aiter_bytes, or await response.aread() first")
        return super().iter_bytes(chunk_size)

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """The body in pieces: as they arrive, or of exactly `chunk_size` bytes except for the last one."""
        if chunk_size is not None and chunk_size < 1:
            raise InvalidArgument(f"chunk_size is at least 1, not {short_repr(chunk_size)}")
        if self._content is not None or self._native.ended and not self._started:
            return _aiter(super().iter_bytes(chunk_size))
        return self._aiter_pieces(ByteChunker(chunk_size))

    def iter_raw(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Raises InvalidState: use `aiter_raw`."""
        raise InvalidState("the body of an AsyncResponse is read with await: use aiter_raw")

    def aiter_raw(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """The body as it arrives, in pieces as `aiter_bytes` has them, its content codings not undone.

        For a response of `client.stream` of which nothing was read; raises InvalidState otherwise.
        """
        if chunk_size is not None and chunk_size < 1:
            raise InvalidArgument(f"chunk_size is at least 1, not {short_repr(chunk_size)}")
        self._begin_raw()
        return self._aiter_pieces(ByteChunker(chunk_size))

    async def aiter_text(self) -> AsyncIterator[str]:
        """The body as text, in pieces as they arrive."""
        decoder = codecs.getincrementaldecoder(self.encoding)(errors="replace")
        try:
            async for piece in self.aiter_bytes():
                if text := decoder.decode(piece):
                    yield text
        except BROKEN:
            # What came before the error comes first.
            if text := decoder.decode(b"", final=True):
                yield text
            raise
        if text := decoder.decode(b"", final=True):
            yield text

    async def aiter_lines(self) -> AsyncIterator[str]:
        """The lines of the text, without their ends (\\n, \\r\\n or \\r)."""
        lines = LineSplitter()
        try:
            async for text in self.aiter_text():
                for line in lines.feed(text):
                    yield line
        except BROKEN:
            # What came before the error comes first.
            for line in lines.end():
                yield line
            raise
        for line in lines.end():
            yield line

    def take_stream(self) -> AsyncStream:  # type: ignore[override]  # its methods are awaited
        """Takes the connection, if the response hands it over; see `Response.take_stream`."""
        return AsyncStream(self._native.take_stream(), self.request, self._client)

    async def aclose(self) -> None:
        """Closes the connection unless the body was read to its end. A read in another task raises `Closed`. Never waits."""
        self.close(now=True)

    async def _aiter_pieces(self, chunker: ByteChunker) -> AsyncIterator[bytes]:
        self._started = True
        try:
            while piece := await self._read_chunk(MAX_PIECE):
                for chunk in chunker.feed(piece):
                    yield chunk
        except BROKEN:
            # What came before the error comes first.
            for chunk in chunker.end():
                yield chunk
            raise
        for chunk in chunker.end():
            yield chunk

    async def _read_rest(self, at_most: int | None) -> bytes:
        self._started = True
        bound, of = (self._client._max_body, "max_body") if at_most is None else (at_most, "at_most")
        left = self._native.left
        if left is not None and bound is not None and left > bound:
            raise self._too_large(bound, of)
        whole = self._native.begin_whole()
        if whole is not None:
            return await self._read_whole(whole)
        pieces, remaining = [], sys.maxsize if bound is None else bound
        while piece := await self._read_chunk(min(MAX_PIECE, remaining + 1)):
            pieces.append(piece)
            remaining -= len(piece)
            if remaining < 0:
                raise self._too_large(bound, of)
        return b"".join(pieces)

    async def _read_large(self) -> None:
        """Reads a body that the library has left to be read, because it is large."""
        self._content = await self._read_rest(sys.maxsize)

    async def _read_whole(self, whole: _native.Whole) -> bytes:
        """Reads the body into its `bytes` object. What is waited for is a small piece, which is copied."""
        ended: bool | None = False
        while not ended:
            await self._give_turn()
            ended = self._native.fill(whole)
            if ended is None:
                ended = self._native.add(whole, await self._wait_for_piece(WAITED))
        return whole.content()

    def _too_large(self, bound: int | None, of: str) -> TooLarge:
        self._native.close(NOW)
        error = TooLarge(f"the body is larger than the {bound} bytes that {of} allows: iterate over it, or raise that bound")
        about = {"phase": "read", "sent": "all", "response_started": True, "request": self.request}
        which = {"connection": self.connection, "reused": self.reused, "attempts": self.attempts}
        error.__setstate__(about | which)
        return error

    async def _read_chunk(self, room: int) -> bytes:
        if self._since_turn >= MAX_PIECE:
            await self._give_turn()
        piece = self._native.read_available(room)
        if piece is None:
            return await self._wait_for_piece(room)
        # Small pieces count as larger ones, as each takes some time.
        self._since_turn += max(len(piece), MIN_COUNTED)
        return piece

    async def _give_turn(self) -> None:
        """Lets other tasks run, as data that is always there would keep them waiting."""
        self._since_turn = 0
        try:
            await turn()
        except BaseException:
            # The task was cancelled while it read.
            self._native.close(NOW)
            raise

    async def _wait_for_piece(self, room: int) -> bytes:
        self._since_turn = 0
        loop = running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        binding = self._client._binding(loop)
        tag = self._native.submit_read(room, binding.port(), future)  # type: ignore[arg-type]  # it is alive
        try:
            return await future
        except BaseException:
            # Usually a cancelled task. A piece that has arrived meanwhile is lost, so the body can't be continued.
            self._native.close(NOW)
            binding.forget(tag, future)
            raise


class OpenAsyncResponse(AsyncResponse):
    """A response of `AsyncClient.stream`, which warns if it is deleted before it is closed."""

    __slots__ = ()

    def __del__(self) -> None:
        raw = getattr(self, "_native", None)
        if raw is not None and not raw.ended:
            warnings.warn(f"a stream was left open: {self!r}", ResourceWarning, stacklevel=2, source=self)


async def _aiter(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
