"""`with hangup.deadline(3):`: one deadline for all requests in a block."""

from __future__ import annotations

import time
from contextvars import ContextVar, Token

from ._errors import RequestInfo, TotalTimeout
from ._native import NO_LIMIT
from ._timeouts import TOTAL, Seconds, milliseconds

_deadline_at: ContextVar[float | None] = ContextVar("hangup.deadline", default=None)


class deadline:
    """A deadline for all requests in the block, in seconds (a number or a timedelta; None: no deadline of its own).

    The total timeout of each request is the remaining time, or its own total if that is shorter; then it raises
    TotalTimeout. After the deadline a request raises before anything is sent. In nested blocks the earlier deadline
    applies. The deadline belongs to the context (`contextvars`): to this thread or asyncio task, and to the tasks
    that are created in the block. It affects requests only. Raises InvalidTimeout for zero or less.
    """

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: Seconds | None) -> None:
        ms = milliseconds(seconds, "a deadline")
        self._seconds = None if ms == NO_LIMIT else ms / 1000
        self._token: Token[float | None] | None = None

    def __enter__(self) -> None:
        outer = _deadline_at.get()
        until = outer
        if self._seconds is not None:
            until = time.monotonic() + self._seconds
            if outer is not None:
                until = min(outer, until)
        self._token = _deadline_at.set(until)

    def __exit__(self, *exception: object) -> None:
        if self._token is not None:
            _deadline_at.reset(self._token)
            self._token = None


def within_deadline(
    timeouts: tuple[tuple[int, int], ...], total: int, method: str, url: str
) -> tuple[tuple[int, int], ...]:
    """The timeouts of a request, with a total that ends at the deadline of the context if there is one. `total` is the
    client's total timeout in milliseconds."""
    until = _deadline_at.get()
    if until is None:
        return timeouts
    remaining = int((until - time.monotonic()) * 1000)
    if remaining <= 0:
        error = TotalTimeout("the deadline has passed: nothing was sent")
        error.__setstate__({"timeout": "total", "retry_safe": True, "request": RequestInfo(method, url)})
        raise error
    own = dict(timeouts).get(TOTAL, total)
    if own != NO_LIMIT and own <= remaining:
        return timeouts
    return *(pair for pair in timeouts if pair[0] != TOTAL), (TOTAL, remaining)
