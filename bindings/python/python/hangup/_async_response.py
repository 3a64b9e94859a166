"""`AsyncResponse`: a response whose body is awaited."""

from __future__ import annotations

import asyncio
import codecs
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from . import _native
from ._errors import InvalidArgument, InvalidState, RequestInfo, TooLarge
from ._limits import whole
from ._manager import NOW
from ._ports import running_loop
from ._response import LineSplitter, Response
from ._timeouts import shown

if TYPE_CHECKING:
    from ._async_client import AsyncClient

_PIECE = 64 * 1024


class AsyncResponse(Response):
    """One response of an AsyncClient. `client.get` and its like answer it with the body read: then all of Response
    can be used. `client.stream` answers it before that, and the body is taken by `aread` or the `aiter` methods.

    One task at a time reads. A task that is cancelled while it waits for a piece hangs up: the connection is
    closed at once. Reading may raise any RequestError; a body that was cut off is never reported as its end.
    """

    __slots__ = ("_native", "_client")

    def __init__(self, raw: _native.Response, request: RequestInfo, client: AsyncClient) -> None:
        super().__init__(raw, request)
        self._native = raw
        self._client = client

    async def aread(self, at_most: int | None = None) -> bytes:
        """Reads the body to its end, keeps it and answers it. The connection is idle before this returns.

        With `at_most`, a body of more bytes, decoded ones, raises TooLarge and hangs up. Raises InvalidState
        if a part was already taken by one of the iterators, and any RequestError.
        """
        if self._content is None and not self._native.ended:
            if self._begun:
                raise InvalidState("a part of the body was already taken by an iterator: it can't be had whole")
            self._content = await self._rest(None if at_most is None else whole("at_most", at_most))
        return super().read(at_most)

    def read(self, at_most: int | None = None) -> bytes:
        """The body, when it is here: after `aread`, and after anything but `client.stream`. Else InvalidState."""
        if self._content is None and not self._native.ended:
            raise InvalidState("the body is not here yet: await response.aread()")
        return super().read(at_most)

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body in pieces, when it is here, as for `read`; else InvalidState: see `aiter_bytes`."""
        if self._content is None and not self._native.ended:
            raise InvalidState("the body is not here yet: use aiter_bytes, or await response.aread() first")
        return super().iter_bytes(chunk_size)

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """The body in pieces: as they come, or of exactly `chunk_size` bytes but for the last one."""
        if chunk_size is not None and chunk_size < 1:
            raise InvalidArgument(f"chunk_size is at least 1, not {shown(chunk_size)}")
        if self._content is not None or self._native.ended and not self._begun:
            return _each(super().iter_bytes(chunk_size))
        return self._apieces() if chunk_size is None else self._achunks(chunk_size)

    async def aiter_text(self) -> AsyncIterator[str]:
        """The body as text, in pieces as they come."""
        decoder = codecs.getincrementaldecoder(self.encoding)(errors="replace")
        async for piece in self.aiter_bytes():
            if text := decoder.decode(piece):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    async def aiter_lines(self) -> AsyncIterator[str]:
        """The lines of the text, without their ends (\\n, \\r\\n or \\r)."""
        lines = LineSplitter()
        async for text in self.aiter_text():
            for line in lines.feed(text):
                yield line
        for line in lines.end():
            yield line

    async def aclose(self) -> None:
        """Hangs up, unless the body was read to its end. Another task's read ends with `Closed`. Never waits."""
        self.close(polite=False)

    async def _apieces(self) -> AsyncIterator[bytes]:
        self._begun = True
        while piece := await self._piece(_PIECE):
            yield piece

    async def _achunks(self, size: int) -> AsyncIterator[bytes]:
        held = bytearray()
        async for piece in self._apieces():
            held += piece
            while len(held) >= size:
                yield bytes(held[:size])
                del held[:size]
        if held:
            yield bytes(held)

    async def _rest(self, at_most: int | None) -> bytes:
        self._begun = True
        pieces, left = [], sys.maxsize if at_most is None else at_most
        while piece := await self._piece(min(_PIECE, left + 1)):
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                self._native.close(NOW)
                error = TooLarge(f"the body has more than {at_most} bytes")
                about = {"phase": "read", "sent": "all", "response_started": True, "request": self.request}
                which = {"connection": self.connection, "reused": self.reused, "attempts": self.attempts}
                error.__setstate__(about | which)
                raise error
        return b"".join(pieces)

    async def _piece(self, room: int) -> bytes:
        loop = running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        place = self._client._place(loop)
        tag = self._native.submit_read(room, place.port(), future)  # type: ignore[arg-type]  # it lives
        try:
            return await future
        except BaseException:
            # A cancelled task, mostly. What has come meanwhile is lost, and with it the body.
            self._native.close(NOW)
            place.abandon(tag, future)
            raise


class OpenAsyncResponse(AsyncResponse):
    """A response of `client.stream`: it says so when it was forgotten open."""

    __slots__ = ()

    def __del__(self) -> None:
        raw = getattr(self, "_native", None)
        if raw is not None and not raw.ended:
            warnings.warn(f"a stream was left open: {self!r}", ResourceWarning, stacklevel=2, source=self)


async def _each(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
