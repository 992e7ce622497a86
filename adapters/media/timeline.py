"""Where a track's audio stands in time, on wires that do not stamp it (design: samples are the clock).

Audio that arrives is never dropped and never moved. Silence is put between it in two cases: when frames stop,
up to 200 ms behind the present (`fill`); and, where nobody speaks, for small holes that nothing has made up for
(`settle`). Should missing audio come after all, it is kept, and the track is ahead of the clock for as much: the
next holes are left unfilled, or the clock is put back where nobody speaks (`settle` again). It is put back, too, by
what was said before the track began (`place`).
"""

from __future__ import annotations

from adapters.media.clock import HOLE_SECONDS, WATCH_SECONDS, TrackClock, in_steps

SLACK_SECONDS = 0.06


class Timeline(TrackClock):
    """The clock of one track whose samples are the clock."""

    def __init__(self, zero: float) -> None:
        super().__init__(zero)
        self._first_arrival: float | None = None
        self._began_in_time = False
        """Whether it is known how the track began, and the clock agrees."""

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

    def settle(self, now: float) -> float:
        """Agree with the clock again, where nobody speaks; tell by how many seconds, in whole steps.

        Above zero it is silence that is now appended; below zero the clock was put back by as much.
        """
        if self._watched_since is None or now - self._watched_since < WATCH_SECONDS:
            return 0.0
        lag, self._watched_since = self._least_lag, None
        if lag > SLACK_SECONDS:
            return self._append_silence(in_steps(lag))
        if lag < -SLACK_SECONDS:
            return -self._put_back(in_steps(min(-lag, self._filled)))
        return 0.0

    def __str__(self) -> str:
        return "timeline"

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
