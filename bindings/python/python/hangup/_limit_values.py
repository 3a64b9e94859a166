"""The numbers of the limits of a manager for `_native`, and the checks of whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _native
from ._errors import InvalidArgument
from ._native import CONSTANTS, NO_LIMIT
from ._timeouts import Seconds, milliseconds, short_repr

if TYPE_CHECKING:
    from ._limits import Limits

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
TIMES = {"idle", "max_age", "keep_alive"}


def limit_pairs(limits: Limits) -> list[tuple[int, int]]:
    """Pairs of a HANGUP_LIMIT_* number and its value, for `_native`."""
    return [limit_pair(name, getattr(limits, name)) for name in _NUMBERS]


def limit_pair(name: str, value: Seconds | None) -> tuple[int, int]:
    """The HANGUP_LIMIT_* number of a limit and its value, for `_native`."""
    return _NUMBERS[name], milliseconds(value, name) if name in TIMES else limit_value(name, value)


def current_limits(manager: _native.Manager) -> dict[str, Any]:
    """The current limits of a manager, as the arguments of Limits."""

    def value(name: str) -> float | None:
        number = manager._limit(_NUMBERS[name])
        if number == NO_LIMIT:
            return None
        return number / 1000 if name in TIMES else number

    return {name: value(name) for name in _NUMBERS}


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
