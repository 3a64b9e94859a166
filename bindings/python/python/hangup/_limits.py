"""The limits of a manager, and the checks of whole numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields

from . import _native
from ._errors import InvalidArgument
from ._native import CONSTANTS, NO_LIMIT
from ._timeouts import Seconds, milliseconds, short_repr

_NUMBERS = {
    "total": CONSTANTS["HANGUP_LIMIT_TOTAL"],
    "per_origin": CONSTANTS["HANGUP_LIMIT_PER_ORIGIN"],
    "idle_total": CONSTANTS["HANGUP_LIMIT_IDLE_TOTAL"],
    "idle_per_origin": CONSTANTS["HANGUP_LIMIT_IDLE_PER_ORIGIN"],
    "queue": CONSTANTS["HANGUP_LIMIT_QUEUE"],
    "idle": CONSTANTS["HANGUP_LIMIT_IDLE_MS"],
    "max_age": CONSTANTS["HANGUP_LIMIT_AGE_MS"],
    "max_requests": CONSTANTS["HANGUP_LIMIT_REQUESTS"],
    "keep_alive": CONSTANTS["HANGUP_LIMIT_KEEP_ALIVE_MS"],
}
_TIMES = {"idle", "max_age", "keep_alive"}


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
        for name in _TIMES:
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, milliseconds(given) / 1000)


def limit_pairs(limits: Limits) -> list[tuple[int, int]]:
    """Pairs of a HANGUP_LIMIT_* number and its value, for `_native`."""
    return [limit_pair(field.name, getattr(limits, field.name)) for field in fields(limits)]


def limit_pair(name: str, value: Seconds | None) -> tuple[int, int]:
    """The HANGUP_LIMIT_* number of a limit and its value, for `_native`."""
    return _NUMBERS[name], milliseconds(value, name) if name in _TIMES else limit_value(name, value)


def limits_of(manager: _native.Manager) -> Limits:
    """The current limits of a manager."""

    def count(name: str) -> int | None:
        value = manager._limit(_NUMBERS[name])
        return None if value == NO_LIMIT else value

    def seconds(name: str) -> float | None:
        ms = count(name)
        return None if ms is None else ms / 1000

    return Limits(
        total=count("total"),
        per_origin=count("per_origin"),
        idle_total=count("idle_total"),
        idle_per_origin=count("idle_per_origin"),
        queue=count("queue"),
        idle=seconds("idle"),
        max_age=seconds("max_age"),
        max_requests=count("max_requests"),
        keep_alive=seconds("keep_alive"),
    )


def non_negative_int(name: str, value: object) -> int:
    """Returns the value if it is a whole number of at least 0; raises InvalidArgument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidArgument(f"{name} is a whole number, not {short_repr(value)}")
    return value


def limit_value(name: str, value: object) -> int:
    """The same; NO_LIMIT for None."""
    if value is None:
        return NO_LIMIT
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidArgument(f"{name} is a whole number, or None for no limit, not {short_repr(value)}")
    return value
