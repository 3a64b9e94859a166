"""`Timings`: how long each phase of an exchange took."""

from __future__ import annotations

from typing import NamedTuple


class Timings(NamedTuple):
    """The duration of each phase in seconds; None for a phase that did not take place."""

    pool: float | None
    resolve: float | None
    connect: float | None
    proxy: float | None
    tls: float | None
    write: float | None
    head: float | None
    read: float | None
    total: float | None
