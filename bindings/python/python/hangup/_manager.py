"""The pool of connections, seen and steered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _native
from ._errors import InvalidArgument
from ._timeouts import UNSET, Seconds, Unset, milliseconds

if TYPE_CHECKING:
    import ctypes

# HANGUP_GRACEFUL, HANGUP_NOW and HANGUP_LIMIT_* of the header.
GRACEFUL, NOW = 0, 1
_IDLE_TOTAL, _IDLE_PER_ORIGIN, _IDLE_MS = 3, 4, 6


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
    """Counters of a manager: four of the moment, the others since it began."""

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


class Manager(_native.Manager):
    """The pool: every open connection, its limits and its clocks. For any thread at any time.

    `Manager()` is one of your own; `Manager.shared()` is the one that everything in this process uses unless
    it is told otherwise, C and C++ code included. Managers with equal `id` are the same manager.
    """

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

    def limit(
        self,
        *,
        idle_total: int | None | Unset = UNSET,
        idle_per_origin: int | None | Unset = UNSET,
        idle: Seconds | None | Unset = UNSET,
    ) -> None:
        """Sets limits, at any time; None takes one away.

        - `idle_total`: idle connections in all. Default 256; 0 keeps none.
        - `idle_per_origin`: idle connections of one origin. Default 64; 0 keeps none.
        - `idle`: seconds that a connection may be idle. Default 90; zero is refused.

        Raises InvalidArgument, InvalidTimeout.
        """
        if idle_total is not UNSET:
            self._set_limit(_IDLE_TOTAL, _count("idle_total", idle_total))
        if idle_per_origin is not UNSET:
            self._set_limit(_IDLE_PER_ORIGIN, _count("idle_per_origin", idle_per_origin))
        if idle is not UNSET:
            self._set_limit(_IDLE_MS, milliseconds(idle, "idle"))

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


def shared_manager() -> Manager:
    """The process's own manager: what `Manager.shared()` answers."""
    return Manager.shared()


def _count(name: str, value: int | None) -> int:
    if value is None:
        return _native.NO_LIMIT
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"{name} is a number of connections, or None for no limit, not {value!r}")
    return value
