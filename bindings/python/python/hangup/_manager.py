"""The pool of connections, seen and steered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Self

from . import _native
from ._events import Events
from ._limits import Limits, limits_of, pair, pairs, whole
from ._timeouts import UNSET, Seconds, Unset, milliseconds

if TYPE_CHECKING:
    import ctypes

Address = str | IPv4Address | IPv6Address
"""An IP address, for example "192.0.2.7"."""
Resolver = Callable[[str], Iterable[Address]]
"""Takes a host name and answers its addresses; see `Manager.set_resolver`."""

# HANGUP_CLOSE_MODE_GRACEFUL and HANGUP_CLOSE_MODE_NOW of the header.
GRACEFUL, NOW = 0, 1


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """One open connection, as it was when `Manager.connections` looked. Times are seconds."""

    id: int
    """Unique in the process and never used again."""
    origin: str
    """Where to, for example "https://example.org:443"."""
    peer: str
    """The peer's address and port; "" while it is not connected."""
    local: str
    """The local address and port; "" while it is not connected."""
    tls: str
    """The TLS version, for example "TLSv1.3"; "" for plain text."""
    state: str
    """What it is doing: "resolving", "connecting", "proxy", "tls", "in use" or "idle"."""
    closing: bool
    """It will be closed when its exchange ends."""
    age: float
    """Since it began to be dialled."""
    idle: float | None
    """Since it became idle; None if it is not idle."""
    requests: int
    """Requests begun on it."""
    bytes_in: int
    """Bytes received, on the wire."""
    bytes_out: int
    """Bytes sent, on the wire."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of a manager: `open`, `dialling`, `in_use`, `idle` and `queued` of the moment, the others since it
    began."""

    open: int
    """Open now: dialling, in use and idle together."""
    dialling: int
    """Being resolved, connected or in a handshake now."""
    in_use: int
    """Serving an exchange now."""
    idle: int
    """Idle now."""
    opened: int
    """Opened since the beginning."""
    closed: int
    """Closed since the beginning, for whatever reason."""
    reused: int
    """Requests that found an idle connection."""
    dials_failed: int
    """Dials that failed, were cancelled or timed out."""
    stale: int
    """Idle connections that the look at checkout found dead."""
    queued: int
    """Requests waiting for a connection now."""
    swept: int
    """Idle connections that the look in the background found closed by the peer, or talking."""
    waited: int
    """Requests that had to wait for a connection."""
    refused: int
    """Requests that were refused because the queue was full."""
    retried: int
    """Requests that were sent again, because a kept connection broke before the response."""


class Manager(_native.Manager):
    """The pool: every open connection, its limits and its clocks. For any thread at any time.

    `Manager()` is one of your own, `Manager(Limits(per_origin=8))` too; `Manager.shared()` is the one that
    everything in this process uses unless it is told otherwise, C and C++ code included. Managers with equal
    `id` are the same manager. In the child of a fork a manager is empty, and dials anew.
    """

    def __new__(cls, limits: Limits | None = None, *, shared: bool = False) -> Self:
        return super().__new__(cls, None if limits is None else pairs(limits), shared=shared)

    @classmethod
    def shared(cls) -> Manager:
        """The process's own manager."""
        return cls(shared=True)

    def connections(self) -> list[ConnectionInfo]:
        """The open connections: those being dialled, in use and idle."""
        return [
            ConnectionInfo(*row[:7], row[7] / 1000, None if row[8] < 0 else row[8] / 1000, *row[9:])
            for row in self._list()
        ]

    def stats(self) -> Stats:
        """The counters."""
        return Stats(*self._counters())

    def close(self, id: int, *, now: bool = False) -> None:
        """Closes one connection. An exchange in progress ends well first, or with `Closed` if `now`.

        Raises NotFound if no connection with that id is open.
        """
        self._close_connection(id, NOW if now else GRACEFUL)

    def close_origin(self, origin: str, *, now: bool = False) -> int:
        """Closes the connections of one origin ("https://example.org"); says how many, marked ones included.

        Raises InvalidURL.
        """
        return self._close_origin(origin, NOW if now else GRACEFUL)

    def close_idle(self, idle_for: Seconds = 0) -> int:
        """Closes what has been idle for at least so many seconds, 0: every idle one; says how many."""
        ms = 0 if idle_for == 0 and not isinstance(idle_for, bool) else milliseconds(idle_for, "idle_for")
        return self._close_idle(ms)

    def close_all(self, *, now: bool = False) -> int:
        """Closes every connection: idle ones at once, those in use when they are done or `now`.

        The manager can be used on. Says how many, marked ones included.
        """
        return self._close_all(NOW if now else GRACEFUL)

    @property
    def limits(self) -> Limits:
        """The limits, all of them. They may be set at any time: a lowered one applies to what is idle at once and
        to the rest when its exchange ends, a raised one lets in who waits. See `limit` for some of them."""
        return limits_of(self)

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._set_limits(pairs(limits))

    def limit(
        self,
        *,
        total: int | None | Unset = UNSET,
        per_origin: int | None | Unset = UNSET,
        idle_total: int | None | Unset = UNSET,
        idle_per_origin: int | None | Unset = UNSET,
        queue: int | None | Unset = UNSET,
        idle: Seconds | None | Unset = UNSET,
        max_age: Seconds | None | Unset = UNSET,
        max_requests: int | None | Unset = UNSET,
        keep_alive: Seconds | None | Unset = UNSET,
    ) -> None:
        """Sets the limits that are named, as Limits has them, and leaves the others; None takes one away.

        Either all of them are set or, if one is refused, none. Raises InvalidArgument, InvalidTimeout.
        """
        changes = {
            "total": total,
            "per_origin": per_origin,
            "idle_total": idle_total,
            "idle_per_origin": idle_per_origin,
            "queue": queue,
            "idle": idle,
            "max_age": max_age,
            "max_requests": max_requests,
            "keep_alive": keep_alive,
        }
        self._set_limits([pair(name, value) for name, value in changes.items() if value is not UNSET])

    def drain(self, timeout: Seconds | None = None) -> None:
        """Ends the manager for good, but lets what runs finish; blocks until nothing is open any more.

        From now on every request is refused with ManagerShutDown, those that wait for a connection too. What
        is idle is closed at once, the rest when its exchange ends. It may be called again, from any thread;
        `shutdown` ends what is left. Raises DrainTimeout after so many seconds, and its `left` says how many
        connections are still in use; InvalidTimeout.
        """
        self._drain(milliseconds(timeout))

    def preconnect(self, origin: str, connections: int = 1) -> int:
        """Dials ahead, in the background, until so many connections to an origin are idle; says how many it began.

        Within the limits, and with the settings of a new Client: those that set verify, cert, proxy or
        local_address use `Client.preconnect`. What becomes of the dials is seen in the list and in the events.
        Raises InvalidURL, InvalidArgument, ManagerShutDown.
        """
        return self._preconnect(origin, whole("connections", connections))

    def set_address(self, host: str, addresses: Address | Iterable[Address] | None) -> None:
        """Gives a host name these IP addresses, whatever anybody else says about it; None takes that back.

        Connections that are open stay; TLS still verifies the name. Raises InvalidArgument.
        """
        if addresses is not None and (isinstance(addresses, str) or not isinstance(addresses, Iterable)):
            addresses = [addresses]
        self._set_address(host, None if addresses is None else ",".join(map(str, addresses)))

    def set_resolver(self, resolver: Resolver | None) -> None:
        """Has names looked up by this callable instead of getaddrinfo, for all that use this manager; None is
        getaddrinfo again.

        It takes a name in lower case and answers its addresses, those to be tried first first; none, or an
        OSError, is a ResolveError for who asked. Any other exception is one too, and goes to `sys.unraisablehook`.
        It runs on threads of the library, on several at once, and holds the interpreter lock only while it runs;
        a request that is cancelled or out of time does not wait for it. What it answers is kept for a minute.
        """
        _native.set_resolver(self, None if resolver is None else _as_text(resolver))

    def events(self, capacity: int = 1024) -> Events:
        """Begins to listen to what happens to the connections, from now on.

        At most `capacity` events wait to be read; then the oldest are lost, and `Events.lost` counts them. Of
        several listeners of one manager the largest capacity counts for all. Nothing is recorded while nobody
        listens. Raises InvalidArgument, SystemFailure.
        """
        return Events(self, whole("capacity", capacity))

    @property
    def _as_parameter_(self) -> ctypes.c_void_p:
        """The `hangup_manager *`, borrowed from this object, for ctypes."""
        import ctypes

        return ctypes.c_void_p(self._address)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manager) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Manager {self.id}>"


def _as_text(resolver: Resolver) -> Callable[[str], list[str]]:
    def look_up(host: str) -> list[str]:
        found = resolver(host)
        return [found] if isinstance(found, str) else [str(address) for address in found]

    return look_up


def shared_manager() -> Manager:
    """The process's own manager: what `Manager.shared()` answers."""
    return Manager.shared()
