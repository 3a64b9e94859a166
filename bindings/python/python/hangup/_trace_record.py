"""`TraceRecord`: one entry of a client's trace. This module is loaded when a program uses it."""

from __future__ import annotations

from typing import NamedTuple


class TraceRecord(NamedTuple):
    """One entry of a trace: a head, a piece of a body, or what happens to a connection."""

    type: str
    """"info", "request head", "request body", "response head" or "response body"; later versions may add some."""
    time: float
    """Seconds since 1970-01-01 00:00:00 UTC."""
    connection: int | None
    """The id of the connection; None while there is none."""
    size: int
    """For a piece of a body its size in bytes; otherwise the size of `data`."""
    data: bytes
    """The text of information, the bytes of a head with secrets replaced by their length, or the bytes of a piece of a
    body; empty for bodies unless they are wanted."""
