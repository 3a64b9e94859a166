"""`AsyncClient`: the verbs that are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any, Self, TypeVar, Unpack

from . import _native
from ._async_body import AsyncBody
from ._async_response import AsyncResponse, OpenAsyncResponse
from ._base import BaseClient, Prepared, RequestOptions
from ._errors import RequestInfo
from ._limits import whole
from ._ports import Place, enter, running_loop
from ._request import Content

R = TypeVar("R", bound=AsyncResponse)


class AsyncRequestOptions(RequestOptions, total=False):
    """RequestOptions, and one kind of body more."""

    content: Content | AsyncIterable[bytes] | None  # type: ignore[misc]  # wider, and only written
    """The body: bytes, text, a path, an open file or an iterable of bytes, plain or asynchronous. An open file and a
    plain iterable are read on a thread of the library's; an asynchronous one by a task of the loop."""


def io_threads(count: int) -> None:
    """How many threads of the library do what an AsyncClient sends, in the whole process: 1 to 64, 1 if nobody says so.

    One is enough for thousands of requests, unless their TLS or decoding keeps it busy. It applies to what is sent from
    then on. Raises InvalidArgument.
    """
    _native.io_threads(whole("io_threads", count))


class AsyncClient(BaseClient):
    """Client for asyncio: the same settings, and the same manager of connections. For any loop in any thread, also several
    at once.

    A request is done by the library's own I/O thread; names, TLS and decoding too, and nothing is ever put on the
    loop's default executor. A task that is cancelled, by `asyncio.timeout`, `asyncio.wait_for` or otherwise, ends
    its exchange at once: the connection is closed, and the task sees CancelledError, never hangup.Cancelled.

    A loop has one descriptor for all its clients, which goes with the loop, or when the last of them is closed.
    A closed client refuses requests; exchanges in progress and idle connections go on.

    It works in trio, too, with anyio over either, and there a task that is cancelled sees trio.Cancelled; but for
    asynchronous request bodies, which need asyncio.
    """

    __slots__ = ("_places",)

    _places: dict[int, Place]

    def _begin(self) -> None:
        self._places = {}

    async def request(self, method: str, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """Sends a request and reads the whole response; see `Client.request`."""
        return await self._whole(method, url, options)

    def stream(self, method: str, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncStream:
        """Sends a request and answers when the response's head is there: `async with client.stream(...) as r:`.

        Leaving the block before the end of the body hangs up: the connection is closed. The total limit
        goes on until the body's end; for long streams set `Timeout(read=...)` instead.
        """
        return AsyncStream(self, method, url, options)

    async def get(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """GET; `options` are those of AsyncRequestOptions."""
        return await self._whole("GET", url, options)

    async def head(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """HEAD; `options` are those of AsyncRequestOptions."""
        return await self._whole("HEAD", url, options)

    async def options(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """OPTIONS; `options` are those of AsyncRequestOptions."""
        return await self._whole("OPTIONS", url, options)

    async def post(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """POST; `options` are those of AsyncRequestOptions."""
        return await self._whole("POST", url, options)

    async def put(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """PUT; `options` are those of AsyncRequestOptions."""
        return await self._whole("PUT", url, options)

    async def patch(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """PATCH; `options` are those of AsyncRequestOptions."""
        return await self._whole("PATCH", url, options)

    async def delete(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """DELETE; `options` are those of AsyncRequestOptions."""
        return await self._whole("DELETE", url, options)

    async def aclose(self) -> None:
        """Refuses every later request. Twice is once."""
        self._closed = True
        for key in list(self._places):
            place = self._places.pop(key, None)
            if place is not None:
                place.leave(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def _whole(self, method: str, url: str, options: AsyncRequestOptions) -> AsyncResponse:
        if hasattr(options.get("content"), "__aiter__"):
            return await self._fed(AsyncResponse, method, url, options, False)
        return await self._sent(AsyncResponse, self._prepare(method, url, **options), False)  # type: ignore[arg-type]

    async def _open(self, method: str, url: str, options: AsyncRequestOptions) -> OpenAsyncResponse:
        if hasattr(options.get("content"), "__aiter__"):
            return await self._fed(OpenAsyncResponse, method, url, options, True)
        return await self._sent(OpenAsyncResponse, self._prepare(method, url, **options), True)  # type: ignore[arg-type]

    async def _fed(
        self, answer: type[R], method: str, url: str, options: AsyncRequestOptions, stream: bool
    ) -> R:
        loop = running_loop()
        if not isinstance(loop, asyncio.AbstractEventLoop):
            raise TypeError("an async iterable as a request's body needs asyncio: in trio use a plain iterable")
        body = AsyncBody(options["content"], loop)  # type: ignore[arg-type]
        try:
            plain: Any = {**options, "content": body}
            return await self._sent(answer, self._prepare(method, url, **plain), stream)
        finally:
            body.close()

    async def _sent(self, answer: type[R], asked: Prepared, stream: bool) -> R:
        loop = running_loop()
        future: asyncio.Future[_native.Response] = loop.create_future()
        place = self._place(loop)
        tag = self._native.submit(*asked, stream, place.port(), future)  # type: ignore[arg-type]  # it lives
        try:
            return answer(await future, RequestInfo(asked[0], asked[1]), self)
        except BaseException:
            # A cancelled task, mostly; what is over is not touched by this.
            place.abandon(tag, future)
            raise

    def _place(self, loop: asyncio.AbstractEventLoop) -> Place:
        place = self._places.get(id(loop))
        if place is None or not place.is_of(loop):
            for key in [key for key, old in list(self._places.items()) if old.port() is None]:
                self._places.pop(key, None)
            place = self._places[id(loop)] = enter(loop, self)
        return place


class AsyncStream:
    """What `AsyncClient.stream` answers: `async with` it to send the request and get the response, of which the
    body is still to be read. Leaving the block hangs up unless the body was read to its end."""

    __slots__ = ("_client", "_method", "_url", "_options", "_response")

    def __init__(self, client: AsyncClient, method: str, url: str, options: AsyncRequestOptions) -> None:
        self._client, self._method, self._url, self._options = client, method, url, options
        self._response: AsyncResponse | None = None

    async def __aenter__(self) -> AsyncResponse:
        self._response = await self._client._open(self._method, self._url, self._options)
        return self._response

    async def __aexit__(self, *exception: object) -> None:
        if self._response is not None:
            self._response.close(polite=False)
