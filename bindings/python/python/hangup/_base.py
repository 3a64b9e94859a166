"""The settings and the request options that `Client` and `AsyncClient` share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from . import _native
from ._auth import AuthTypes, NativeAuth, native_auth
from ._cancel import CancelToken
from ._deadline import _deadline_at, within_deadline
from ._errors import InvalidArgument, InvalidState, InvalidURL
from ._limit_values import limit_value, non_negative_int
from ._manager import Address, Manager, Resolver
from ._form import FormFiles
from ._progress import Progress
from ._network import AddressFamily, Connector, ConnectTo, set_network
from ._request import (
    Body,
    Content,
    FormData,
    HeaderFields,
    HeaderPair,
    QueryParams,
    encode_body,
    header_pairs,
    with_params,
)
from ._timeouts import TOTAL, UNSET, Seconds, TimeoutLike, Unset, milliseconds, timeout_pairs
from ._tls import TLS, Cert, Verify, client_tls, request_tls
from ._trace import Trace, set_trace
from ._urls import is_absolute, without_user_info

if TYPE_CHECKING:
    import ctypes

    from ._cookies import Cookies
    from ._limits import Limits
    from ._retry import RetryPolicy

Connection = Literal["keep", "close", "fresh"]
"""How a request uses connections. "keep": it may use an idle connection, which is kept afterwards. "close": its
connection is closed after the body ("Connection: close"). "fresh": it opens a new connection, which is kept."""

_MODES = {
    "keep": _native.CONSTANTS["HANGUP_CONNECTION_MODE_KEEP"],
    "close": _native.CONSTANTS["HANGUP_CONNECTION_MODE_CLOSE_AFTER"],
    "fresh": _native.CONSTANTS["HANGUP_CONNECTION_MODE_FRESH"],
}
DEFAULT_MAX_BODY = 256 * 1024 * 1024

Bare = tuple[str, str]
Prepared = tuple[
    str,
    str,
    list[HeaderPair] | None,
    Body | None,
    tuple[tuple[int, int], ...],
    int | None,
    int | None,
    bool | None,
    tuple[int, int] | None,
    CancelToken | None,
    str | None,
    bool | None,
    int | None,
    str | bytes | None,
    bool,
    _native.Tls | None,
    NativeAuth | None,
    tuple[int, int] | None,
    int | None,
    Progress | None,
]
"""The request for `_native`: method, URL, headers, body, timeouts, connection mode, redirects, retries, min_rate, cancel,
the target of CONNECT, decode, max_body, target, url_as_given, TLS settings, auth, max_rate, expect_continue, progress. None,
and what a `Bare` one leaves out, is the client's setting."""


def download_options(
    max_bytes: int | None, resumes: int, resume: bool, sync: bool
) -> tuple[int, int, bool, bool]:
    """The options of a download for `_native`."""
    return limit_value("max_bytes", max_bytes), non_negative_int("resumes", resumes), resume, sync


class BaseClient:
    """The settings, which `Client` documents, and the conversion of options to a request for `_native`."""

    __slots__ = ("_native", "_base_url", "_manager", "_closed", "_redirects", "_total", "_max_body", "_tls", "__weakref__")

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
        detect_lost_connections: bool = True,
        retry_policy: RetryPolicy | None = None,
        auth: AuthTypes | None = None,
        max_rate: tuple[int | None, int | None] | None = None,
        expect_continue: Seconds | Literal[False] | None = None,
        cookies: bool = False,
        secure_cookies_on_localhost: bool = False,
        decode: bool = True,
        max_codings: int | None = 2,
        max_body: int | None = DEFAULT_MAX_BODY,
        max_head: int | None = None,
        proxy: str | None = "env",
        proxy_digest: bool = False,
        no_proxy: str | Iterable[str] | None = None,
        trust_env: bool = True,
        local_address: Address | None = None,
        interface: str | None = None,
        address_family: AddressFamily = "any",
        happy_eyeballs_delay: Seconds | None | Unset = UNSET,
        connect_to: ConnectTo | None = None,
        connector: Connector | None = None,
        verify: Verify = True,
        cert: Cert | None = None,
        tls: TLS | None = None,
        connection: Connection = "keep",
        manager: Manager | None = None,
        limits: Limits | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        if limits is not None or resolver is not None:
            if manager is not None:
                raise InvalidArgument(
                    "limits= and resolver= make a new manager, but manager= was given: set manager.limits, or call "
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
        for which, ms in timeout_pairs(timeout):
            self._native.set_timeout(which, ms)
            if which == TOTAL:
                self._total = ms
        for name, value in header_pairs(headers or ()):
            self._native.set_header(name, value)
        if connection != "keep":
            self._native.set_connection_mode(_connection_mode(connection))
        self._redirects = limit_value("max_redirects", max_redirects)
        self._native.set_redirects(self._redirects if follow_redirects else 0)
        for name in sensitive_headers:
            self._native.add_sensitive_header(name)
        self._native.set_retries(retries)
        if not detect_lost_connections:
            self._native.set_detect_lost_connections(False)
        if retry_policy is not None:
            self._native.set_retry_policy(retry_policy._row())
        if auth is not None:
            self._set_auth(native_auth(auth))
        if secure_cookies_on_localhost:
            self._native.set_secure_cookies_on_localhost(True)
        if max_rate is not None:
            self._native.set_max_rate(*_max_rate_pair(max_rate))
        if expect_continue is not None:
            self._native.set_expect_continue(_expect_ms(expect_continue))
        self._native.set_cookies(cookies)
        self._native.set_decode(decode)
        self._native.set_max_codings(limit_value("max_codings", max_codings))
        self._max_body = None if max_body is None else non_negative_int("max_body", max_body)
        if max_body != DEFAULT_MAX_BODY:
            self._native.set_max_body(limit_value("max_body", max_body))
        if max_head is not None:
            self._native.set_max_head(non_negative_int("max_head", max_head))
        if proxy != "env" or not trust_env:
            self._native.set_proxy(None if proxy == "env" else proxy)
        if proxy_digest:
            self._native.set_proxy_digest(True)
        if no_proxy is not None:
            self._native.set_no_proxy(no_proxy if isinstance(no_proxy, str) else ",".join(no_proxy))
        if local_address is not None:
            self._native.set_local_address(str(local_address))
        set_network(self._native, address_family, happy_eyeballs_delay, interface, connect_to, connector)
        self._tls = client_tls(tls, verify, cert)
        if self._tls is not None:
            self._native.set_tls(self._tls._native)
        self._set_up()

    def _set_auth(self, auth: NativeAuth) -> None:
        self._native.set_auth(auth)

    def _request_auth(self, auth: object) -> NativeAuth | None:
        """The credentials of a request; None is the client's."""
        return None if auth is UNSET else native_auth(auth)  # type: ignore[arg-type]

    def _set_up(self) -> None:
        """Initialises the attributes of a subclass."""

    @property
    def manager(self) -> Manager:
        """The manager of the client's connections."""
        if self._manager is None:
            self._manager = Manager.shared()
        return self._manager

    @property
    def cookies(self) -> Cookies:
        """The cookie jar, if the client was made with `cookies=True`."""
        from . import Cookies

        return Cookies(self._native)

    @property
    def ignored_no_proxy(self) -> list[str]:
        """The entries of `no_proxy` in the environment that are not understood and were passed over: these hosts are
        connected to through the proxy. Empty if the proxy is not from the environment."""
        return [entry for entry in self._native.ignored_no_proxy().split(",") if entry]

    def preconnect(self, url: str, connections: int = 1) -> int:
        """Opens connections to the URL's origin in the background until that many are idle; returns how many dials it
        started. The manager's limits apply; its `connections` and `events` show the results of the dials. Raises
        InvalidURL, InvalidArgument, ManagerShutDown.
        """
        return self._native.preconnect(self._absolute_url(url), non_negative_int("connections", connections))

    def set_trace(self, target: Trace | None, *, bodies: bool = False) -> None:
        """Records every head, every piece of a body and what happens to the connections of this client's requests; None,
        the default, records nothing.

        `target` is a callable that takes each `TraceRecord`, or the path of a file that each record is appended to as
        text. `bodies=True` records the bytes of bodies, too, and not only their sizes. Values of Authorization,
        Proxy-Authorization, Cookie, Set-Cookie and of the client's `sensitive_headers` are replaced by their length;
        URLs, bodies and other headers are recorded as they are.

        A callable runs on the thread that does the exchange, on several at once, and delays it; it must not send
        requests. Its exceptions are passed to `sys.unraisablehook`. Raises SystemFailure if the file can't be opened.
        """
        set_trace(self._native, target, bodies)

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed."""
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
        files: FormFiles | None = None,
        timeout: TimeoutLike = UNSET,
        cancel: CancelToken | None = None,
        connection: Connection | None = None,
        follow_redirects: bool | None = None,
        retries: bool | None = None,
        min_rate: tuple[int, Seconds] | None = None,
        verify: Verify | None = None,
        tls: TLS | None = None,
        tunnel: str | None = None,
        decode: bool | None = None,
        max_body: int | None = None,
        target: str | bytes | None = None,
        url_as_given: bool = False,
        auth: Any = UNSET,
        max_rate: tuple[int | None, int | None] | None = None,
        expect_continue: Seconds | Literal[False] | None = None,
        progress: Progress | None = None,
    ) -> Prepared:
        if self._closed:
            raise InvalidState("the client was closed")
        url = self._absolute_url(url)
        if params is not None:
            url = with_params(url, params)
        fields = None if headers is None else header_pairs(headers)
        payload = None
        if content is not None or data is not None or json is not None or files is not None:
            payload, kind = encode_body(content, data, json, files, fields or [])
            if kind is not None:
                fields = _with_content_type(fields, kind) if fields else [("content-type", kind)]
        mode = None if connection is None else _connection_mode(connection)
        redirects = None
        if follow_redirects is not None:
            redirects = (self._redirects or 10) if follow_redirects else 0
        rate = None if min_rate is None else _min_rate_pair(min_rate)
        bound = None if max_body is None else non_negative_int("max_body", max_body)
        timeouts = () if timeout is UNSET else timeout_pairs(timeout)
        if _deadline_at.get() is not None:
            timeouts = within_deadline(timeouts, self._total, method, url)
        return (
            method,
            url,
            fields,
            payload,
            timeouts,
            mode,
            redirects,
            retries,
            rate,
            cancel,
            tunnel,
            decode,
            bound,
            target,
            url_as_given,
            None if tls is None and verify is None else request_tls(self._tls, tls, verify),
            self._request_auth(auth),
            None if max_rate is None else _max_rate_pair(max_rate),
            None if expect_continue is None else _expect_ms(expect_continue),
            progress,
        )

    def _prepare_given(self, method: str, url: str, options: Any) -> Prepared | Bare:
        """`_prepare` for the options of a call, of which most have none."""
        if options or _deadline_at.get() is not None or self._closed:
            return self._prepare(method, url, **options)
        return method, self._absolute_url(url) if self._base_url else url

    def _absolute_url(self, url: str) -> str:
        if not self._base_url or is_absolute(url):
            return url
        if url.startswith("//"):
            what = "it is ambiguous: add a scheme if it begins with a host, or use one slash if it is a path"
            raise InvalidURL(f"{without_user_info(url)!r} is not appended to the base URL: {what}")
        return f"{self._base_url.rstrip('/')}/{url.lstrip('/')}"

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {state} {without_user_info(self._base_url)}".rstrip() + ">"


def _connection_mode(connection: str) -> int:
    try:
        return _MODES[connection]
    except (KeyError, TypeError):
        raise InvalidArgument(f"connection is 'keep', 'close' or 'fresh', not {connection!r}") from None


def _min_rate_pair(min_rate: tuple[int, Seconds]) -> tuple[int, int]:
    rate, window = min_rate
    return non_negative_int("min_rate", rate), milliseconds(window, "the window of min_rate")


def _max_rate_pair(max_rate: tuple[int | None, int | None]) -> tuple[int, int]:
    if not isinstance(max_rate, (tuple, list)) or len(max_rate) != 2:
        raise TypeError(f"max_rate is a pair (upload, download) of bytes a second or None, not {max_rate!r:.100}")
    upload, download = max_rate
    return limit_value("max_rate", upload), limit_value("max_rate", download)


def _expect_ms(wait: Seconds | Literal[False]) -> int:
    return _native.NO_LIMIT if wait is False else milliseconds(wait, "expect_continue")


def _with_content_type(fields: list[tuple[Any, Any]], kind: str) -> list[tuple[Any, Any]]:
    named = {name.lower() for name, _ in fields}
    return fields if {"content-type", b"content-type"} & named else [*fields, ("content-type", kind)]
