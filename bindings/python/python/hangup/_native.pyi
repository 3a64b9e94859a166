"""The part that talks to libhangup.so.0. Not the interface: see the package's public names."""

from asyncio import Future
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Final, Self, final

from typing_extensions import disjoint_base

__all__ = [
    "HEADER_VERSION",
    "NO_LIMIT",
    "modules",
    "CancelToken",
    "Client",
    "Events",
    "Manager",
    "Port",
    "Response",
    "check_limits",
    "io_threads",
    "library",
    "set_resolver",
    "version",
]

HEADER_VERSION: Final[str]
NO_LIMIT: Final[int]
modules: Final[dict[str, ModuleType]]

def check_limits(limits: list[tuple[int, int]]) -> None:
    """Raises what a manager would say to these limits."""

def io_threads(count: int) -> None:
    """How many threads of the library do what is submitted."""

def library() -> str: ...
def version() -> str: ...
def set_resolver(manager: Manager, resolver: Callable[[str], list[str]] | None) -> None:
    """Has the manager's names looked up by `resolver`, which takes a name and answers a list of addresses
    as text; None is getaddrinfo again.
    """

@disjoint_base
class CancelToken:
    def __new__(cls, parent: CancelToken | None = None) -> CancelToken: ...
    def cancel(self, reason: str | None = None) -> None:
        """Fires the token. The first reason is kept and stands in `Cancelled.reason`. Never blocks."""
    def _after_ms(self, ms: int) -> None: ...
    @property
    def is_cancelled(self) -> bool:
        """It or one of its parents was fired, or has passed its deadline."""
    @property
    def _address(self) -> int: ...

@disjoint_base
class Events:
    def __new__(cls, manager: Manager, capacity: int) -> Self: ...
    def _next(self, timeout_ms: int) -> tuple[int, int, str, int, str, str, str, int] | None: ...
    @property
    def lost(self) -> int:
        """How many events were lost because nobody read them in time, up to the last one that was read."""
    def fileno(self) -> int:
        """A descriptor that is readable while there is an event to read; for select, selectors and event loops.

        When it is, call `next(0)` until it answers None. Only poll it: it is closed with the listener.
        """
    def close(self) -> None:
        """Ends the listening. A thread that waits for the next event stops waiting. Twice is once."""
    @property
    def is_closed(self) -> bool:
        """`close` was called."""

@disjoint_base
class Manager:
    def __new__(cls, limits: list[tuple[int, int]] | None = None, *, shared: bool = False) -> Self: ...
    @property
    def id(self) -> int:
        """The manager's number: the same for everybody in this process who sees the same manager."""
    @property
    def _address(self) -> int: ...
    def _set_limits(self, limits: list[tuple[int, int]]) -> None: ...
    def _get_limit(self, limit: int) -> int: ...
    def _list(self) -> list[tuple[int, str, str, str, str, str, bool, int, int, int, int, int]]: ...
    def _counters(self) -> list[int]: ...
    def _close_connection(self, id: int, how: int) -> None: ...
    def _close_origin(self, origin: str, how: int) -> int: ...
    def _close_idle(self, idle_for_ms: int) -> int: ...
    def _close_all(self, how: int) -> int: ...
    def _drain(self, timeout_ms: int) -> None: ...
    def _set_address(self, host: str, addresses: str | None) -> None: ...
    def _preconnect(self, origin: str, wanted: int) -> int: ...
    def network_changed(self) -> int:
        """Closes what is idle, marks what is in use and forgets every address that was looked up.

        For when the network is another one now: another Wi-Fi, a VPN, back from sleep. Says how many
        connections were closed or marked; nothing is asked again by itself.
        """
    def clear_addresses(self) -> None:
        """Forgets every address that was looked up: the next dial asks again. Connections are not touched."""
    def why_closed(self, id: int) -> str:
        """Why a connection ended, for example "peer closed". The last 256 that ended are remembered.

        Raises NotFound if it is still open, never was, or ended too long ago.
        """
    def shutdown(self) -> None:
        """Ends the manager for good: exchanges end with ManagerShutDown, as does every later request.

        Never blocks; twice is once. Shutting down the shared manager is legal, and final for the process.
        """

@final
class Client:
    def __new__(cls, manager: Manager | None = None) -> Client: ...
    @property
    def address(self) -> int: ...
    def set_timeout(self, which: int, ms: int) -> None: ...
    def set_header(self, name: str | bytes, value: str | bytes) -> None: ...
    def set_connection(self, mode: int) -> None: ...
    def set_roots(self, pem: bytes) -> None: ...
    def set_roots_file(self, path: str) -> None: ...
    def set_certificate(self, certificate: bytes, key: bytes) -> None: ...
    def trust_anybody(self) -> None: ...
    def set_max_head(self, bytes: int) -> None: ...
    def set_redirects(self, max: int) -> None: ...
    def set_retries(self, on: bool) -> None: ...
    def set_decode(self, on: bool) -> None: ...
    def set_max_codings(self, max: int) -> None: ...
    def add_sensitive_header(self, name: str | bytes) -> None: ...
    def set_proxy(self, proxy: str | None) -> None: ...
    def set_no_proxy(self, list: str) -> None: ...
    def set_local_address(self, address: str) -> None: ...
    def set_cookies(self, on: bool) -> None: ...
    def set_cookie(self, url: str, cookie: str) -> None: ...
    def cookies_for(self, url: str) -> str: ...
    def clear_cookies(self) -> None: ...
    def preconnect(self, url: str, wanted: int) -> int: ...
    def send(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str | bytes, str | bytes]] | None,
        body: bytes | str | tuple[Callable[[int], bytes], int] | None,
        limits: tuple[tuple[int, int], ...],
        mode: int | None,
        redirects: int | None,
        retries: bool | None,
        min_rate: tuple[int, int] | None,
        cancel: CancelToken | None,
        stream: bool,
        /,
    ) -> Response: ...
    def submit(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str | bytes, str | bytes]] | None,
        body: bytes | str | tuple[Callable[[int], bytes], int] | None,
        limits: tuple[tuple[int, int], ...],
        mode: int | None,
        redirects: int | None,
        retries: bool | None,
        min_rate: tuple[int, int] | None,
        cancel: CancelToken | None,
        stream: bool,
        port: Port,
        future: Future[Response],
        /,
    ) -> int:
        """Submits one exchange, of which `future` will be the end; answers its tag in the port. Never blocks."""

@final
class Port:
    """A completion queue, and who waits for what it brings. It ends with its last owner, and what is still under
    way is cancelled then."""

    def __new__(cls) -> Port: ...
    def fileno(self) -> int:
        """A descriptor that is readable while there is something to drain."""
    def drain(self) -> None:
        """Hands out whatever has come."""
    def abandon(self, tag: int) -> None:
        """Nobody waits for this tag any more: an exchange is cancelled. A tag that is over does nothing."""
    def call_at_rest(self, callable: Callable[[], object] | None) -> None:
        """Calls `callable` as soon as nothing is under way; None: never."""

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
        """Submits a read of a piece of at most `at_most` bytes, which `future` will get; empty at the end."""
    def close(self, how: int) -> None: ...
