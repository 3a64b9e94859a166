"""The library's numbers as tuples with names. The classes of these are loaded when the first one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._tcp_facts import TcpFacts
    from ._timings import Timings

TcpRow = tuple[int, int, int, int, int, int, int]


def tcp_facts_of(row: TcpRow) -> TcpFacts | None:
    """The library's numbers, which are all -1 if there are none."""
    rtt_us, silence_ms, *counts = row
    if silence_ms < 0:
        return None
    from . import TcpFacts

    return TcpFacts(None if rtt_us < 0 else rtt_us / 1_000_000, silence_ms / 1000, *counts)


def in_seconds(microseconds: tuple[int, ...]) -> Timings:
    """The library's numbers, of which -1 stands for a phase that did not take place."""
    from . import Timings

    return Timings(*(None if us < 0 else us / 1_000_000 for us in microseconds))
