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


def in_seconds(microseconds: tuple[int, ...]) -> Timings:
    """The library's numbers, of which -1 stands for a phase that did not take place."""
    return Timings(*(None if us < 0 else us / 1_000_000 for us in microseconds))
