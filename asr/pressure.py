"""How hard pressed the models are, by how long finals and interims wait and how many of them. Pure.

What gives way first is text that is soon replaced: under pressure interims come less often and hear less, and under
more none come, so that finals are in time.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from config.settings import Interims


class Level(IntEnum):
    """How hard pressed."""

    NORMAL = 0
    ELEVATED = 1
    CRITICAL = 2


RELIEF = 0.5
"""A level is left when all measures fall below so much of what it begins at ..."""

RELIEF_SECONDS = 1.0
"""... and has stayed there for so long: else what gives way would come back at once, and make the wait anew."""


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured."""

    wait_seconds: float = 0.0
    """So long a new final would wait for its turn."""
    refresh_seconds: float = 0.0
    """So long a track has been waiting for its next interim."""
    finals: float = 0
    interims: float = 0
    """So many wait."""


class Pressure:
    """Follows the measures against the marks of the settings."""

    def __init__(self, settings: Interims) -> None:
        self.adopt(settings)
        self._level = Level.NORMAL
        self._eased_at: float | None = None
        """Since when the measures have been below what keeps the level."""

    def adopt(self, settings: Interims) -> None:
        """Go by other marks from here on; the level stays what it is until it is looked at."""
        self._marks = {
            Level.ELEVATED: Measures(
                wait_seconds=settings.elevated_wait_ms / 1000,
                refresh_seconds=settings.elevated_refresh_ms / 1000,
                finals=_mark(settings.elevated_finals),
                interims=_mark(settings.elevated_interims),
            ),
            Level.CRITICAL: Measures(
                wait_seconds=settings.critical_wait_ms / 1000,
                refresh_seconds=inf,  # it is interims that are late: to have none at all is no remedy
                finals=_mark(settings.critical_finals),
                interims=_mark(settings.critical_interims),
            ),
        }

    def update(self, now: float, measures: Measures) -> Level:
        """Take the measures as they are now; give the level."""
        reached = self._reached(measures, 1.0)
        if reached >= self._level:
            self._level, self._eased_at = reached, None
            return self._level
        if self._reached(measures, RELIEF) >= self._level:
            self._eased_at = None
        elif self._eased_at is None:
            self._eased_at = now
        elif now - self._eased_at >= RELIEF_SECONDS:
            self._level, self._eased_at = Level(self._level - 1), None
        return self._level

    def _reached(self, measures: Measures, share: float) -> Level:
        return max(
            (level for level, mark in self._marks.items() if _above(measures, mark, share)), default=Level.NORMAL
        )


def _above(measures: Measures, mark: Measures, share: float) -> bool:
    pairs = zip(msgspec.structs.astuple(measures), msgspec.structs.astuple(mark), strict=True)
    return any(measure > most * share for measure, most in pairs)


def _mark(setting: int | None) -> float:
    return inf if setting is None else setting
