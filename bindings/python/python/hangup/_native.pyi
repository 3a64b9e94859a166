"""The extension module, which calls libhangup.so.0. Private: the public names are those of the package."""

from asyncio import Future
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Final, Self, final

from typing_extensions import disjoint_base

__all__ = [
    "HEADER_VERSION",
    "NO_LIMIT",
    "CONSTANTS",
    "modules",
    "CancelToken",
    "Client",
    "Events",
    "Manager",
    "Port",
    "Response",
    "check_limits",
    "features",
    "set_io_threads",
    "library",
    "set_resolver",
    "set_trace",
    "version",
]

HEADER_VERSION: Final[str]
NO_LIMIT: Final[int]
CONSTANTS: Final[dict[str, int]]
"""Every number of `hangup.h` by its name."""
modules: Final[dict[str, ModuleType]]

def check_limits(limits: list[tuple[int, int]]) -> None:
    """Raises the exception that `Manager(limits)` would raise for these limits."""

def set_io_threads(count: int) -> None:
    """Sets how many I/O threads of the library run submitted requests."""

def library() -> str: ...
def version() -> str: ...
def features() -> str: ...
def set_resolver(manager: Manager, resolver: Callable[[str], list[str]] | None) -> None:
    """Sets the resolver of a manager: `resolver` takes a host name and returns a list of IP addresses as text.
    None restores getaddrinfo.
    """

def set_trace(client: Client, callable: Callable[[str, int, int, int, bytes], None] | None, bodies: bool) -> None:
    """Sets the trace of a client: `callable` takes the type, the time in nanoseconds, the connection's id, the size and
    the bytes of a record. None records nothing.
    """

@disjoint_base
class CancelToken:
    def __new__(cls, parent: CancelToken | None = None) -> CancelToken: ...
    def cancel(self, reason: str | None = None) -> None:
        """Fires the token. The first reason is kept as `Cancelled.reason`. Never blocks."""
    def _after_ms(self, ms: int) -> None: ...
    @property
    def is_cancelled(self) -> bool:
        """Whether the token or one of its parents was fired or has passed its deadline."""
    @property
    def _address(self) -> int: ...

@disjoint_base
class Events:
    def __new__(cls, manager: Manager, capacity: int) -> Self: ...
    def _next(self, timeout_ms: int) -> tuple[int, int, str, int, str, str, str, int] | None: ...
    @property
    def lost(self) -> int:
        """The number of events before the last one read that were dropped because the buffer was full."""
    def fileno(self) -> int:
        """A file descriptor that is readable while there is an event to read; for select, selectors and event
        loops.

        When it is, call `next(0)` until that returns None. Only poll it: `close` closes it.
        """
    def close(self) -> None:
        """Ends the subscription. A thread that waits in `next` returns None. Does nothing the second time."""
    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""

@disjoint_base
class Manager:
    def __new__(cls, limits: list[tuple[int, int]] | None = None, *, shared: bool = False) -> Self: ...
    @property
    def id(self) -> int:
        """The manager's number. Two objects with equal numbers are the same manager, in C and in Python."""
    @property
    def _address(self) -> int: ...
    def _set_limits(self, limits: list[tuple[int, int]]) -> None: ...
    def _limit(self, limit: int) -> int: ...
    def _connections_json(self) -> str: ...
    def _connections(self) -> list[tuple[int, str, str, str, str, str, bool, int, int, int, int, int]]: ...
    def _stats(self) -> list[int]: ...
    def _close_connection(self, id: int, mode: int) -> None: ...
    def _close_origin(self, origin: str, mode: int) -> int: ...
    def _close_idle(self, idle_for_ms: int) -> int: ...
    def _close_all(self, mode: int) -> int: ...
    def _drain(self, timeout_ms: int) -> None: ...
    def _set_address(self, host: str, addresses: str | None) -> None: ...
    def _preconnect(self, origin: str, wanted: int) -> int: ...
    def network_changed(self) -> int:
        """Closes idle connections, closes those in use after their exchange, and forgets all resolved addresses.

        Call it when the network has changed: another Wi-Fi, a VPN, resume from sleep. Returns how many
        connections were closed or will be. Requests are not retried.
        """
    def clear_addresses(self) -> None:
        """Forgets all resolved addresses: the next dial resolves again. Open connections stay."""
    def close_reason(self, id: int) -> str:
        """Why a connection was closed, for example "peer closed". The last 256 closed connections are known.

        Raises NotFound if it is still open, never existed, or is not among those 256.
        """
    def shutdown(self) -> None:
        """Shuts the manager down for good: exchanges in progress and later requests raise ManagerShutDown.

        Never blocks; does nothing the second time. The shared manager stays shut down in this process.
        """

_Prepared = tuple[
    str,
    str,
    Iterable[tuple[str | bytes, str | bytes]] | None,
    bytes | str | tuple[Callable[[int], bytes], int] | None,
    tuple[tuple[int, int], ...],
    int | None,
    int | None,
    bool | None,
    tuple[int, int] | None,
    CancelToken | None,
]

@final
class Client:
    def __new__(cls, manager: Manager | None = None) -> Client: ...
    @property
    def address(self) -> int: ...
    def set_timeout(self, which: int, ms: int) -> None: ...
    def set_header(self, name: str | bytes, value: str | bytes) -> None: ...
    def set_connection_mode(self, mode: int) -> None: ...
    def set_roots(self, pem: bytes) -> None: ...
    def set_roots_file(self, path: str) -> None: ...
    def set_certificate(self, certificate: bytes, key: bytes) -> None: ...
    def accept_any_certificate(self) -> None: ...
    def set_max_head(self, bytes: int) -> None: ...
    def set_redirects(self, max: int) -> None: ...
    def set_retries(self, on: bool) -> None: ...
    def set_decode(self, on: bool) -> None: ...
    def set_max_codings(self, max: int) -> None: ...
    def add_sensitive_header(self, name: str | bytes) -> None: ...
    def set_proxy(self, proxy: str | None) -> None: ...
    def set_trace_file(self, path: str, bodies: bool) -> None: ...
    def set_no_proxy(self, list: str) -> None: ...
    def set_local_address(self, address: str) -> None: ...
    def set_cookies(self, on: bool) -> None: ...
    def add_cookie(self, url: str, cookie: str) -> None: ...
    def cookies_for(self, url: str) -> str: ...
    def clear_cookies(self) -> None: ...
    def preconnect(self, url: str, wanted: int) -> int: ...
    def send(self, prepared: _Prepared, stream: bool, /) -> Response:
        """Sends a request and returns when its head has arrived (`stream`), or else its whole body."""
    def submit(self, prepared: _Prepared, stream: bool, port: Port, future: Future[Response], /) -> int:
        """Submits a request and returns its tag in `port`. `future` gets the response when its head has arrived
        (`stream`), or else its whole body. Never blocks."""

@final
class Port:
    """A completion queue and its pending work. The work that is still pending when the last reference is dropped is
    cancelled."""

    def __new__(cls) -> Port: ...
    def fileno(self) -> int:
        """A file descriptor that is readable while there are completions to take."""
    def drain(self) -> None:
        """Takes the completions that have arrived and sets their futures."""
    def forget(self, tag: int) -> None:
        """Drops the future of a tag and cancels its exchange. Does nothing for a tag whose completion was taken."""
    def on_idle(self, callable: Callable[[], object] | None) -> None:
        """Calls `callable` once, as soon as no work is pending; None removes a callable that was set before."""

@final
class Response:
    @property
    def status(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def connection(self) -> int: ...
    @property
    def reused(self) -> bool: ...
    @property
    def attempts(self) -> int: ...
    def history(self) -> list[tuple[int, str]]: ...
    @property
    def ended(self) -> bool: ...
    def headers(self) -> list[tuple[str, bytes]]: ...
    def timings(self) -> tuple[int, int, int, int, int, int, int, int, int]: ...
    def read_all(self, at_most: int) -> bytes: ...
    def read(self, room: int) -> bytes: ...
    def submit_read(self, at_most: int, port: Port, future: Future[bytes]) -> int:
        """Submits a read of at most `at_most` bytes and returns its tag in `port`. `future` gets the bytes; none at
        the end of the body."""
    def close(self, mode: int) -> None: ...
