"""The bounds of a manager."""

from __future__ import annotations

from dataclasses import dataclass, fields

from . import _native
from ._errors import InvalidArgument
from ._timeouts import Seconds, milliseconds, shown

# HANGUP_LIMIT_* of the header.
_NUMBERS = {
    "total": 1,
    "per_origin": 2,
    "idle_total": 3,
    "idle_per_origin": 4,
    "queue": 5,
    "idle": 6,
    "max_age": 7,
    "max_requests": 8,
    "keep_alive": 9,
}
_TIMES = {"idle", "max_age", "keep_alive"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections a manager may have, and for how long. Immutable.

    Times are seconds (a number or a timedelta; kept as a float). None is no limit. Raises InvalidArgument,
    and InvalidTimeout for a time of zero or less.
    """

    total: int | None = None
    """Open connections in all: being dialled, in use and idle. At the limit the least recently used idle one
    makes room; without one, requests queue, for at most `Timeout(pool=...)`. Zero is refused."""
    per_origin: int | None = None
    """Open connections of one origin, counted as `total` does. Zero is refused."""
    idle_total: int | None = 256
    """Idle connections in all; 0 keeps none. Over it, the least recently used one is closed."""
    idle_per_origin: int | None = 64
    """Idle connections of one origin; 0 keeps none."""
    queue: int | None = 10_000
    """Requests that may wait for a connection; one more raises QueueFull at once. With 0 nobody waits."""
    idle: Seconds | None = 90.0
    """How long a connection may be idle. Looked at in the background."""
    max_age: Seconds | None = None
    """How old a connection may become; each one gets up to a tenth less, so that those that were opened
    together don't close together. It is closed between exchanges, never inside one."""
    max_requests: int | None = None
    """Requests that one connection may serve; it is closed after the last one. Zero is refused."""
    keep_alive: Seconds | None = 15.0
    """After how much silence the kernel probes whether the peer is still there (SO_KEEPALIVE), for connections
    that are opened from now on."""

    def __post_init__(self) -> None:
        _native.check_limits(pairs(self))
        for name in _TIMES:
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, milliseconds(given) / 1000)


def pairs(limits: Limits) -> list[tuple[int, int]]:
    """For the library: the number of each limit, and its value."""
    return [pair(field.name, getattr(limits, field.name)) for field in fields(limits)]


def pair(name: str, value: Seconds | None) -> tuple[int, int]:
    """For the library: the number of a limit, and its value."""
    return _NUMBERS[name], milliseconds(value, name) if name in _TIMES else whole_or_none(name, value)


def limits_of(manager: _native.Manager) -> Limits:
    """The limits that a manager has now."""

    def count(name: str) -> int | None:
        value = manager._get_limit(_NUMBERS[name])
        return None if value == _native.NO_LIMIT else value

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


def whole(name: str, value: object) -> int:
    """A number of something, zero included."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidArgument(f"{name} is a whole number, not {shown(value)}")
    return value


def whole_or_none(name: str, value: object) -> int:
    """A number of something for the library, or no limit."""
    if value is None:
        return _native.NO_LIMIT
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidArgument(f"{name} is a whole number, or None for no limit, not {shown(value)}")
    return value
