"""What the clock of every track keeps, stamps or not: where its audio stands, and the silence that nobody sent."""

from __future__ import annotations

HOLE_SECONDS = 0.2
"""Frames that come within this time are late, not missing; jitter on loaded machines reaches 75 ms."""

STEP_SECONDS = 0.02
"""Silence is made in steps of one block, so that it never leaves half a block behind."""

WATCH_SECONDS = 1.0
"""So long a track must be behind, or ahead, all the time, for the difference to be a fact and not jitter."""


class TrackClock:
    """The clock of one track; all times are seconds on the clock of `zero`, and every clock says where it stands then.

    Whoever goes on where another clock was says at which `position`, and how much of that is silence.
    """

    def __init__(self, zero: float, position: float = 0.0, filled: float = 0.0) -> None:
        self._zero = zero
        self._last_arrival = zero
        self._now = zero
        self._position = position
        self._filled = filled
        self._watched_since: float | None = None
        self._least_lag = 0.0

    @property
    def position(self) -> float:
        """Where the next sample stands."""
        return self._position

    @property
    def filled_seconds(self) -> float:
        """Silence that stands in holes, whether or not something makes up for it later."""
        return self._filled

    @property
    def gap_seconds(self) -> float:
        """Seconds of holes that nothing made up for."""
        ahead = self._position - self._stands_at(self._now)
        return max(0.0, self._filled - max(0.0, ahead))

    def pad(self, seconds: float) -> None:
        """Append what a block was filled up with."""
        self._position += seconds

    def fill(self, now: float) -> float:
        """Append silence if frames have stopped; tell how many seconds of it, in whole steps."""
        self._now = now
        if now - self._last_arrival < HOLE_SECONDS:
            return 0.0
        return self.reach(now - HOLE_SECONDS)

    def reach(self, moment: float) -> float:
        """Append silence up to a moment, whoever speaks; tell how many seconds of it, in whole steps."""
        self._watched_since = None
        return self._append_silence(in_steps(self._stands_at(moment) - self._position))

    def _stands_at(self, moment: float) -> float:
        """Tell where audio stands that ends at a moment and is not late."""
        return moment - self._zero

    def _append_silence(self, seconds: float) -> float:
        self._position += seconds
        self._filled += seconds
        return seconds

    def _put_back(self, excess: float) -> float:
        """Take back, from the clock alone, silence first, what turned out to be more than its time."""
        self._position -= excess
        self._filled = max(0.0, self._filled - excess)
        return excess


def in_steps(seconds: float) -> float:
    """Round down to whole steps, and up to none."""
    return max(0, int(seconds / STEP_SECONDS)) * STEP_SECONDS
