"""`TraceRecord`: one entry of a client's trace."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from . import _native


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


Trace = Callable[[TraceRecord], object] | str | os.PathLike[str]
"""Where a trace goes: a callable that takes each record, or the path of a file that each record is appended to."""


def set_trace(client: _native.Client, target: Trace | None, bodies: bool) -> None:
    """Sets the trace of a client; None records nothing."""
    if target is None or callable(target):
        _native.set_trace(client, None if target is None else _as_row(target), bodies)
    else:
        client.set_trace_file(os.fspath(target), bodies)


def _as_row(take: Callable[[TraceRecord], object]) -> Callable[[str, int, int, int, bytes], None]:
    def record(type: str, time_ns: int, connection: int, size: int, data: bytes) -> None:
        take(TraceRecord(type, time_ns / 1e9, connection or None, size, data))

    return record
