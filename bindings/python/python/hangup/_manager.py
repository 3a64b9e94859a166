"""`Manager`: the connection pool; its connections, counters and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, Union

from . import _native
from ._limit_values import current_limits, limit_pair, limit_pairs, non_negative_int
from ._rows import tcp_facts_of
from ._timeouts import UNSET, Seconds, Unset, milliseconds

if TYPE_CHECKING:
    import ctypes
    from ipaddress import IPv4Address, IPv6Address

    from ._connections import ConnectionInfo, Stats
    from ._events import Events
    from ._limits import Limits

Address = Union[str, "IPv4Address", "IPv6Address"]
"""An IP address, for example "192.0.2.7"."""
Resolver = Callable[[str], Iterable[Address] | tuple[Iterable[Address], Seconds | None]]
"""Takes a host name and returns its addresses, or these and how long they may be cached; see `Manager.set_resolver`."""

GRACEFUL = _native.CONSTANTS["HANGUP_CLOSE_MODE_GRACEFUL"]
NOW = _native.CONSTANTS["HANGUP_CLOSE_MODE_NOW"]


class Manager(_native.Manager):
    """A connection pool with its limits. Threads: any, at any time.

    `Manager()` and `Manager(Limits(per_origin=8))` make a new one; `Manager.shared()` is the default of every client in
    the process, C and C++ code included. Managers with equal `id` are the same manager. In the child of a fork a
    manager is empty and opens new connections.
    """

    def __new__(cls, limits: Limits | None = None, *, shared: bool = False) -> Self:
        return super().__new__(cls, None if limits is None else limit_pairs(limits), shared=shared)

    @classmethod
    def shared(cls) -> Manager:
        """The shared manager of the process."""
        return cls(shared=True)

    def connections(self) -> list[ConnectionInfo]:
        """The open connections: those being dialled, in use and idle."""
        from . import ConnectionInfo

        return [
            ConnectionInfo(
                *row[:7], row[7] / 1000, None if row[8] < 0 else row[8] / 1000, *row[9:], tcp_facts_of(tcp)
            )
            for row, tcp in self._connections()
        ]

    def connections_json(self) -> str:
        """The open connections as a JSON array, with the members of C's `hangup_connections_json`."""
        return self._connections_json()

    def stats(self) -> Stats:
        """The counters."""
        from . import Stats

        return Stats(*self._stats())

    def close(self, id: int, *, now: bool = False) -> None:
        """Closes one connection after its exchange, or at once with `now`: then the exchange raises `Closed`.

        Raises NotFound if no connection with that id is open.
        """
        self._close_connection(id, NOW if now else GRACEFUL)

    def close_origin(self, origin: str, *, now: bool = False) -> int:
        """Closes the connections of one origin ("https://example.org"): idle ones at once, those in use after their
        exchange or at once with `now`. Returns how many were closed or will be.

        Raises InvalidURL.
        """
        return self._close_origin(origin, NOW if now else GRACEFUL)

    def close_idle(self, idle_for: Seconds = 0) -> int:
        """Closes the connections that have been idle for at least `idle_for`; 0: every idle one. Returns how many."""
        ms = 0 if idle_for == 0 and not isinstance(idle_for, bool) else milliseconds(idle_for, "idle_for")
        return self._close_idle(ms)

    def close_all(self, *, now: bool = False) -> int:
        """Closes every connection: idle ones at once, those in use after their exchange or at once with `now`.

        Returns how many were closed or will be. The manager accepts further requests.
        """
        return self._close_all(NOW if now else GRACEFUL)

    @property
    def limits(self) -> Limits:
        """All limits. They can be set at any time: a lower one applies to idle connections at once and to the others after
        their exchange; after a higher one waiting requests continue. `set_limits` sets some of them."""
        from . import Limits

        return Limits(**current_limits(self))

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._set_limits(limit_pairs(limits))

    def set_limits(
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
        """Sets the limits that are given, with the values of Limits, and keeps the others. None removes a limit.

        If one value is refused, no limit is changed. Raises InvalidArgument, InvalidTimeout.
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
        self._set_limits([limit_pair(name, value) for name, value in changes.items() if value is not UNSET])

    def drain(self, timeout: Seconds | None = None) -> None:
        """Shuts the manager down for good after the exchanges in progress; blocks until no connection is open.

        From this call on every request raises ManagerShutDown, also those that wait for a connection. Idle connections
        are closed at once, the others after their exchange. It may be called again, from any thread; `shutdown` ends
        the remaining exchanges. Raises DrainTimeout after `timeout` seconds, with the number of connections that are
        still in use as `open_connections`; InvalidTimeout.
        """
        self._drain(milliseconds(timeout))

    def preconnect(self, origin: str, connections: int = 1) -> int:
        """Opens connections to an origin in the background until that many are idle; returns how many dials it started.

        The limits apply. The connections have the settings of a new Client; for a client with its own verify, cert,
        proxy or local_address, call `Client.preconnect`. `connections` and `events` show the results of the dials.
        Raises InvalidURL, InvalidArgument, ManagerShutDown.
        """
        return self._preconnect(origin, non_negative_int("connections", connections))

    def set_address(self, host: str, addresses: Address | Iterable[Address] | None) -> None:
        """Sets the IP addresses of a host name, which then is not resolved; None removes the entry.

        Open connections stay open; TLS still verifies the name. Raises InvalidArgument.
        """
        if addresses is not None and (isinstance(addresses, str) or not isinstance(addresses, Iterable)):
            addresses = [addresses]
        self._set_address(host, None if addresses is None else ",".join(map(str, addresses)))

    def set_resolver(self, resolver: Resolver | None) -> None:
        """Sets a callable that resolves host names instead of getaddrinfo, for all clients of this manager; None restores
        getaddrinfo.

        It takes a name in lower case and returns its addresses in the order in which they are tried. If it returns none
        or raises an OSError, the request raises ResolveError; any other exception does the same and is passed to
        `sys.unraisablehook`. It runs on threads of the library, on several at a time, and holds the interpreter lock
        only while it runs; a request that is cancelled or times out does not wait for it. Its result is cached for a
        minute, unless it returns a tuple of the addresses and of how many seconds they may be cached: the TTL of their
        record, 0 for not at all, None until `clear_addresses`.
        """
        _native.set_resolver(self, None if resolver is None else _as_text(resolver))

    def events(self, capacity: int = 1024) -> Events:
        """Subscribes to the events of the connections, from this call on.

        The buffer holds `capacity` unread events; then the oldest are dropped, and `Events.lost` counts them. All
        subscriptions of a manager share one buffer, of the largest requested capacity. Without a subscription nothing
        is recorded. Raises InvalidArgument, SystemFailure.
        """
        from . import Events

        return Events(self, non_negative_int("capacity", capacity))

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


def _as_text(resolver: Resolver) -> Callable[[str], tuple[list[str], int | None]]:
    def look_up(host: str) -> tuple[list[str], int | None]:
        found: Any = resolver(host)
        ttl_ms = None
        if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], (int, float, timedelta, type(None))):
            found, ttl = found
            ttl_ms = 0 if ttl in (0, timedelta()) else milliseconds(ttl, "a TTL")
        return ([found] if isinstance(found, str) else [str(address) for address in found]), ttl_ms

    return look_up


def shared_manager() -> Manager:
    """The shared manager of the process; the same as `Manager.shared()`."""
    return Manager.shared()
