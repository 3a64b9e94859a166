"""Where the trace of a client goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import _native

if TYPE_CHECKING:
    from ._trace_record import TraceRecord

Trace = Callable[["TraceRecord"], object] | str | os.PathLike[str]
"""Where a trace goes: a callable that takes each record, or the path of a file that each record is appended to."""


def set_trace(client: _native.Client, target: Trace | None, bodies: bool) -> None:
    """Sets the trace of a client; None records nothing."""
    if target is None or callable(target):
        _native.set_trace(client, None if target is None else _as_row(target), bodies)
    else:
        client.set_trace_file(os.fspath(target), bodies)


def _as_row(take: Callable[[TraceRecord], object]) -> Callable[[str, int, int, int, bytes], None]:
    from . import TraceRecord

    def record(type: str, time_ns: int, connection: int, size: int, data: bytes) -> None:
        take(TraceRecord(type, time_ns / 1e9, connection or None, size, data))

    return record
