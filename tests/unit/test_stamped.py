from __future__ import annotations

import struct
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.media import stamped
from adapters.media.stamped import MOST_HELD, MOST_LATE, StampClock
from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDE = AudioFormat(Encoding.L16, 16_000)
"""Is not resampled: what comes out is what went in."""
ZERO = 100.0
TWILIO, PLIVO = 155, 1_767_322_800_000
"""A first stamp as Twilio has it, in milliseconds since the stream began; and as Plivo has it, since the epoch."""


class Sent(NamedTuple):
    """A frame of 20 ms: when it arrives, its stamp, and the number that all its samples are."""

    at_ms: float
    stamp: int | None
    number: int


def frame(stamp: int | None, number: int, ms: int = 20) -> AudioFrame:
    return AudioFrame("x", WIDE, struct.pack("<h", number) * (16 * ms), stamp)


class Line:
    """A track with a tick every 100 ms, and all that comes out of it."""

    def __init__(self, stamps: StampClock | None = None, *, ticks: bool = True) -> None:
        self.track = MediaTrack(ZERO, stamps)
        self.blocks: list[bytes] = []
        self.now_ms = 0.0
        self._ticks = ticks

    def pass_time(self, until_ms: float) -> None:
        while self._ticks and self.now_ms // 100 < until_ms // 100:
            self.now_ms = (self.now_ms // 100 + 1) * 100
            self.take(self.track.fill(ZERO + self.now_ms / 1000))
        self.now_ms = until_ms

    def send(self, at_ms: float, stamp: int | None, number: int, ms: int = 20) -> None:
        self.pass_time(at_ms)
        self.take(self.track.push(frame(stamp, number, ms), ZERO + at_ms / 1000))

    def play(self, sent: Iterable[Sent]) -> Line:
        for each in sent:
            self.send(*each)
        return self

    def settle(self) -> None:
        self.take(self.track.settle(ZERO + self.now_ms / 1000))

    def take(self, blocks: Iterable[bytes]) -> None:
        self.blocks += blocks

    def finish(self) -> Line:
        self.take(self.track.finish())
        return self

    @property
    def samples(self) -> list[int]:
        return [sample for (sample,) in struct.iter_unpack("<h", b"".join(self.blocks))]

    @property
    def heard(self) -> list[tuple[int, float]]:
        """What stands one after the other: a frame's number, or 0 for silence, and for how many milliseconds."""
        runs = [(number, len(list(run)) / 16) for number, run in groupby(self.samples)]
        return runs[:-1] if runs and runs[-1][0] == 0 else runs  # a block's end, or frames that had stopped

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.heard if number]

    @property
    def ms(self) -> float:
        """From the first sound to the last."""
        heard = self.heard
        return sum(ms for _, ms in (heard[1:] if heard[0][0] == 0 else heard))


def steady(count: int, *, stamp: int = TWILIO, at_ms: float = 500.0, number: int = 1) -> list[Sent]:
    """Frames in order and in time."""
    return [Sent(at_ms + 20 * step, stamp + 20 * step, number + step) for step in range(count)]


def restamped(sent: Iterable[Sent], by_ms: int) -> list[Sent]:
    return [each._replace(stamp=each.stamp + by_ms) for each in sent if each.stamp is not None]


def in_order(numbers: Iterable[int]) -> list[tuple[int, float]]:
    return [(number, 20.0) for number in numbers]


# In order


@pytest.mark.parametrize("stamp", [0, TWILIO, PLIVO, -40])
def test_the_first_frame_ends_with_its_arrival_and_the_others_stand_by_their_stamps(stamp: int) -> None:
    line = Line(ticks=False).play(steady(50, stamp=stamp, at_ms=537)).finish()
    assert line.heard == [(0, 517.0), *in_order(range(1, 51))]
    assert line.track.audio_ms == 1_000
    assert line.track.gap_ms == 517
    assert line.track.late_frames == line.track.put_back_ms == 0


def test_nothing_stands_before_the_track_s_first_moment() -> None:
    sent = steady(50, at_ms=5)
    del sent[30:32]
    line = Line().play(sent).finish()
    assert line.heard == [*in_order(range(1, 31)), (0, 40.0), *in_order(range(33, 51))]


def test_audio_in_order_never_waits_but_for_the_first_60_ms_of_which_it_is_not_known_that_they_are_the_first() -> None:
    line, waits = Line(ticks=False), []
    for each in steady(50, at_ms=20):
        line.send(*each)
        waits.append(each.number - len(line.blocks))
    assert waits == [1, 2, 3, *[0] * 47]


def test_a_frame_that_nothing_follows_waits_for_60_ms() -> None:
    line = Line(ticks=False)
    line.send(20, TWILIO, 1)
    line.take(line.track.fill(ZERO + 0.079))
    assert line.blocks == []
    line.take(line.track.fill(ZERO + 0.081))
    assert line.heard == in_order([1])


def test_frames_may_be_of_any_length() -> None:
    line = Line()
    for number, (stamp, ms) in enumerate([(0, 20), (20, 100), (120, 5), (125, 30), (155, 0), (155, 45)], 1):
        line.send(1_000 + stamp + ms, stamp, number, ms)
    assert line.finish().heard == [(0, 1_000.0), (1, 20.0), (2, 100.0), (3, 5.0), (4, 30.0), (6, 45.0)]


def test_a_frame_without_a_stamp_goes_on_where_the_one_before_it_ends() -> None:
    sent = steady(50)
    line = Line().play(each._replace(stamp=None) if each.number in {2, 7, 8, 30, 50} else each for each in sent)
    assert line.finish().heard == [(0, 480.0), *in_order(range(1, 51))]


def test_it_waits_behind_a_hole_with_the_one_before_it() -> None:
    sent = steady(30)
    del sent[10:13]
    sent[11] = sent[11]._replace(stamp=None)
    line = Line(ticks=False).play(sent).finish()
    assert line.heard == [(0, 480.0), *in_order(range(1, 11)), (0, 60.0), *in_order(range(14, 31))]


def test_stamps_may_begin_later_and_what_was_heard_until_then_stays() -> None:
    sent = steady(100, at_ms=20)
    line = Line().play(each._replace(stamp=None) if each.number <= 40 else each for each in sent)
    assert line.finish().heard == in_order(range(1, 101))


def test_the_chain_says_by_what_it_places() -> None:
    line = Line().play(steady(1))
    assert str(line.track) == "L16 16000 -> stamped timeline -> 16000 -> 20 ms"


def test_the_format_may_change_behind_a_hole() -> None:
    line = Line(ticks=False).play(steady(10))
    narrow = AudioFormat(Encoding.L16, 8_000)
    for step in range(12, 20):
        late = AudioFrame("x", narrow, bytes(320), TWILIO + 20 * step)
        line.take(line.track.push(late, ZERO + 0.5 + 0.02 * step))
    line.finish()
    assert len(line.blocks) == 24 + 20
    assert line.track.format == narrow


# Two tracks


@given(
    st.lists(st.floats(0, 179), min_size=40, max_size=40),
    st.lists(st.floats(0, 179), min_size=40, max_size=40),
    st.integers(-300, 900),
    st.sampled_from([TWILIO, PLIVO]),
)
def test_two_tracks_keep_their_distance_whatever_the_jitter(
    ones: list[float], others: list[float], offset_ms: int, stamp: int
) -> None:
    """As far as frames are there, 20 ms after they begin, before silence is made in their place."""
    stamps = StampClock()
    one, other = Line(stamps), Line(stamps)
    sent = []
    for line, begin, delays in ((one, 0, ones), (other, offset_ms, others)):
        times = np.maximum.accumulate([1_000 + begin + 20 * step + late for step, late in enumerate(delays)])
        sent += [(line, Sent(at, stamp + begin + 20 * step, step + 1)) for step, at in enumerate(times.tolist())]
    for line, each in sorted(sent, key=lambda pair: pair[1].at_ms):
        line.send(*each)
    begun = []
    for line in (one.finish(), other.finish()):
        assert line.heard[1:] == in_order(range(1, 41))
        begun.append(line.heard[0][1])
    assert begun[1] - begun[0] == offset_ms


def test_after_a_stall_at_the_beginning_a_speaker_who_begins_later_keeps_the_distance() -> None:
    stamps = StampClock()
    caller, agent = Line(stamps), Line(stamps)
    sent = [(caller, Sent(max(3_000, 20 * at + 20) + 300, TWILIO + 20 * at, at + 1)) for at in range(400)]
    sent += [(agent, Sent(20 * at + 320, TWILIO + 20 * at, at + 1)) for at in range(250, 400)]
    for line, each in sorted(sent, key=lambda pair: pair[1].at_ms):
        line.send(*each)
        line.settle()
    for line in (caller, agent):
        line.finish()
    starts = [line.samples.index(390) / 16 - line.track.put_back_ms for line in (caller, agent)]
    assert abs(starts[0] - starts[1]) <= 20


def test_a_frame_with_a_stamp_of_the_future_costs_no_more_than_a_moment() -> None:
    line = Line()
    for at in range(1, 200):
        line.send(20 * at + 300, TWILIO + 20 * at + 900 * (at == 100), at)
    line.finish()
    heard = {number for number, _ in line.heard}
    assert len(set(range(1, 200)) - heard) <= 5


def test_a_track_whose_stamps_count_from_its_own_beginning_has_its_own_clock() -> None:
    stamps = StampClock()
    Line(stamps).play(steady(500))
    other = Line(stamps).play(steady(50, stamp=0, at_ms=9_000)).finish()
    assert other.heard == [(0, 8_980.0), *in_order(range(1, 51))]


# Out of order


def shuffled(delays_ms: Sequence[float], *, at_ms: float = 1_000.0) -> list[Sent]:
    sent = steady(len(delays_ms), at_ms=at_ms)
    late = (each._replace(at_ms=each.at_ms + by) for each, by in zip(sent, delays_ms, strict=True))
    return sorted(late, key=lambda each: each.at_ms)


@given(st.lists(st.floats(0, 59), min_size=1, max_size=60))
def test_what_is_swapped_within_60_ms_gives_the_same_audio(delays_ms: list[float]) -> None:
    line = Line().play(shuffled(delays_ms)).finish()
    assert line.numbers == list(range(1, len(delays_ms) + 1))
    assert line.ms == 20 * len(delays_ms)
    assert line.track.late_frames == 0


@pytest.mark.parametrize("ms", [5, 10, 20, 40])
def test_neighbours_that_are_swapped_are_both_heard_however_short_they_are(ms: int) -> None:
    line = Line()
    order = [*range(1, 101), 102, 101, *range(103, 201)]
    for at, number in enumerate(order, 1):
        line.send(200 + at * ms, TWILIO + number * ms, number, ms)
    line.finish()
    assert [number for number, _ in line.heard if number] == list(range(1, 201))


def test_a_lost_frame_and_those_behind_it_wait_no_longer_than_60_ms() -> None:
    sent = steady(60)
    del sent[30]
    line, waits = Line(ticks=False), []
    for each in sent:
        line.send(*each)
        waits.append(each.number + 24 - len(line.blocks))
    assert waits[30:34] == [2, 3, 4, 0]
    assert set(waits[34:]) == {0}


def test_the_tick_ends_the_wait_too() -> None:
    sent = steady(33)
    del sent[30]
    line = Line(ticks=False).play(sent)
    assert line.numbers[-1] == 30
    line.take(line.track.fill(ZERO + sent[30].at_ms / 1000 + 0.061))
    assert line.heard[-4:] == [(30, 20.0), (0, 20.0), (32, 20.0), (33, 20.0)]


def test_of_a_burst_behind_a_hole_few_frames_wait() -> None:
    line = Line(ticks=False).play(steady(50, at_ms=20))
    for number in range(51, 91):
        line.send(1_500, 2_000, number)
        assert number - len(line.numbers) <= MOST_HELD
    assert line.finish().numbers == list(range(1, 91))


@given(st.sets(st.integers(2, 99)))
def test_lost_frames_become_silence_of_exactly_their_length(lost: set[int]) -> None:
    line = Line().play(each for each in steady(100) if each.number not in lost).finish()
    expected = [0 if number in lost else number for number in range(1, 101) for _ in range(320)]
    assert line.samples[480 * 16 :][: len(expected)] == expected
    assert line.track.gap_ms == 480 + 20 * len(lost)
    assert line.track.audio_ms == 2_000 - 20 * len(lost)


def test_what_comes_when_what_follows_it_was_heard_is_late_dropped_and_counted() -> None:
    delays_ms = [0.0] * 40
    delays_ms[20] = delays_ms[21] = 150.0
    line = Line().play(shuffled(delays_ms)).finish()
    assert line.heard == [(0, 980.0), *in_order(range(1, 21)), (0, 40.0), *in_order(range(23, 41))]
    assert (line.track.late_frames, line.track.late_ms) == (2, 40)
    assert (line.track.audio_ms, line.track.gap_ms) == (760, 1_020)


def test_many_late_frames_are_late_while_others_are_not() -> None:
    sent = steady(200)
    late = restamped(sent[100:], -500)
    line = Line(ticks=False).play(
        [*sent[:100], *(each for both in zip(sent[100:], late, strict=True) for each in both)]
    )
    assert line.numbers == list(range(1, 201))
    assert line.track.late_frames == 100


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.just(0.0), st.floats(0, 59), st.floats(0, 900)),  # delay
            st.integers(0, 20),  # how uneven the stamp is
            st.integers(0, 9).map(bool),  # whether it is not lost
        ),
        min_size=1,
        max_size=80,
    )
)
def test_what_is_not_late_stands_once_in_the_order_of_its_stamps_and_in_its_time(
    happenings: list[tuple[float, int, bool]],
) -> None:
    sent = [
        Sent(1_000 + 20 * step + late, PLIVO + 20 * step + uneven, step + 1)
        for step, (late, uneven, comes) in enumerate(happenings)
        if comes
    ]
    sent.sort(key=lambda each: each.at_ms)
    # Many late ones in a row would be taken for wrong stamps; the tests of leaps look at that.
    with patch.object(stamped, "MOST_LATE", len(sent)):
        line = Line(ticks=False).play(sent).finish()
    assert len(line.numbers) + line.track.late_frames == len(sent)
    stamps = {each.number: each.stamp for each in sent}
    heard = [stamps[number] or 0 for number in line.numbers]
    assert heard == sorted(heard)
    assert len(set(line.numbers)) == len(heard)
    assert all(ms == 20 for number, ms in line.heard if number)
    if heard:
        assert line.ms == pytest.approx(heard[-1] - heard[0] + 20, abs=20)


def test_stamps_that_are_uneven_by_little_make_nothing_wait_and_no_silence() -> None:
    uneven = np.random.default_rng(5).integers(0, 8, 200).tolist()
    line = Line(ticks=False)
    for each, by_ms in zip(steady(200, at_ms=20), uneven, strict=True):
        line.play(restamped([each], by_ms))
    assert line.heard == in_order(range(1, 201))


def test_small_holes_are_forgiven_one_by_one_and_not_together() -> None:
    line = Line(ticks=False)
    for step in range(100):  # frames are shorter than the stamps say
        line.send(20 + 25 * step, TWILIO + 25 * step, step + 1)
    assert line.numbers == list(range(1, 101))
    assert line.ms == pytest.approx(99 * 25 + 20, abs=20)


# More than there is time for


def stalled(*, bunched: bool) -> list[Sent]:
    """Nothing for 400 ms, then all at once; stamped as it should be, or with the time at which it is sent."""
    sent = []
    for each in steady(300, at_ms=20, stamp=0):
        stuck = each.number in range(101, 121)
        stamp = 2_385 + (each.number - 101) // 4 if stuck and bunched else each.stamp
        sent.append(each._replace(at_ms=2_405 if stuck else each.at_ms, stamp=stamp))
    return sent


@pytest.mark.parametrize("bunched", [False, True])
def test_what_was_held_up_is_kept_and_the_silence_that_stood_for_it_is_taken_back_where_nobody_speaks(
    bunched: bool,
) -> None:
    line = Line().play(stalled(bunched=bunched))
    assert line.numbers == list(range(1, 301))
    assert line.track.late_frames == 0
    silent_ms = sum(ms for number, ms in line.heard if not number)
    assert silent_ms == pytest.approx(380 if bunched else 200, abs=20)
    assert line.track.gap_ms == pytest.approx(0, abs=5), "nothing was missing in the end"
    line.settle()
    at_once = 0 if bunched else silent_ms  # it has been ahead all the time, since silence was fed
    assert line.track.put_back_ms == pytest.approx(at_once, abs=5)
    sent = [each._replace(at_ms=max(each.at_ms, 6_170)) for each in steady(60, at_ms=6_020, stamp=6_000, number=301)]
    line.play([*restamped(sent[:1], 3), *sent[1:-1], sent[-1]._replace(at_ms=sent[-1].at_ms + 150)])
    line.settle()
    assert line.track.put_back_ms == pytest.approx(silent_ms, abs=5)
    assert len(line.blocks) * 20 - line.track.put_back_ms == pytest.approx(360 * 20, abs=20)
    assert line.track.gap_ms == pytest.approx(0, abs=5)


def test_the_clock_is_not_put_back_because_the_first_frame_was_late() -> None:
    first, *rest = steady(200, stamp=0)
    line = Line().play([first._replace(at_ms=first.at_ms + 300), *(each for each in rest if each.at_ms >= 800)])
    line.settle()
    assert line.track.put_back_ms == 0


def test_the_next_holes_are_left_unfilled_for_as_much() -> None:
    line = Line().play(stalled(bunched=True))
    assert sum(ms for number, ms in line.heard if not number) == 385
    for step in range(50):
        if step >= 10:
            line.send(6_020 + 20 * step, 6_000 + 20 * step, 301 + step)
    line.finish()
    assert line.ms == 6_000 + 50 * 20 + 385 - 200
    assert line.track.gap_ms == pytest.approx(200, abs=5)


def test_only_what_no_hole_was_left_unfilled_for_is_put_back() -> None:
    line = Line().play(stalled(bunched=True))
    line.settle()
    sent = steady(70, at_ms=6_020, stamp=6_000, number=301)
    line.play([*sent[:20], *sent[28:]])
    line.settle()
    assert line.track.put_back_ms == pytest.approx(385 - 160, abs=5)


def test_who_stands_still_with_his_stamps_is_heard_as_without() -> None:
    line = Line()
    for step in range(500):
        line.send(20 + 20 * step, 0, step + 1)
        line.settle()
    assert line.finish().heard == in_order(range(1, 501))
    assert line.track.put_back_ms == line.track.gap_ms == 0


def test_the_same_frame_twice_is_heard_twice_and_its_time_given_back() -> None:
    line = Line()
    for step in range(200):
        line.send(20 + 20 * step, 20 * step, step + 1)
        if step == 50:
            line.send(20 + 20 * step, 20 * step, 1_000)
            line.send(20 + 20 * step, 20 * step, 1_001)
    assert line.numbers[50:53] == [51, 1_000, 1_001]
    line.settle()  # what was before is watched, too
    line.play(steady(60, at_ms=4_020, stamp=4_000, number=2_000))
    line.settle()
    assert line.track.put_back_ms == 40


# When frames stop


@given(st.floats(0, 400))
def test_silence_passes_up_to_200_ms_behind_the_present_though_the_first_frame_came_late(late_ms: float) -> None:
    sent = steady(100, stamp=0)
    sent[0] = sent[0]._replace(at_ms=sent[0].at_ms + late_ms)
    line = Line().play(sorted(sent, key=lambda each: each.at_ms))
    first, stops_ms = line.samples.index(line.numbers[0]) / 16, sent[-1].at_ms
    line.pass_time(stops_ms + 1_000)
    behind_ms = stops_ms + 1_000 - 480 + first - len(line.blocks) * 20
    assert 199.99 <= behind_ms < 200 + 20 + 100, "in whole steps, at a tick"


def test_a_track_that_says_nothing_hears_silence_and_stands_by_its_stamps_when_it_goes_on() -> None:
    line = Line().play([*steady(50), *steady(50, at_ms=4_500, stamp=TWILIO + 4_000, number=101)]).finish()
    assert line.heard == [(0, 480.0), *in_order(range(1, 51)), (0, 3_000.0), *in_order(range(101, 151))]
    assert line.track.gap_ms == 480 + 3_000


def test_a_moment_is_reached_behind_what_waits() -> None:
    sent = steady(32, at_ms=20)
    del sent[30]
    line = Line(ticks=False).play(sent)
    line.take(line.track.reach(ZERO + 2.0))
    assert line.heard == [*in_order(range(1, 31)), (0, 20.0), (32, 20.0)]
    assert len(line.blocks) * 20 == 2_000


def test_nothing_is_lost_at_the_end() -> None:
    sent = steady(34, at_ms=20)
    line = Line(ticks=False).play([*sent[:30], sent[33], sent[31], sent[32]]).finish()
    assert line.heard == [*in_order(range(1, 31)), (0, 20.0), *in_order(range(32, 35))]


# Stamps that are wrong


@pytest.mark.parametrize("stamp", [0, -(2**62), 2**62, 10**400, PLIVO])
@pytest.mark.parametrize("pause_ms", [0, 3_000])
def test_where_stamps_leap_audio_goes_on_where_its_arrival_says(stamp: int, pause_ms: int) -> None:
    first, second = steady(200, at_ms=20, stamp=TWILIO), steady(200, at_ms=4_020 + pause_ms, stamp=stamp, number=201)
    line = Line().play([*first, *second]).finish()
    pause = [(0, float(pause_ms))] if pause_ms else []
    assert line.heard == [*in_order(range(1, 201)), *pause, *in_order(range(201, 401))]
    assert line.track.late_frames == 0


def test_what_waits_when_stamps_leap_comes_before_that() -> None:
    sent = steady(60, at_ms=20)
    line = Line(ticks=False).play([*sent[:30], *sent[32:34], *restamped(sent[34:], -2_000)]).finish()
    assert line.heard == [*in_order(range(1, 31)), (0, 40.0), *in_order(range(33, 61))]


def test_stamps_that_go_back_a_little_and_stay_there_are_not_believed() -> None:
    stuck = [each._replace(stamp=3_500) for each in steady(60, at_ms=4_020, number=201)]
    line = Line().play([*steady(200, at_ms=20, stamp=0), *stuck]).finish()
    assert line.track.late_frames == MOST_LATE
    assert line.numbers == [*range(1, 201), *range(201 + MOST_LATE, 261)]


def test_a_clock_of_its_own_does_not_know_how_late_the_first_frame_of_the_other_was() -> None:
    first, *rest = steady(100, stamp=0, at_ms=20)
    line = Line().play([first._replace(at_ms=320), *(each for each in rest if each.at_ms > 320)])
    line.play(steady(100, stamp=PLIVO, at_ms=2_320, number=101))
    line.pass_time(8_320)
    assert len(line.blocks) * 20 == pytest.approx(8_300 - 200, abs=20)


def test_what_was_said_in_a_burst_before_the_track_is_heard_and_its_time_given_back() -> None:
    line = Line().play([each._replace(at_ms=20) for each in steady(150)])
    line.play(steady(150, at_ms=40, stamp=TWILIO + 3_000, number=151))
    assert line.numbers == list(range(1, 301))
    assert len(line.blocks) == 300
    line.settle()
    assert len(line.blocks) * 20 - line.track.put_back_ms <= line.now_ms + 1_000


def test_long_frames_that_say_they_begin_as_they_arrive_make_no_endless_silence() -> None:
    line = Line()
    line.pass_time(5_000)
    for _ in range(10):
        line.send(line.now_ms, round(line.now_ms), 1, 5_000)
        for step in range(1, 110):
            line.send(line.now_ms + 20, round(line.now_ms) + 20, 1)
            if step == 50:
                line.settle()
        line.settle()
        line.pass_time(line.now_ms + 300)
    silent_ms = sum(ms for number, ms in line.heard if not number)
    assert silent_ms <= line.now_ms + 1_000


STAMPS = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 3_000),
    st.sampled_from([0, 2**62, -(2**62), 10**400, -(10**400)]),
)


@settings(max_examples=200)
@given(st.lists(st.tuples(STAMPS, st.integers(0, 150), st.integers(0, 60), st.booleans()), max_size=120))
def test_whatever_is_stamped_makes_no_more_silence_than_time_has_passed_and_a_second(
    sent: list[tuple[int | None, int, int, bool]],
) -> None:
    line, stamp = Line(), 0
    for number, (leap, pause_ms, ms, leaps) in enumerate(sent, 1):
        stamp = stamp + ms if leap is None or not leaps else leap
        line.send(line.now_ms + pause_ms, None if leap is None else stamp, number, ms)
        line.settle()
        assert len(line.track._stamped._held if line.track._stamped else []) <= MOST_HELD
        silent_ms = sum(ms for number, ms in line.heard if not number)
        assert silent_ms <= line.now_ms + 1_000 + 1
    line.finish()
    assert sum(1 for sample in line.samples if sample) == line.track.audio_ms * 16
    assert line.track.audio_ms + line.track.late_ms == sum(ms for _, _, ms, _ in sent)
    assert 0 <= line.track.gap_ms <= line.now_ms + 1_000
