"""`Events`: a subscription to the events of a manager."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from . import _native
from ._timeouts import Seconds, milliseconds


@dataclass(frozen=True, slots=True)
class Event:
    """One event. Times are seconds."""

    number: int
    """Consecutive in a manager: a gap is the number of events that were lost."""
    at: float
    """When it happened, since the first subscription to this manager; on a monotonic clock."""
    type: str
    """ "opened": the dial of a connection began. "leased": it began to serve an exchange. "returned": its exchange, or a
    dial that no request waits for, ended and it is idle; a connection that serves a waiting request next is "leased"
    again without "returned". "closed": it was closed, see `reason`. "queued": a request began to wait for a connection.
    "retried": a request is sent again, see `retry_reason` and `delay`. "phase": a phase of an
    exchange, see `phase` and `took`; all phases are reported when the exchange has ended, which may be after its
    connection was returned or closed. "no_proxy ignored": entries of `no_proxy` in the environment are not understood
    and are passed over, see `Client.ignored_no_proxy`; reported once for a client. "network changed": the network of this
    machine changed, as the system or `Manager.network_changed` said, and resolved addresses are forgotten. Later versions
    may add types.

    About a connection that may have died without a word: "suspected": a request on this connection waits, and bytes of
    it have not been acknowledged for longer than a lost packet explains. "probed" follows: a second connection to the same
    origin is being opened, to find out whether the network or this connection is gone. Then "lost": the second connection was
    made and the bytes were still not acknowledged, so that this one is "closed" with the reason "peer silent", and its request
    is "retried" or raises PeerSilent; or "recovered": the bytes were acknowledged, or an answer came, and the exchange goes
    on."""
    connection: int | None
    """The id of the connection; None for an event without one."""
    origin: str
    """Scheme, host and port, for example "https://example.org:443"; "" for "network changed"."""
    reason: str | None
    """The close reason, as in `Manager.close_reason`; None unless `type` is "closed"."""
    phase: str | None
    """Which phase, for example "connect"; None unless `type` is "phase"."""
    took: float | None
    """How long that phase took; None unless `type` is "phase"."""
    retry_reason: str | None = None
    """Why a request is sent again: "connection lost", "connect failed", "status code" or "challenge"; None unless `type`
    is "retried"."""
    delay: float | None = None
    """The delay before it is sent again; None unless `type` is "retried"."""


class Events(_native.Events):
    """A subscription to the events of a manager (`Manager.events`), from its creation until it is closed.

        with manager.events() as events:
            for event in events:
                print(event.at, event.type, event.connection, event.origin)

    Each event is returned once, in order. Threads: one at a time reads; a second one gets InvalidState. Waiting does
    not hold the interpreter lock, and Ctrl-C ends it. In a forked child every call raises ForkedError: subscribe again
    there.
    """

    def next(self, timeout: Seconds | None = None) -> Event | None:
        """The next event; None after `timeout` seconds without one, or if `close` was called meanwhile.

        0 does not wait; None means no timeout. A timeout loses no event. Raises InvalidState if the subscription was
        closed before or another thread is reading, InvalidTimeout, ForkedError.
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
    number: int, at: int, type: str, connection: int, origin: str, reason: str, phase: str, took: int, why: str, delay: int
) -> Event:
    return Event(
        number,
        at / 1e9,
        type,
        connection or None,
        origin,
        reason or None,
        None if phase == "none" else phase,
        None if took < 0 else took / 1e9,
        why or None,
        None if delay < 0 else delay / 1e9,
    )
