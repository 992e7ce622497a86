from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.stream import AudioFormat, AudioFrame, Encoding, Track, TrackRole
from asr.pacing import Fullness, Step
from asr.pressure import Level
from config.settings import Interims, Settings
from gateway.events import Source
from gateway.routes import Facts, Routes
from gateway.tracks import CallTrack, Glimpse
from gateway.transcript import Spoken
from tests.fakes import Telephone
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import Iterable

SPEECH = prompt("conf-onlyperson")
SLIN = AudioFormat(Encoding.L16, 8_000)
FRAME_BYTES = 320


class Caller:
    """Somebody who speaks, is silent, is cut off and comes back late, each frame at its time."""

    def __init__(self, *, offset_ms: int = 0, interims: Interims | None = None, level: Level = Level.NORMAL) -> None:
        self.now = 10.0
        self.track = CallTrack(
            Track(id="inbound", role=TrackRole.INBOUND),
            call_id="call",
            zero=self.now,
            offset_ms=offset_ms,
            source=Source(kind="test", listener="port"),
            peer=Telephone(),
            settings=Routes(Settings()).choose(Facts(adapter="test", listener="port")),
            interims=interims,
            level=lambda: level,
        )
        self.spoken: list[Spoken] = []
        self.glimpses: list[Glimpse] = []
        self._ticks = 0

    @property
    def at_ms(self) -> int:
        return round((self.now - 10.0) * 1000)

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.now += 0.02
            self._ticks += 1
            if self._ticks % 5 == 0:
                self._hear(self.track.tick(self.now))

    def send(self, pcm: bytes, *, late: float = 0.0) -> None:
        """Send frames in time; or, when they are late, nothing for so long and then all at once."""
        self.pass_time(late)
        for start in range(0, len(pcm), FRAME_BYTES):
            if not late:
                self.pass_time(0.02)
            self._hear(self.track.push(AudioFrame("inbound", SLIN, pcm[start : start + FRAME_BYTES]), self.now))

    def _hear(self, found: Iterable[Spoken | Glimpse]) -> None:
        for each in found:
            if isinstance(each, Spoken):
                self.spoken.append(each)
            else:
                self.glimpses.append(each)

    def silence(self, seconds: float) -> None:
        self.send(bytes(round(seconds * 50) * FRAME_BYTES))

    def finish(self) -> list[Spoken]:
        self._hear(self.track.finish())
        return self.spoken


def test_times_are_the_calls() -> None:
    caller = Caller(offset_ms=5_000)
    caller.silence(2.0)
    caller.send(SPEECH)
    caller.silence(1.0)
    (spoken,) = caller.finish()
    assert 6_900 <= spoken.start_ms <= 7_400
    assert spoken.end_ms <= 5_000 + 2_000 + len(SPEECH) / 16 + 100
    assert spoken.utterance_id == "call_inbound_1"


def test_lost_packets_do_not_make_the_clock_slow() -> None:
    caller = Caller()
    for second in range(60):
        caller.silence(0.9)
        caller.pass_time(0.1)  # five packets are lost
        assert abs(caller.at_ms - (second + 1) * 1000) <= 1
    began_ms = caller.at_ms
    caller.send(SPEECH)
    caller.silence(1.0)
    (spoken,) = caller.finish()
    assert abs(spoken.start_ms - began_ms) <= 600
    assert caller.track.media.gap_ms >= 5_000


def test_audio_that_came_late_does_not_make_the_clock_fast_for_ever() -> None:
    caller = Caller()
    caller.silence(1.0)
    caller.send(bytes(40 * 50 * FRAME_BYTES // 50 * 5), late=4.0)  # four seconds at once
    caller.silence(5.0)
    began_ms = caller.at_ms
    caller.send(SPEECH)
    caller.silence(1.0)
    (spoken,) = caller.finish()
    assert abs(spoken.start_ms - began_ms) <= 600


def test_an_utterance_ends_in_time_when_frames_stop() -> None:
    caller = Caller()
    caller.send(SPEECH)
    stopped = caller.now
    while not caller.spoken:
        caller.pass_time(0.1)
    assert caller.now - stopped <= 0.5 + 0.3 + 0.1, "hangover and 300 ms, seen at the next tick"


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("speak"), st.integers(10, 150)),
            st.tuples(st.just("silence"), st.integers(1, 80)),
            st.tuples(st.just("lost"), st.integers(1, 80)),
            st.tuples(st.just("late"), st.integers(1, 80)),
        ),
        max_size=12,
    )
)
def test_whatever_happens_utterances_follow_one_another_and_no_audio_is_lost(happenings: list[tuple[str, int]]) -> None:
    caller = Caller()
    sent = 0
    for what, frames in happenings:
        match what:
            case "speak":
                caller.send(SPEECH[: frames * FRAME_BYTES])
            case "silence":
                caller.silence(frames / 50)
            case "lost":
                caller.pass_time(frames / 50)
            case "late":
                caller.send(SPEECH[: frames * FRAME_BYTES], late=frames / 50)
        sent += 0 if what == "lost" else frames
    reached = 0
    for spoken in caller.finish():
        assert reached <= spoken.start_ms < spoken.end_ms
        reached = spoken.end_ms
    assert caller.track.media.audio_ms == sent * 20
    assert 0 <= caller.track.media.gap_ms <= caller.at_ms


@pytest.mark.parametrize(("level", "longest_ms"), [(Level.NORMAL, 7_000), (Level.ELEVATED, 4_000)])
def test_an_interim_hears_what_was_not_let_go_of_and_no_more_than_it_may(level: Level, longest_ms: int) -> None:
    caller = Caller(interims=Interims(), level=level)
    caller.send(SPEECH[6_400:44_800] * 4)
    glimpses = [each for each in caller.glimpses if each.step is Step.INTERIM]
    audio_ms = [len(each.spoken.utterance.audio) // 32 for each in glimpses]
    assert max(audio_ms) == longest_ms
    assert {each.spoken.utterance.origin_sample for each in glimpses} == {0}
    fullness = [each.fullness for each in glimpses]
    assert fullness == sorted(fullness)
    assert set(fullness) == set(Fullness)
    assert fullness[-1] is Fullness.FULL

    caller.track.let_go(1, 5_000 * 16)
    caller.send(SPEECH[6_400:44_800])
    after = [each.spoken for each in caller.glimpses[len(glimpses) :]]
    assert {each.utterance.origin_sample for each in after} == {5_000 * 16}
    assert {each.start_ms for each in after} == {glimpses[0].spoken.start_ms}

    caller.silence(1.0)
    caller.track.let_go(1, 60_000 * 16)  # one who was cut off goes on before the place that was kept for the first part
    caller.send(SPEECH)
    last = caller.glimpses[-1].spoken.utterance
    assert (last.number, len(last.audio) > 0) == (2, True)
    assert 9_600 * 16 < last.origin_sample < 60_000 * 16
