"""`TcpFacts`: what TCP knows of a connection at one moment."""

from __future__ import annotations

from typing import NamedTuple


class TcpFacts(NamedTuple):
    """What the operating system's TCP knows of a connection at one moment: TCP_INFO of Linux (tcp(7)). Times are seconds.

    TLS does not hide it, as it is below TLS. On a connection through a proxy it is about the way to the proxy.
    `HangupError.tcp_facts` has it as it was when a wait ended without an answer, `ConnectionInfo.tcp_facts` as it was when
    the list was made.
    """

    rtt: float | None
    """The smoothed round-trip time (RFC 6298 section 2); None before it was measured."""
    silence: float
    """How long ago the last byte or acknowledgement of the server came: its last sign of life."""
    unacked_bytes: int
    """Bytes that were written to the connection and that the server's TCP has not acknowledged. It may have received them:
    acknowledgements get lost, too."""
    unsent_bytes: int
    """Those of them that were not sent yet, because the server or the network takes no more for now."""
    retransmissions: int
    """Segments that were sent again since the connection was made."""
    retransmissions_in_row: int
    """How often the oldest unacknowledged segment was sent again, without an acknowledgement in between."""
    unanswered_probes: int
    """Keep-alive probes (`Limits.keep_alive`) and probes of a full receive window that were sent in a row and not answered."""
