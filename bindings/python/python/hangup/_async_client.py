"""`AsyncClient`: the client for asyncio and trio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable
from typing import Any, Self, TypeVar, Unpack

from . import _native
from ._async_body import AsyncBody
from ._async_response import AsyncResponse, OpenAsyncResponse
from ._auth import NativeAuth, in_loop, is_async
from ._base import BaseClient, Prepared, download_options
from ._errors import RequestInfo
from ._limit_values import non_negative_int
from ._loop_binding import LoopBinding, bind, running_loop
from ._options import RequestOptions
from ._request import Content
from ._timeouts import UNSET

R = TypeVar("R", bound=AsyncResponse)


class AsyncRequestOptions(RequestOptions, total=False):
    """RequestOptions, and asynchronous bodies."""

    content: Content | AsyncIterable[bytes] | None  # type: ignore[misc]  # wider, and only written
    """The body: bytes, text, a path, an open file, an AsyncUpload, or an iterable or async iterable of bytes. An open file and an
    iterable are read on a thread of the library, an async iterable by a task of the loop."""


def set_io_threads(count: int) -> None:
    """Sets how many I/O threads of the process run submitted requests: 1 to 64. Default 1.

    The requests of an AsyncClient run on the thread of its event loop, unless the environment variable HANGUP_ENGINE is
    "threads"; so this is for requests that other programming languages submit in the same process. Applies to later requests.
    Raises InvalidArgument.
    """
    _native.set_io_threads(non_negative_int("io_threads", count))


class AsyncClient(BaseClient):
    """A Client for asyncio, with the same settings and managers. Threads: any; several event loops may use it at once.

    The thread of the event loop runs the requests in short turns, with TLS and decoding, without the interpreter lock; if the
    loop is blocked for more than 10 to 20 milliseconds, a thread of the library continues them. Nothing runs on the loop's
    default executor. Cancelling a task, with `asyncio.timeout`, `asyncio.wait_for` or otherwise, ends its exchange at
    once: the connection is closed, and the task raises CancelledError, never hangup.Cancelled.

    Each loop has one file descriptor to watch for all clients, which is closed with the loop or with the last client. A closed
    client refuses requests; exchanges in progress continue, and idle connections stay open.

    It also works in trio, and with anyio over either; there a cancelled task raises trio.Cancelled. Async iterables as
    request bodies need asyncio.
    """

    __slots__ = ("_bindings", "_async_auth")

    _bindings: dict[int, LoopBinding]

    _async_auth: NativeAuth | None
    """Credentials that run in the loop of each request."""

    def _set_up(self) -> None:
        self._bindings = {}
        if not hasattr(self, "_async_auth"):
            self._async_auth = None

    def _set_auth(self, auth: NativeAuth) -> None:
        if is_async(auth):
            self._async_auth = auth
        else:
            super()._set_auth(auth)

    def _request_auth(self, auth: object) -> NativeAuth | None:
        own = self._async_auth if auth is UNSET else super()._request_auth(auth)
        return in_loop(own, running_loop()) if own is not None and is_async(own) else own

    async def request(self, method: str, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """Sends a request and reads the whole response; see `Client.request`."""
        return await self._request(method, url, options)

    def stream(self, method: str, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncStreamBlock:
        """Sends a request and returns when the response head has arrived: `async with client.stream(...) as r:`.

        Leaving the block before the end of the body closes the connection. The total timeout includes the body; for
        long streams set `Timeout(read=...)` instead.
        """
        return AsyncStreamBlock(self, method, url, options)

    async def get(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """GET; `options` are those of AsyncRequestOptions."""
        return await self._request("GET", url, options)

    async def head(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """HEAD; `options` are those of AsyncRequestOptions."""
        return await self._request("HEAD", url, options)

    async def options(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """OPTIONS; `options` are those of AsyncRequestOptions."""
        return await self._request("OPTIONS", url, options)

    async def post(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """POST; `options` are those of AsyncRequestOptions."""
        return await self._request("POST", url, options)

    async def put(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """PUT; `options` are those of AsyncRequestOptions."""
        return await self._request("PUT", url, options)

    async def patch(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """PATCH; `options` are those of AsyncRequestOptions."""
        return await self._request("PATCH", url, options)

    async def delete(self, url: str, **options: Unpack[AsyncRequestOptions]) -> AsyncResponse:
        """DELETE; `options` are those of AsyncRequestOptions."""
        return await self._request("DELETE", url, options)

    async def download(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        method: str = "GET",
        resume: bool = True,
        resumes: int = 0,
        max_bytes: int | None = None,
        sync: bool = True,
        **options: Unpack[RequestOptions],
    ) -> AsyncResponse:
        """Sends a request and writes the body of its response to a file; see `Client.download`. Threads of the library
        write the file. If the task is cancelled, what came is kept for the next call."""
        prepared = self._prepare(method, url, **options)
        how, name = download_options(max_bytes, resumes, resume, sync), os.fsencode(path)
        loop = running_loop()
        future: asyncio.Future[_native.Response] = loop.create_future()
        binding = self._binding(loop)
        tag = self._native.submit_download(prepared, name, how, binding.port(), future)  # type: ignore[arg-type]
        try:
            return AsyncResponse(await future, RequestInfo(method, prepared[1]), self)
        except BaseException:
            # Usually a cancelled task.
            binding.forget(tag, future)
            raise

    async def connect(self, proxy: str, target: str, /, **options: Unpack[RequestOptions]) -> AsyncResponse:
        """CONNECT: asks the HTTP proxy with that URL for a tunnel to a host and a port; see `Client.connect`. After a success
        (2xx), `response.take_stream()` returns an AsyncStream."""
        prepared = self._prepare("CONNECT", proxy, tunnel=target, **options)
        return await self._submit(AsyncResponse, prepared, False)

    async def aclose(self) -> None:
        """Makes every later request raise InvalidState. Does nothing the second time."""
        self._closed = True
        for key in list(self._bindings):
            binding = self._bindings.pop(key, None)
            if binding is not None:
                binding.remove_client(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def _request(self, method: str, url: str, options: AsyncRequestOptions) -> AsyncResponse:
        if hasattr(options.get("content"), "__aiter__"):
            return await self._send_async_body(AsyncResponse, method, url, options, False)
        return await self._submit(AsyncResponse, self._prepare(method, url, **options), False)  # type: ignore[arg-type]

    async def _open(self, method: str, url: str, options: AsyncRequestOptions) -> OpenAsyncResponse:
        if hasattr(options.get("content"), "__aiter__"):
            return await self._send_async_body(OpenAsyncResponse, method, url, options, True)
        return await self._submit(OpenAsyncResponse, self._prepare(method, url, **options), True)  # type: ignore[arg-type]

    async def _send_async_body(
        self, response_type: type[R], method: str, url: str, options: AsyncRequestOptions, stream: bool
    ) -> R:
        loop = running_loop()
        if not isinstance(loop, asyncio.AbstractEventLoop):
            raise TypeError("an async iterable as a request's body needs asyncio: in trio use a plain iterable")
        body = AsyncBody(options["content"], loop)  # type: ignore[arg-type]
        try:
            plain: Any = {**options, "content": body}
            return await self._submit(response_type, self._prepare(method, url, **plain), stream)
        finally:
            body.close()

    async def _submit(self, response_type: type[R], prepared: Prepared, stream: bool) -> R:
        loop = running_loop()
        future: asyncio.Future[_native.Response] = loop.create_future()
        binding = self._binding(loop)
        tag = self._native.submit(prepared, stream, binding.port(), future)  # type: ignore[arg-type]  # it is alive
        try:
            response = response_type(await future, RequestInfo(prepared[0], prepared[1]), self)
        except BaseException:
            # Usually a cancelled task. This does nothing to an exchange that is complete.
            binding.forget(tag, future)
            raise
        if not stream and not response._native.ended:
            await response._read_large()
        return response

    def _binding(self, loop: asyncio.AbstractEventLoop) -> LoopBinding:
        binding = self._bindings.get(id(loop))
        if binding is None or not binding.is_of(loop):
            for key in [key for key, old in list(self._bindings.items()) if old.port() is None]:
                self._bindings.pop(key, None)
            binding = self._bindings[id(loop)] = bind(loop, self)
        return binding


class AsyncStreamBlock:
    """The result of `AsyncClient.stream`: an `async with` block sends the request and gets the response with an unread
    body. Leaving the block closes the connection unless the body was read to its end."""

    __slots__ = ("_client", "_method", "_url", "_options", "_response")

    def __init__(self, client: AsyncClient, method: str, url: str, options: AsyncRequestOptions) -> None:
        self._client, self._method, self._url, self._options = client, method, url, options
        self._response: AsyncResponse | None = None

    async def __aenter__(self) -> AsyncResponse:
        self._response = await self._client._open(self._method, self._url, self._options)
        return self._response

    async def __aexit__(self, *exception: object) -> None:
        if self._response is not None:
            self._response.close(now=True)
