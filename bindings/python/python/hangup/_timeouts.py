"""The clocks of a request, and seconds as Python says them."""

from __future__ import annotations

import enum
import math
from datetime import timedelta
from typing import Any, Final

from ._errors import InvalidTimeout
from ._native import NO_LIMIT

Seconds = float | timedelta
"""A duration: a number of seconds, or a timedelta."""


class Unset(enum.Enum):
    """The type of `UNSET`: an argument that was not given keeps the default."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET

TOTAL: Final = 1
# HANGUP_TIMEOUT_* of the header.
_CLOCKS = {"total": TOTAL, "pool": 2, "resolve": 3, "connect": 4, "tls": 5, "write": 6, "head": 7, "read": 8}


def milliseconds(seconds: object, what: str = "a timeout") -> int:
    """Seconds as the library takes them: whole milliseconds, at least one; -1 for None, which is no limit."""
    if seconds is None:
        return NO_LIMIT
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        kind = type(seconds).__name__
        raise InvalidTimeout(f"{what} is a number of seconds, a timedelta or None (no limit), not {kind}")
    # An integer may be too large for a float.
    if isinstance(seconds, float) and not math.isfinite(seconds):
        raise InvalidTimeout(f"{what} can't be {seconds}: None means no limit")
    if seconds <= 0:
        raise InvalidTimeout(f"{what} can't be {shown(seconds)}: it must be positive; None means no limit")
    if seconds > 1e12:
        raise InvalidTimeout(f"{what} of {shown(seconds)} seconds is too large: None means no limit")
    return max(1, math.ceil(seconds * 1000))


def shown(value: object) -> str:
    """A value in a message. Of an integer with more than 20 digits the size only: Python refuses to write those with more
    than 4300 (sys.set_int_max_str_digits)."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"{'-' if value < 0 else ''}1e{math.floor(math.log10(abs(value)))}"
    return repr(value)


class Timeout:
    """How long each part of a request may take, in seconds (a number or a timedelta). Immutable.

    What is not given keeps the client's default; None takes the limit away; zero and less are refused.

    - `total`: from the call to the last byte of the body. Default: no limit.
    - `pool`: waiting for a connection slot. Default 30.
    - `resolve`: resolving the host name. Default 10.
    - `connect`: connecting, all addresses together. Default 10.
    - `tls`: the TLS handshake. Default 10.
    - `write`: between two steps of the upload. Default 60.
    - `head`: from the request's last byte to the whole response head. Default 60.
    - `read`: between two pieces of the body. Default 60.

    A bare number where a Timeout is expected is a total: `timeout=5` is `timeout=Timeout(5)`. For a long
    stream leave `total` out and set `read`.

    Raises InvalidTimeout (a ValueError).
    """

    __slots__ = ("_given", "_limits")
    _given: dict[str, Seconds | None]
    _limits: tuple[tuple[int, int], ...]

    def __init__(
        self,
        total: Seconds | None | Unset = UNSET,
        *,
        pool: Seconds | None | Unset = UNSET,
        resolve: Seconds | None | Unset = UNSET,
        connect: Seconds | None | Unset = UNSET,
        tls: Seconds | None | Unset = UNSET,
        write: Seconds | None | Unset = UNSET,
        head: Seconds | None | Unset = UNSET,
        read: Seconds | None | Unset = UNSET,
    ) -> None:
        values = (total, pool, resolve, connect, tls, write, head, read)
        given = {name: value for name, value in zip(_CLOCKS, values) if value is not UNSET}
        limits = tuple((_CLOCKS[name], milliseconds(value, name)) for name, value in given.items())
        object.__setattr__(self, "_given", given)
        object.__setattr__(self, "_limits", limits)

    def __getattr__(self, name: str) -> Seconds | None | Unset:
        if name in _CLOCKS:
            return self._given.get(name, UNSET)
        raise AttributeError(f"Timeout has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Timeout is immutable: make a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Timeout is immutable: make a new one")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeout) and self._limits == other._limits

    def __hash__(self) -> int:
        return hash(self._limits)

    def __repr__(self) -> str:
        return f"Timeout({', '.join(f'{name}={value!r}' for name, value in self._given.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._given,)


def _again(given: dict[str, Any]) -> Timeout:
    return Timeout(**given)


TimeoutLike = Timeout | Seconds | None | Unset
"""What `timeout=` takes: a Timeout, a total in seconds, None for no total, or nothing for the defaults."""


def clocks(timeout: TimeoutLike) -> tuple[tuple[int, int], ...]:
    """Pairs of a clock and milliseconds, for the library."""
    if timeout is UNSET:
        return ()
    if isinstance(timeout, Timeout):
        return timeout._limits
    if isinstance(timeout, (int, float)) and 0.001 <= timeout <= 1e9 and timeout is not True:
        return ((TOTAL, math.ceil(timeout * 1000)),)  # most calls, and quick
    return ((TOTAL, milliseconds(timeout)),)
