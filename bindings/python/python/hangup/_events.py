"""What happens to connections, told as it happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from . import _native
from ._timeouts import Seconds, milliseconds


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Times are seconds."""

    number: int
    """Consecutive in a manager: a gap is as many events as were lost."""
    at: float
    """When, counted from when somebody began to listen to this manager; on a clock that is never set."""
    what: str
    """What happened. "opened": a connection began to be dialled. "leased": it began to serve an exchange.
    "returned": it came back from one, or from a dial that nobody waits for any more, and is idle; one that goes
    straight to who waits for it is "leased" again without. "closed": it was closed, see `reason`. "queued": a
    request began to wait for a connection. "retried": a request is sent again, because this connection broke
    before the response. "phase": a phase of an exchange, see `phase` and `took`; all of them are told together when
    it is over, which may be after its connection was returned or closed. There may be more one day."""
    connection: int | None
    """The connection's id; None if there is none."""
    origin: str
    """Where to, for example "https://example.org:443"."""
    reason: str | None
    """Why it was closed, as `Manager.why_closed` says it; None unless it was."""
    phase: str | None
    """Which phase, for example "connect"; None unless `what` is "phase"."""
    took: float | None
    """How long that phase took; None unless `what` is "phase"."""


class Events(_native.Events):
    """Somebody who listens to a manager (`Manager.events`), from its beginning on, until it is closed.

        with manager.events() as events:
            for event in events:
                print(event.at, event.what, event.connection, event.origin)

    Each event is told once, in the order in which they happened. One thread at a time may read; a second one
    gets InvalidState. Waiting does not hold the interpreter lock, and Ctrl-C ends it. In a forked child it
    raises ForkedError: begin to listen again there.
    """

    def next(self, timeout: Seconds | None = None) -> Event | None:
        """The next event; None if nothing happened for so many seconds, or `close` was called meanwhile.

        0 does not wait; None waits for as long as it takes. No event is lost by a timeout. Raises InvalidState
        if it was closed before or another thread is reading, InvalidTimeout, ForkedError.
        """
        at_once = timeout == 0 and not isinstance(timeout, bool)
        row = self._next(0 if at_once else milliseconds(timeout))
        return None if row is None else _event(*row)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if self.is_closed or (row := self._next(_native.NO_LIMIT)) is None:
            raise StopIteration
        return _event(*row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Events {'closed' if self.is_closed else 'open'}>"


def _event(
    number: int, at: int, what: str, connection: int, origin: str, reason: str, phase: str, took: int
) -> Event:
    return Event(
        number,
        at / 1e9,
        what,
        connection or None,
        origin,
        reason or None,
        None if phase == "none" else phase,
        None if took < 0 else took / 1e9,
    )
