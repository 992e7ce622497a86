"""Where a track's audio stands in time, on wires that stamp each frame with its milliseconds. Pure.

A frame stands where its stamp says. One that comes before another that may be missing waits for it; then silence takes
the place of what did not come, so exactly that both tracks of a stream keep their distance. What is older than what
stands already is late, and dropped. Nothing else is: where frames are more than their stamps leave room for, as after
silence for frames that had stopped (`fill`), or where the sender stamps a burst as it sends it, the track is ahead for
as much; the next holes are left unfilled, or the clock is put back where nobody speaks (`settle`). Stamps that leap are
wrong themselves, and the audio goes on where its arrival says.
"""

from __future__ import annotations

import math
from bisect import insort
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from adapters.media.clock import WATCH_SECONDS, TrackClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.stream import AudioFrame

UNEVEN_MS = 15
"""Stamps are uneven by less. More is a hole, for a lost frame of 20 ms leaves more, though the stamps be uneven."""

WINDOW_MS = 60
"""So long what comes behind a hole waits for what belongs there."""

MOST_HELD = 16
"""In 60 ms three frames come, or a burst."""

LEAP_MS = 1_000
"""Stamps that go back by more, or say that audio is to be spoken so much later, are wrong."""

MOST_LATE = 5
"""So many late frames in a row are not late: their stamps are wrong."""

MOST_BASES = 4

Piece: TypeAlias = "tuple[float, AudioFrame]"
"""A frame whose turn it is, and the seconds of silence before it."""


class StampClock:
    """Which stamp of a stream stands at which moment, the same for all of its tracks.

    Where stamps leap it begins anew; what held before is remembered, for the other tracks come to it in their turn.
    """

    def __init__(self) -> None:
        self._bases: list[tuple[int, float]] = []

    def known(self, zero: float) -> list[int]:
        """Tell which stamp stands at `zero`, by each beginning that is remembered, the latest first."""
        return [first - round((stands_at - zero) * 1000) for first, stands_at in reversed(self._bases)]

    def begin(self, zero: float, stamp: int, moment: float) -> int:
        """Let a stamp stand at its moment from here on; tell which stands at `zero` then."""
        self._bases = [*self._bases[-MOST_BASES + 1 :], (stamp, moment)]
        return stamp - round((moment - zero) * 1000)


class _Held(msgspec.Struct, frozen=True):
    """A frame that waits for its turn."""

    at_ms: float
    seconds: float
    arrived_at: float
    frame: AudioFrame

    @property
    def end_ms(self) -> float:
        return self.at_ms + self.seconds * 1000


class StampedTimeline(TrackClock):
    """The clock of one track from its first stamped frame on; `at_ms` is a stamp counted from the track's zero."""

    def __init__(self, stamps: StampClock, zero: float, position: float = 0.0, filled: float = 0.0) -> None:
        super().__init__(zero, position, filled)
        self.late_frames = 0
        self.late_seconds = 0.0
        self._stamps = stamps
        self._zero_stamp = 0
        self._begun = False
        self._last_ms = -math.inf
        """Where the frame that was placed last stands, ..."""
        self._end_ms = -math.inf
        """... and ends. Unknown where stamps begin: what comes first need not be the first."""
        self._held: list[_Held] = []
        """Frames behind a hole, in the order of their stamps; of the same, as they came."""
        self._uneven_ms: float = UNEVEN_MS
        self._late_in_a_row = 0
        self._least_delay = 0.0
        """How long after it was said, by its stamp, audio is there that came fastest."""
        self._least_ahead = 0.0
        self._made = filled
        """Silence of all time, though it was put back."""

    def place(self, frame: AudioFrame, seconds: float, arrived_at: float) -> Sequence[Piece]:
        """Take a frame; give those that can be appended now, in their order."""
        self._now = arrived_at
        if frame.wire_ms is not None and not self._held:
            at_ms = frame.wire_ms - self._zero_stamp
            if self._last_ms <= at_ms < self._end_ms + self._uneven_ms and at_ms <= self._latest_ms(arrived_at):
                self._last_arrival = arrived_at
                return ((self._append(at_ms, seconds, arrived_at), frame),)
        return self._sort(frame, seconds, arrived_at)

    def due(self, now: float) -> Sequence[Piece]:
        """Give the frames that have waited long enough."""
        self._now = now
        return self._release()

    def flush(self) -> Sequence[Piece]:
        """Give all frames that wait."""
        return [self._let_go() for _ in range(len(self._held))]

    def pad(self, seconds: float) -> None:
        """Append what a block was filled up with; the next hole is left unfilled for as much."""
        super().pad(seconds)
        self._filled += seconds

    def settle(self, now: float) -> float:
        """Put the clock back, where nobody speaks, if the track is ahead; tell by how many seconds, below zero.

        The stamps say by how many. Not by more than the clock of arrivals agrees to: some senders' stamps stand still.
        """
        if self._watched_since is None or now - self._watched_since < WATCH_SECONDS:
            return 0.0
        self._watched_since = None
        excess = min(self._least_ahead, -self._least_lag)
        return -self._put_back(excess) if excess * 1000 >= UNEVEN_MS else 0.0

    def __str__(self) -> str:
        return "stamped timeline"

    def _sort(self, frame: AudioFrame, seconds: float, arrived_at: float) -> Sequence[Piece]:
        """Put a frame among those that wait, unless it is late; give those whose turn it is."""
        if frame.wire_ms is None:
            at_ms = self._held[-1].end_ms if self._held else self._end_ms
            return self._hold(_Held(at_ms, seconds, arrived_at, frame))
        before = self._find_base(frame.wire_ms, seconds, arrived_at)
        at_ms = frame.wire_ms - self._zero_stamp
        if at_ms < self._last_ms:
            self._note_late(seconds)
            return before
        return [*before, *self._hold(_Held(at_ms, seconds, arrived_at, frame))]

    def _hold(self, held: _Held) -> list[Piece]:
        self._last_arrival = held.arrived_at
        insort(self._held, held, key=lambda each: each.at_ms)
        return self._release()

    def _note_late(self, seconds: float) -> None:
        self.late_frames += 1
        self.late_seconds += seconds
        self._late_in_a_row += 1

    def _find_base(self, stamp: int, seconds: float, arrived_at: float) -> Sequence[Piece]:
        """Begin, or begin again on a clock of the track's own where the stamp leaps; give what waited until then."""
        start = max(self._zero, arrived_at - seconds)
        if not self._begun:
            self._begun = True
            known = self._stamps.known(self._zero)
            self._zero_stamp = known[0] if known else self._stamps.begin(self._zero, stamp, start)
        if not self._leaps(stamp - self._zero_stamp, arrived_at):
            return ()
        before = self.flush()
        earliest, latest = (start - self._zero) * 1000 - LEAP_MS, self._latest_ms(arrived_at)
        known = [each for each in self._stamps.known(self._zero) if earliest < stamp - each <= latest]
        self._zero_stamp = known[0] if known else self._stamps.begin(self._zero, stamp, start)
        self._last_ms = self._end_ms = -math.inf
        self._least_delay = 0.0
        self._watched_since = None
        return before

    def _leaps(self, at_ms: int, arrived_at: float) -> bool:
        newest_ms = self._held[-1].at_ms if self._held else self._last_ms
        if newest_ms == -math.inf:  # stamps begin
            newest_ms = self._position * 1000
        too_late = at_ms < self._last_ms and self._late_in_a_row >= MOST_LATE
        return too_late or at_ms < newest_ms - LEAP_MS or at_ms > self._latest_ms(arrived_at)

    def _latest_ms(self, arrived_at: float) -> float:
        return (arrived_at - self._zero) * 1000 + LEAP_MS

    def _release(self) -> list[Piece]:
        """Give what is next by its stamp, or has waited long enough."""
        pieces = []
        while self._held and (self._held[0].at_ms < self._end_ms + self._uneven_ms or self._has_waited()):
            pieces.append(self._let_go())
        return pieces

    def _has_waited(self) -> bool:
        held = self._held
        if len(held) > MOST_HELD or held[-1].at_ms - held[0].at_ms >= WINDOW_MS:
            return True
        return self._now - min(each.arrived_at for each in held) >= WINDOW_MS / 1000

    def _let_go(self) -> Piece:
        held = self._held.pop(0)
        return self._append(held.at_ms, held.seconds, held.arrived_at), held.frame

    def _append(self, at_ms: float, seconds: float, arrived_at: float) -> float:
        """Append a frame's audio; tell how many seconds of silence come before it."""
        self._last_ms = at_ms
        self._end_ms = at_ms + seconds * 1000
        self._uneven_ms = min(UNEVEN_MS, max(1.0, 750.0 * seconds))  # the hole of a lost frame must be seen
        self._late_in_a_row = 0
        hole = at_ms / 1000 - self._position
        silence = self._append_silence(hole) if hole * 1000 >= UNEVEN_MS else 0.0
        self._position += seconds
        self._watch(self._end_ms / 1000, arrived_at - self._zero)
        return silence

    def _watch(self, end: float, arrival: float) -> None:
        """Note how the track stands to its stamps and to its arrivals."""
        delay, lag, ahead = arrival - end, arrival - self._position, self._position - end
        if self._watched_since is None:
            self._watched_since, self._least_lag, self._least_ahead = arrival + self._zero, lag, ahead
        # Hardly ever; three times min() for each frame takes longer than all else here.
        if lag < self._least_lag or ahead < self._least_ahead or delay < self._least_delay:
            self._least_lag = min(self._least_lag, lag)
            self._least_ahead = min(self._least_ahead, ahead)
            self._least_delay = min(self._least_delay, delay)

    def _stands_at(self, moment: float) -> float:
        return moment - self._zero - self._least_delay

    def _append_silence(self, seconds: float) -> float:
        """Append silence, of all that there ever was no more than time has passed, and a second."""
        room = self._now - self._zero + LEAP_MS / 1000 - self._made
        silence = max(0.0, min(seconds, room))
        self._made += silence
        return super()._append_silence(silence)
