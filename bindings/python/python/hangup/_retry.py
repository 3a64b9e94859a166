"""`RetryPolicy`: when a request is sent again that was not served."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import _native
from ._errors import InvalidArgument
from ._limit_values import non_negative_int
from ._timeouts import Seconds, milliseconds


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a client sends a request again that was not served (`Client(retry_policy=RetryPolicy())`). Times are seconds.

    After a response with one of the status codes: a GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or a request with an
    Idempotency-Key header; any other method only after 429 (RFC 6585 section 4), and after 503 with a Retry-After (RFC
    9110 section 15.6.4), with which the server says that it did nothing. (curl's --retry repeats every method, urllib3
    only idempotent ones.) A Retry-After, in seconds or as a date, sets the delay.

    After a failure to connect, whatever the method, as nothing was sent. What a later attempt can't mend, such as a
    refused certificate, is not tried again.

    In both cases the body must be one that can be sent again. A cancel and the total timeout end the delay at once; a
    delay that would last longer than the total timeout or `max_total` is not begun. Each retry is an event "retried".
    """

    max_attempts: int = 3
    """How often a request is sent at most, the first time included."""
    status_codes: Iterable[int] = (429, 503)
    """The status codes after which it is sent again, from 400 to 599."""
    connect_errors: bool = True
    """Whether it is sent again if no connection could be made for it."""
    first_delay: Seconds = 0.5
    """The delay before the second attempt; each is twice the one before it, less a random part of up to a half."""
    max_delay: Seconds = 30
    """The longest delay. A response whose Retry-After names a longer one is returned."""
    max_total: Seconds | None = 60
    """The time from the call in which the last attempt must begin. None: any."""
    budget: int | None = 10
    """How many retries all requests of the client save together at most. None: no budget."""
    budget_percent: int = 10
    """By how much of a retry each request that is served lets the budget grow, in percent."""

    def _row(self) -> tuple[int, int, int, int, list[int], int, bool, int]:
        return (
            milliseconds(self.first_delay, "first_delay"),
            milliseconds(self.max_delay, "max_delay"),
            milliseconds(self.max_total, "max_total"),
            _native.NO_LIMIT if self.budget is None else _positive("budget", self.budget),
            list(self.status_codes),
            _positive("max_attempts", self.max_attempts),
            bool(self.connect_errors),
            non_negative_int("budget_percent", self.budget_percent),
        )


def _positive(name: str, value: object) -> int:
    number = non_negative_int(name, value)
    if number == 0:
        raise InvalidArgument(f"{name} of a retry policy is 0: max_attempts=1 is a policy without retries")
    return number
