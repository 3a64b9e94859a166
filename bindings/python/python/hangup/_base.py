"""What `Client` and `AsyncClient` have in common: the settings, and what can be said of one request."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from . import _native
from ._cancel import CancelToken
from ._cookies import Cookies
from ._deadline import within
from ._errors import InvalidArgument, InvalidState, InvalidURL
from ._limits import Limits, whole, whole_or_none
from ._manager import Address, Manager, Resolver
from ._request import Body, Content, FormData, HeaderFields, QueryParams, body, pairs, with_params
from ._timeouts import TOTAL, UNSET, Seconds, TimeoutLike, clocks, milliseconds
from ._urls import is_absolute, without_user_info

if TYPE_CHECKING:
    import ctypes

Connection = Literal["keep", "close", "fresh"]
"""How long a connection shall live. "keep": for the next request too. "close": it is closed after the body
("Connection: close"). "fresh": an idle one is not used; the new one is kept."""

_MODES = {"keep": 0, "close": 1, "fresh": 2}
_PEM = b"-----BEGIN"

Prepared = tuple[
    str,
    str,
    list[tuple[str | bytes, str | bytes]] | None,
    Body | None,
    tuple[tuple[int, int], ...],
    int | None,
    int | None,
    bool | None,
    tuple[int, int] | None,
    CancelToken | None,
]
"""What `_native` takes: method, URL, headers, body, clocks, mode, redirects, retries, min_rate, cancel."""


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


class BaseClient:
    """The settings, which are told at `Client`, and how a request is made of its options."""

    __slots__ = ("_native", "_base_url", "_manager", "_closed", "_redirects", "_total", "__weakref__")

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
        max_codings: int | None = 2,
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
        self._total = _native.NO_LIMIT
        for which, ms in clocks(timeout):
            self._native.set_timeout(which, ms)
            if which == TOTAL:
                self._total = ms
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
        self._native.set_max_codings(whole_or_none("max_codings", max_codings))
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
        self._begin()

    def _begin(self) -> None:
        """What a kind of client needs besides the settings."""

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

    @property
    def is_closed(self) -> bool:
        """The client was closed."""
        return self._closed

    @property
    def _as_parameter_(self) -> ctypes.c_void_p:
        """The `hangup_client *`, borrowed from this object, for ctypes."""
        import ctypes

        return ctypes.c_void_p(self._native.address)

    def _prepare(
        self,
        method: str,
        url: str,
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
    ) -> Prepared:
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
        times = within(clocks(timeout), self._total, method, url)
        return method, url, fields, payload, times, mode, redirects, retries, rate, cancel

    def _absolute(self, url: str) -> str:
        if not self._base_url or is_absolute(url):
            return url
        if url.startswith("//"):
            what = "it can be read in two ways: with its scheme it names a host, with one slash a path"
            raise InvalidURL(f"{without_user_info(url)!r} is not appended to the base URL: {what}")
        return f"{self._base_url.rstrip('/')}/{url.lstrip('/')}"

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {state} {without_user_info(self._base_url)}".rstrip() + ">"


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
