"""What a manager tells of itself: its open connections and its counters. This module is loaded when a program uses it."""

from __future__ import annotations

from dataclasses import dataclass

from ._tcp_facts import TcpFacts


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """One open connection, at the time of `Manager.connections`. Times are seconds."""

    id: int
    """Unique in the process and never reused."""
    origin: str
    """Scheme, host and port, for example "https://example.org:443"."""
    peer: str
    """The peer's address and port; "" while it is not connected."""
    local: str
    """The local address and port; "" while it is not connected."""
    tls: str
    """The TLS version, for example "TLSv1.3"; "" for plain text."""
    state: str
    """Its state: "resolving", "connecting", "proxy", "tls", "in use", "idle" or "upgraded" (handed over as a Stream)."""
    closing: bool
    """Whether it will be closed when its exchange ends."""
    age: float
    """The time since the dial began."""
    idle: float | None
    """The time since it became idle; None if it is not idle."""
    requests: int
    """Requests that were started on it."""
    bytes_in: int
    """Bytes received from the network."""
    bytes_out: int
    """Bytes sent to the network."""
    tcp_facts: TcpFacts | None = None
    """What TCP knew of it when the list was made: round-trip time, retransmissions, unacknowledged bytes, the server's last
    sign of life. None while it is not connected, for a Unix-domain socket, and on other systems than Linux and Android."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of a manager: `open`, `dialling`, `in_use`, `idle` and `queued` are current values, the others count
    since the manager was made."""

    open: int
    """Open connections: `dialling`, `in_use` and `idle` together."""
    dialling: int
    """Connections in name resolution, connect or a handshake."""
    in_use: int
    """Connections that serve an exchange."""
    idle: int
    """Idle connections."""
    opened: int
    """Connections that were opened."""
    closed: int
    """Connections that were closed, for any reason."""
    reused: int
    """Requests that used an idle connection."""
    dials_failed: int
    """Dials that failed, were cancelled or timed out."""
    stale: int
    """Idle connections that the check at checkout found unusable: closed by the peer, with unexpected data, or silent."""
    queued: int
    """Requests that wait for a connection."""
    swept: int
    """Idle connections that the background sweep found closed by the peer, with unexpected data, or silent."""
    waited: int
    """Requests that had to wait for a connection."""
    refused: int
    """Requests that were refused because the queue was full."""
    retried: int
    """Requests that were retried because a reused connection broke before the response."""
