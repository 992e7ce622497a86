"""How hard pressed the models are, from how long a new final would wait. Pure.

What gives way first is text that is soon replaced: under pressure interims come less often and hear less, and under
more none come, so that finals are in time.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Interims


class Level(IntEnum):
    """How hard pressed."""

    NORMAL = 0
    ELEVATED = 1
    CRITICAL = 2


RELIEF = 0.5
"""A level is left when the wait falls below so much of what it began at ..."""

RELIEF_SECONDS = 1.0
"""... and has stayed there for so long: else what gives way would come back at once, and make the wait anew."""


class Pressure:
    """Follows the predicted wait of a new final."""

    def __init__(self, settings: Interims) -> None:
        self._elevated_seconds = settings.elevated_wait_ms / 1000
        self._critical_seconds = settings.critical_wait_ms / 1000
        self._level = Level.NORMAL
        self._eased_at: float | None = None
        """Since when the wait has been below what keeps the level."""

    def update(self, now: float, wait_seconds: float) -> Level:
        """Take the wait as it is now; give the level."""
        reached = self._reached(wait_seconds, 1.0)
        if reached >= self._level:
            self._level, self._eased_at = reached, None
            return self._level
        if self._reached(wait_seconds, RELIEF) >= self._level:
            self._eased_at = None
        elif self._eased_at is None:
            self._eased_at = now
        elif now - self._eased_at >= RELIEF_SECONDS:
            self._level, self._eased_at = Level(self._level - 1), None
        return self._level

    def _reached(self, wait_seconds: float, share: float) -> Level:
        if wait_seconds > self._critical_seconds * share:
            return Level.CRITICAL
        return Level.ELEVATED if wait_seconds > self._elevated_seconds * share else Level.NORMAL
