"""`with hangup.deadline(3):`: one end for everything inside."""

from __future__ import annotations

import time
from contextvars import ContextVar, Token

from ._errors import RequestInfo, TotalTimeout
from ._native import NO_LIMIT
from ._timeouts import TOTAL, Seconds, milliseconds

_until: ContextVar[float | None] = ContextVar("hangup.deadline", default=None)


class deadline:
    """All requests in the block, and what they call, share so many seconds (a number or a timedelta; None: no
    limit of its own).

    Each has as its total limit what is left, or its own if that is shorter, and raises TotalTimeout; without
    anything left it raises before it begins. In an inner block the earlier end counts. It belongs to the
    context (`contextvars`): to this thread or asyncio task, and to the tasks that are begun in the block.
    Only requests look at it. Raises InvalidTimeout for zero or less.
    """

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: Seconds | None) -> None:
        ms = milliseconds(seconds, "a deadline")
        self._seconds = None if ms == NO_LIMIT else ms / 1000
        self._token: Token[float | None] | None = None

    def __enter__(self) -> None:
        outer = _until.get()
        until = outer
        if self._seconds is not None:
            until = time.monotonic() + self._seconds
            if outer is not None:
                until = min(outer, until)
        self._token = _until.set(until)

    def __exit__(self, *exception: object) -> None:
        if self._token is not None:
            _until.reset(self._token)
            self._token = None


def within(
    clocks: tuple[tuple[int, int], ...], total: int, method: str, url: str
) -> tuple[tuple[int, int], ...]:
    """A request's clocks within the deadline, if there is one; `total` is the client's limit in milliseconds."""
    until = _until.get()
    if until is None:
        return clocks
    left = int((until - time.monotonic()) * 1000)
    if left <= 0:
        error = TotalTimeout("the deadline has passed: nothing was sent")
        error.__setstate__({"limit": "total", "retry_safe": True, "request": RequestInfo(method, url)})
        raise error
    own = dict(clocks).get(TOTAL, total)
    if own != NO_LIMIT and own <= left:
        return clocks
    return *(clock for clock in clocks if clock[0] != TOTAL), (TOTAL, left)
