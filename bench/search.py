"""How many calls still hold a goal: what is asked of a run, and how many calls are tried next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bench.measuring import MOST_GROWTH_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.measuring import Figures

CLOSE_ENOUGH = 20
"""The search ends when the step from what holds to what does not is a twentieth."""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has to hold, with nothing lost and no growing backlog."""

    final_p95_ms: int
    first_interim_p95_ms: int
    interims: bool = True
    """Whether interims are to come at all."""


def shortfalls(figures: Figures, goal: Goal) -> list[str]:
    """Say what a run does not hold."""
    interim_p95_ms = figures.first_interim_p95_ms
    return [
        *_above("final p95", figures.final_p95_ms, goal.final_p95_ms),
        *(_above("first interim p95", interim_p95_ms, goal.first_interim_p95_ms) if goal.interims else ()),
        *_any("finals lost", figures.finals_lost),
        *_any("failed", figures.failed),
        *_any("lines cut off", figures.cut_off),
        *_any("calls without end", figures.unended),
        *(_above("growth", figures.final_growth_ms, MOST_GROWTH_MS) if figures.final_growth_ms is not None else ()),
    ]


def _above(name: str, value: int | None, most: int) -> Iterator[str]:
    if value is None:
        yield f"{name} unknown"
    elif value > most:
        yield f"{name} {value} ms, more than {most}"


def _any(name: str, count: int) -> Iterator[str]:
    if count:
        yield f"{count} {name}"


def next_count(tried: Mapping[int, bool], first: int) -> int | None:
    """Tell how many calls to try after those that were; None when the largest number is known."""
    low, high = largest(tried), min((count for count, held in tried.items() if not held), default=None)
    if high is None:
        return 2 * low or first
    return (low + high) // 2 if high - low > max(1, low // CLOSE_ENOUGH) else None


def largest(tried: Mapping[int, bool]) -> int:
    """Tell the most calls that held, 0 where none did."""
    return max((count for count, held in tried.items() if held), default=0)
