"""`Limits`: the limits of a manager. This module is loaded when a program uses it."""

from __future__ import annotations

from dataclasses import dataclass

from . import _native
from ._limit_values import TIMES, limit_pairs
from ._timeouts import Seconds, milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a manager. Immutable.

    Times are seconds (a number or a timedelta; stored as a float). None means no limit. Raises InvalidArgument, and
    InvalidTimeout for a time of zero or less.
    """

    total: int | None = None
    """Open connections in total: being dialled, in use and idle. At the limit the least recently used idle one is
    closed; if none is idle, requests wait, for at most `Timeout(pool=...)`. Zero is refused."""
    per_origin: int | None = None
    """Open connections of one origin, counted as `total` does. Zero is refused."""
    idle_total: int | None = 256
    """Idle connections in total; 0 keeps none. Above it the least recently used one is closed."""
    idle_per_origin: int | None = 64
    """Idle connections of one origin; 0 keeps none."""
    queue: int | None = 10_000
    """Requests that may wait for a connection; one more raises QueueFull at once. With 0 no request waits."""
    idle: Seconds | None = 90.0
    """How long a connection may be idle. Checked in the background. A response with `Keep-Alive: timeout=N` shortens it for
    its connection to N seconds less one, or to half of N if N is less than 2."""
    max_age: Seconds | None = None
    """The maximum age of a connection, less a random part of up to a tenth, so that connections that were opened
    together are not closed together. A connection is closed between exchanges, never during one."""
    max_requests: int | None = None
    """Requests that one connection may serve; it is closed after the last one. Zero is refused."""
    keep_alive: Seconds | None = 15.0
    """After how much silence the kernel probes the peer (SO_KEEPALIVE). Applies to connections that are opened after the
    limit was set. The probes are 3 seconds apart, or as far apart as that silence is long if it is shorter, and three that
    are not answered end the connection: after 24 seconds by default. An idle connection that does not answer is closed
    for the reason "peer silent" before a request is sent on it."""

    def __post_init__(self) -> None:
        _native.check_limits(limit_pairs(self))
        for name in TIMES:
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, milliseconds(given) / 1000)
