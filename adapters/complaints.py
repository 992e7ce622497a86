"""What the log is told of clients that are turned away: of many no more than one a second. Pure."""

from __future__ import annotations

SECONDS = 1.0


class Complaints:
    """Counts those of which nothing was told."""

    def __init__(self) -> None:
        self._told_at: float | None = None
        self._untold = 0

    def take(self, now: float) -> int | None:
        """Take one; tell how many have gone untold since the last, or None where this one is to go untold, too."""
        if self._told_at is not None and now - self._told_at < SECONDS:
            self._untold += 1
            return None
        untold, self._untold, self._told_at = self._untold, 0, now
        return untold
