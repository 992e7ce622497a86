"""Where a track's audio stands in time, on wires that do not stamp it (design: samples are the clock).

Audio that arrives is never dropped and never moved. Silence is put between it in two cases: when frames stop,
up to 200 ms behind the present (`fill`); and, where nobody speaks, for small holes that nothing has made up for
(`settle`). Should missing audio come after all, it is kept, and the track is ahead of the clock for as much: the
next holes are left unfilled, or the clock is put back where nobody speaks (`settle` again). It is put back, too, by
what was said before the track began (`place`).
"""

from __future__ import annotations

HOLE_SECONDS = 0.2
"""Frames that come within this time are late, not missing; jitter on loaded machines reaches 75 ms."""

STEP_SECONDS = 0.02
"""Silence is made in steps of one block, so that it never leaves half a block behind."""

WATCH_SECONDS = 1.0
"""So long a track must be behind, or ahead, all the time, for the difference to be a fact and not jitter."""

SLACK_SECONDS = 0.06


class Timeline:
    """The clock of one track; all times are seconds on the clock of `zero`."""

    def __init__(self, zero: float) -> None:
        self._zero = zero
        self._last_arrival = zero
        self._now = zero
        self._position = 0.0
        self._filled = 0.0
        self._first_arrival: float | None = None
        self._began_in_time = False
        """Whether it is known how the track began, and the clock agrees."""
        self._watched_since: float | None = None
        self._least_lag = 0.0

    @property
    def position(self) -> float:
        """Where the next sample stands."""
        return self._position

    @property
    def gap_seconds(self) -> float:
        """Seconds of holes that nothing made up for."""
        ahead = self._position - (self._now - self._zero)
        return max(0.0, self._filled - max(0.0, ahead))

    def place(self, seconds: float, arrived_at: float) -> float:
        """Append a frame's audio; tell by how many seconds that puts the clock back."""
        early = 0.0 if self._began_in_time else self._said_before_zero(arrived_at)
        self._position += seconds - early
        self._last_arrival = self._now = arrived_at
        lag = arrived_at - self._zero - self._position
        if self._watched_since is None:
            self._watched_since, self._least_lag = arrived_at, lag
        elif lag < self._least_lag:
            self._least_lag = lag
        return early

    def pad(self, seconds: float) -> None:
        """Append what a block was filled up with."""
        self._position += seconds

    def fill(self, now: float) -> float:
        """Append silence if frames have stopped; tell how many seconds of it, in whole steps."""
        self._now = now
        if now - self._last_arrival < HOLE_SECONDS:
            return 0.0
        self._watched_since = None
        return self._append_silence(now - HOLE_SECONDS - self._zero - self._position)

    def reach(self, moment: float) -> float:
        """Append silence up to a moment, whoever speaks; tell how many seconds of it, in whole steps."""
        self._watched_since = None
        return self._append_silence(moment - self._zero - self._position)

    def settle(self, now: float) -> float:
        """Agree with the clock again, where nobody speaks; tell by how many seconds, in whole steps.

        Above zero it is silence that is now appended; below zero the clock was put back by as much.
        """
        if self._watched_since is None or now - self._watched_since < WATCH_SECONDS:
            return 0.0
        lag, self._watched_since = self._least_lag, None
        if lag > SLACK_SECONDS:
            return self._append_silence(lag)
        if lag < -SLACK_SECONDS:
            return -self._put_back(min(-lag, self._filled))
        return 0.0

    def _said_before_zero(self, arrived_at: float) -> float:
        """Tell how much of a track's audio is older than the track, once that is known.

        A connection that took seconds to be made brings at once what was said meanwhile, and goes on in time. Who sends
        seconds at a time goes on when those have passed, and is not ahead by then.
        """
        if self._first_arrival is None:
            self._first_arrival = arrived_at
        if arrived_at - self._first_arrival < HOLE_SECONDS:
            return 0.0
        self._began_in_time = True
        ahead = self._position - (arrived_at - self._zero)
        if ahead <= HOLE_SECONDS:
            return 0.0
        self._watched_since = None
        return ahead

    def _append_silence(self, missing: float) -> float:
        silence = max(0, int(missing / STEP_SECONDS)) * STEP_SECONDS
        self._position += silence
        self._filled += silence
        return silence

    def _put_back(self, excess: float) -> float:
        """Take back, from the clock alone, silence that turned out not to be missing audio."""
        steps = max(0, int(excess / STEP_SECONDS)) * STEP_SECONDS
        self._position -= steps
        self._filled -= steps
        return steps
