"""The timeouts of a request, and the conversion of seconds to milliseconds."""

from __future__ import annotations

import enum
import math
from datetime import timedelta
from typing import Any, Final

from ._errors import InvalidTimeout
from ._native import CONSTANTS, NO_LIMIT

Seconds = float | timedelta
"""A duration: a number of seconds, or a timedelta."""


class Unset(enum.Enum):
    """The type of `UNSET`: an argument that was not given keeps the default."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET

_NUMBERS = {
    name: CONSTANTS[f"HANGUP_TIMEOUT_{name.upper()}"]
    for name in ("total", "pool", "resolve", "connect", "tls", "write", "head", "read")
}
TOTAL = _NUMBERS["total"]


def milliseconds(seconds: object, what: str = "a timeout") -> int:
    """Whole milliseconds, at least one; NO_LIMIT for None."""
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
        raise InvalidTimeout(f"{what} can't be {short_repr(seconds)}: it must be positive; None means no limit")
    if seconds > 1e12:
        raise InvalidTimeout(f"{what} of {short_repr(seconds)} seconds is too large: None means no limit")
    return max(1, math.ceil(seconds * 1000))


def short_repr(value: object) -> str:
    """`repr(value)` for a message. An integer with more than 20 digits is rounded: Python refuses to print those with
    more than 4300 digits (sys.set_int_max_str_digits)."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"{'-' if value < 0 else ''}1e{math.floor(math.log10(abs(value)))}"
    return repr(value)


class Timeout:
    """How long each part of a request may take, in seconds (a number or a timedelta). Immutable.

    A timeout that is not given keeps the client's setting; None means no timeout; zero and less are refused.

    - `total`: from the call to the last byte of the body. Default: no timeout.
    - `pool`: waiting for a connection slot. Default 30.
    - `resolve`: resolving the host name. Default 10.
    - `connect`: connecting, all addresses together. Default 10.
    - `tls`: the TLS handshake. Default 10.
    - `write`: sending the request, since the peer's system took a segment of it or, if this is less than a second,
      since this system's buffer had room. Default 60.
    - `head`: from the request's last byte to the end of the response head. Default 60.
    - `read`: between two pieces of the body. Default 60.

    A bare number where a Timeout is expected is a total: `timeout=5` is `timeout=Timeout(5)`. For a long
    stream omit `total` and set `read`.

    Raises InvalidTimeout (a ValueError).
    """

    __slots__ = ("_given", "_pairs")
    _given: dict[str, Seconds | None]
    _pairs: tuple[tuple[int, int], ...]

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
        given = {name: value for name, value in zip(_NUMBERS, values) if value is not UNSET}
        pairs = tuple((_NUMBERS[name], milliseconds(value, name)) for name, value in given.items())
        object.__setattr__(self, "_given", given)
        object.__setattr__(self, "_pairs", pairs)

    def __getattr__(self, name: str) -> Seconds | None | Unset:
        if name in _NUMBERS:
            return self._given.get(name, UNSET)
        raise AttributeError(f"Timeout has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Timeout is immutable: make a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Timeout is immutable: make a new one")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeout) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"Timeout({', '.join(f'{name}={value!r}' for name, value in self._given.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._given,)


def _restore(given: dict[str, Any]) -> Timeout:
    return Timeout(**given)


TimeoutLike = Timeout | Seconds | None | Unset
"""The type of `timeout=`: a Timeout, a total in seconds, or None for no total."""


def timeout_pairs(timeout: TimeoutLike) -> tuple[tuple[int, int], ...]:
    """Pairs of a HANGUP_TIMEOUT_* number and milliseconds, for `_native`."""
    if timeout is UNSET:
        return ()
    if isinstance(timeout, Timeout):
        return timeout._pairs
    if isinstance(timeout, (int, float)) and 0.001 <= timeout <= 1e9 and timeout is not True:
        return ((TOTAL, math.ceil(timeout * 1000)),)  # the fast path of most calls
    return ((TOTAL, milliseconds(timeout)),)
