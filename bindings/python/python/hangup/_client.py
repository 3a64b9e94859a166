"""`Client`: defaults over a manager, and the verbs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from . import _native
from ._cancel import CancelToken
from ._cookies import Cookies
from ._errors import InvalidArgument, InvalidState, RequestInfo
from ._limits import Limits, whole, whole_or_none
from ._manager import Address, Manager, Resolver
from ._request import Content, FormData, HeaderFields, QueryParams, body, pairs, with_params
from ._response import OpenResponse, Response
from ._timeouts import UNSET, Seconds, TimeoutLike, clocks, milliseconds

if TYPE_CHECKING:
    import ctypes

Connection = Literal["keep", "close", "fresh"]
"""How long a connection shall live. "keep": for the next request too. "close": it is closed after the body
("Connection: close"). "fresh": an idle one is not used; the new one is kept."""

_MODES = {"keep": 0, "close": 1, "fresh": 2}
_PEM = b"-----BEGIN"


class RequestOptions(TypedDict, total=False):
    """What can be said of one request, by name. All of it may be left out."""

    params: QueryParams | None
    """Added to the URL's query."""
    headers: HeaderFields | None
    """Besides and instead of the client's."""
    content: Content | None
    """The body: bytes, text, a path, an open file or an iterable of bytes."""
    data: FormData | None
    """The body: the fields of a form. A request has only one body."""
    json: Any
    """The body: a value to be written as JSON."""
    timeout: TimeoutLike
    """Over the client's: a Timeout, a total in seconds, or None for no total."""
    cancel: CancelToken | None
    """A token that ends the exchange when it is fired."""
    connection: Connection | None
    """Instead of the client's: "keep", "close" or "fresh"."""
    follow_redirects: bool | None
    """Instead of the client's; True follows as many as the client would, or 10 if it follows none."""
    retries: bool | None
    """Instead of the client's."""
    min_rate: tuple[int, Seconds] | None
    """The slowest a body may come, and the time over which that is measured: (1000, 10) is 1000 bytes a second
    over 10 seconds of waiting. Raises ReadTimeout with the limit "min_rate". Default: none."""


class Client:
    """Sends requests with its own defaults over a manager of connections. For any thread at any time.

    - `base_url`: what a URL without scheme is appended to.
    - `headers`: for every request, unless it has one of the same name.
    - `timeout`: a Timeout, or a total in seconds. Default: see Timeout.
    - `follow_redirects`, `max_redirects`: at most 10 are followed unless it is said otherwise, None: any number.
      301, 302 and 303 become GET (HEAD stays HEAD), 307 and 308 repeat method and body. One that can't be
      followed, or is one too many, raises RedirectRefused.
    - `sensitive_headers`: names of headers that a redirect to another origin must not take along, as it never
      does with Authorization, Cookie and Proxy-Authorization.
    - `retries`: what a kept connection lost is sent again by itself, if that is safe: before the first byte of the
      response, with a body that can be sent again, and if the method is idempotent, the request has an
      Idempotency-Key, or not a byte went out.
    - `cookies`: keeps cookies and sends them; see `Client.cookies`.
    - `decode`: asks for gzip and deflate and decodes such bodies; the headers stay as they came. Nothing is asked
      for if a request has an Accept-Encoding or a Range header of its own.
    - `max_head`: the most bytes that the head of a response may have. Default 65,536.
    - `proxy`: the URL of a proxy (http, https, socks5 or socks5h, with "user:password@" if it wants them); None
      for none; "env", what `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say when the client is made.
    - `no_proxy`: hosts that are reached without a proxy, as a list or separated by commas: "example.org" (itself
      and all below it), addresses, networks ("10.0.0.0/8"), each with ":port" if only that is meant; "*" for
      all. Default: what the environment says, if the proxy is from there.
    - `trust_env`: False is `proxy=None` instead of `proxy="env"`.
    - `local_address`: the IP address of this machine to connect from.
    - `verify`: True, the system's certificates are trusted; a path or PEM (bytes or text), these and no
      others; False, ANY certificate is believed: for tests against throw-away servers.
    - `cert`: certificate and private key, as paths or PEM, for servers that ask; or one for both.
    - `connection`: "keep" (default), "close" or "fresh".
    - `manager`: whose connections are used. Default: the process's own.
    - `limits`, `resolver`: give the client a manager of its own, instead of `manager`: with these Limits, and
      with this callable in place of getaddrinfo (see `Manager.set_resolver`).

    A server behind a Unix-domain socket is named by the socket's path, percent-encoded, in place of the host:
    `client.get("http+unix://%2Frun%2Fapp.sock/path")`.

    A closed client refuses requests; exchanges in progress and idle connections go on (see
    `Manager.close_idle`). Raises InvalidTimeout, InvalidHeader, InvalidArgument, SystemFailure, OSError.
    """

    __slots__ = ("_native", "_base_url", "_manager", "_closed", "_redirects", "__weakref__")

    def __init__(
        self,
        *,
        base_url: str = "",
        headers: HeaderFields | None = None,
        timeout: TimeoutLike = UNSET,
        follow_redirects: bool = True,
        max_redirects: int | None = 10,
        sensitive_headers: Iterable[str] = (),
        retries: bool = True,
        cookies: bool = False,
        decode: bool = True,
        max_head: int | None = None,
        proxy: str | None = "env",
        no_proxy: str | Iterable[str] | None = None,
        trust_env: bool = True,
        local_address: Address | None = None,
        verify: bool | str | bytes | os.PathLike[str] = True,
        cert: str | bytes | os.PathLike[str] | tuple[Any, Any] | None = None,
        connection: Connection = "keep",
        manager: Manager | None = None,
        limits: Limits | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        if limits is not None or resolver is not None:
            if manager is not None:
                raise InvalidArgument(
                    "limits= and resolver= make a manager, and one was given: set manager.limits, or call "
                    "manager.set_resolver"
                )
            manager = Manager(limits)
            if resolver is not None:
                manager.set_resolver(resolver)
        self._native = _native.Client(manager)
        self._base_url = base_url
        self._manager = manager
        self._closed = False
        for which, ms in clocks(timeout):
            self._native.set_timeout(which, ms)
        for name, value in pairs(headers or ()):
            self._native.set_header(name, value)
        if connection != "keep":
            self._native.set_connection(_mode(connection))
        self._redirects = whole_or_none("max_redirects", max_redirects)
        self._native.set_redirects(self._redirects if follow_redirects else 0)
        for name in sensitive_headers:
            self._native.add_sensitive_header(name)
        self._native.set_retries(retries)
        self._native.set_cookies(cookies)
        self._native.set_decode(decode)
        if max_head is not None:
            self._native.set_max_head(whole("max_head", max_head))
        if proxy != "env" or not trust_env:
            self._native.set_proxy(None if proxy == "env" else proxy)
        if no_proxy is not None:
            self._native.set_no_proxy(no_proxy if isinstance(no_proxy, str) else ",".join(no_proxy))
        if local_address is not None:
            self._native.set_local_address(str(local_address))
        _trust(self._native, verify)
        if cert is not None:
            certificate, key = cert if isinstance(cert, tuple) else (cert, cert)
            self._native.set_certificate(_pem(certificate), _pem(key))

    @property
    def manager(self) -> Manager:
        """The manager whose connections are used."""
        if self._manager is None:
            self._manager = Manager.shared()
        return self._manager

    @property
    def cookies(self) -> Cookies:
        """The cookies that are kept, if the client was made with `cookies=True`."""
        return Cookies(self._native)

    def preconnect(self, url: str, connections: int = 1) -> int:
        """Dials ahead, in the background, until so many connections to the URL's origin are idle, within the
        manager's limits; says how many dials it began. What becomes of them is seen in the manager's list and
        events. Raises InvalidURL, InvalidArgument, ManagerShutDown.
        """
        return self._native.preconnect(self._absolute(url), whole("connections", connections))

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Sends a request and reads the whole response. Blocks; the interpreter lock is not held meanwhile.

        Redirects are followed, and what a kept connection lost is sent again, unless the client was made
        otherwise; one total limit spans all of it. The options are those of RequestOptions. Raises any HangupError but
        HTTPStatusError, and what a body raises.
        """
        return Response(*self._send(method, url, False, **options))

    def stream(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Stream:
        """Sends a request and answers when the response's head is there: `with client.stream(...) as r:`.

        Leaving the block before the end of the body hangs up: the connection is closed. The total limit
        goes on until the body's end; for long streams set `Timeout(read=...)` instead.
        """
        return Stream(self, method, url, options)

    def _send(
        self,
        method: str,
        url: str,
        stream: bool,
        *,
        params: QueryParams | None = None,
        headers: HeaderFields | None = None,
        content: Content | None = None,
        data: FormData | None = None,
        json: Any = None,
        timeout: TimeoutLike = UNSET,
        cancel: CancelToken | None = None,
        connection: Connection | None = None,
        follow_redirects: bool | None = None,
        retries: bool | None = None,
        min_rate: tuple[int, Seconds] | None = None,
    ) -> tuple[_native.Response, RequestInfo]:
        if self._closed:
            raise InvalidState("the client was closed")
        url = self._absolute(url)
        if params is not None:
            url = with_params(url, params)
        fields = None if headers is None else pairs(headers)
        payload = None
        if content is not None or data is not None or json is not None:
            payload, kind = body(content, data, json)
            if kind is not None:
                fields = _with_type(fields or [], kind)
        mode = None if connection is None else _mode(connection)
        redirects = None
        if follow_redirects is not None:
            redirects = (self._redirects or 10) if follow_redirects else 0
        rate = None if min_rate is None else _rate(min_rate)
        times = clocks(timeout)
        raw = self._native.send(
            method, url, fields, payload, times, mode, redirects, retries, rate, cancel, stream
        )
        return raw, RequestInfo(method, url)

    def _absolute(self, url: str) -> str:
        if self._base_url and "://" not in url:
            return f"{self._base_url.rstrip('/')}/{url.lstrip('/')}"
        return url

    def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """GET; `options` are those of RequestOptions."""
        return Response(*self._send("GET", url, False, **options))

    def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """HEAD; `options` are those of RequestOptions."""
        return Response(*self._send("HEAD", url, False, **options))

    def options(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """OPTIONS; `options` are those of RequestOptions."""
        return Response(*self._send("OPTIONS", url, False, **options))

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """POST; `options` are those of RequestOptions."""
        return Response(*self._send("POST", url, False, **options))

    def put(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """PUT; `options` are those of RequestOptions."""
        return Response(*self._send("PUT", url, False, **options))

    def patch(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """PATCH; `options` are those of RequestOptions."""
        return Response(*self._send("PATCH", url, False, **options))

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """DELETE; `options` are those of RequestOptions."""
        return Response(*self._send("DELETE", url, False, **options))

    def close(self) -> None:
        """Refuses every later request. Twice is once."""
        self._closed = True

    @property
    def is_closed(self) -> bool:
        """The client was closed."""
        return self._closed

    @property
    def _as_parameter_(self) -> ctypes.c_void_p:
        """The `hangup_client *`, borrowed from this object, for ctypes."""
        import ctypes

        return ctypes.c_void_p(self._native.address)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {'closed' if self._closed else 'open'} {self._base_url}".rstrip() + ">"


class Stream:
    """What `Client.stream` answers: `with` it to send the request and get the response, of which the body is
    still to be read. Leaving the block hangs up unless the body was read to its end."""

    __slots__ = ("_client", "_method", "_url", "_options", "_response")

    def __init__(self, client: Client, method: str, url: str, options: RequestOptions) -> None:
        self._client, self._method, self._url, self._options = client, method, url, options
        self._response: Response | None = None

    def __enter__(self) -> Response:
        self._response = OpenResponse(
            *self._client._send(self._method, self._url, True, **self._options)
        )
        return self._response

    def __exit__(self, *exception: object) -> None:
        if self._response is not None:
            self._response.close(polite=False)


def _mode(connection: str) -> int:
    try:
        return _MODES[connection]
    except (KeyError, TypeError):
        raise InvalidArgument(f"connection is 'keep', 'close' or 'fresh', not {connection!r}") from None


def _rate(min_rate: tuple[int, Seconds]) -> tuple[int, int]:
    rate, window = min_rate
    return whole("min_rate", rate), milliseconds(window, "the window of min_rate")


def _with_type(fields: list[tuple[Any, Any]], kind: str) -> list[tuple[Any, Any]]:
    named = {name.lower() for name, _ in fields}
    return fields if {"content-type", b"content-type"} & named else [*fields, ("content-type", kind)]


def _trust(client: _native.Client, verify: object) -> None:
    if verify is True:
        return
    if verify is False:
        client.trust_anybody()
    elif isinstance(verify, (str, os.PathLike)) and not _is_pem(verify):
        client.set_roots_file(os.fspath(verify))
    elif isinstance(verify, (str, bytes)):
        client.set_roots(_pem(verify))
    else:
        raise TypeError(f"verify is a bool, a path or PEM, not {type(verify).__name__}")


def _is_pem(value: object) -> bool:
    data = value.encode() if isinstance(value, str) else value
    return isinstance(data, bytes) and _PEM in data


def _pem(value: str | bytes | os.PathLike[str]) -> bytes:
    """PEM as it is, or what stands in the file of that name."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and _is_pem(value):
        return value.encode()
    return Path(value).read_bytes()
