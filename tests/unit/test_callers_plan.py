from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.asterisk.audiosocket import AudioSocketWire, Kind, encode
from adapters.stream import AudioFrame, DigitPressed, StreamEvent, Track, TrackRole
from gateway.callers.plan import At, CallPlan, parse_digit, parse_hold, schedule
from tests.sound import prompt

SPEECH = prompt("conf-onlyperson")
TRACK = Track(id="x", role=TrackRole.INBOUND)


def events(pcm: bytes, plan: CallPlan) -> list[tuple[float, StreamEvent]]:
    """Read what a call sends as the gateway would."""
    wire = AudioSocketWire(TRACK)
    wire.receive_data(encode(Kind.UUID, bytes(16)))
    return [(send.at, event) for send in schedule(pcm, plan) for event in wire.receive_data(send.frame)]


def audio(pcm: bytes, plan: CallPlan) -> list[tuple[float, bytes]]:
    return [(at, event.payload) for at, event in events(pcm, plan) if isinstance(event, AudioFrame)]


@given(st.integers(0, 4000), st.sampled_from([10, 20, 30, 40]))
def test_a_plain_call_is_the_file_packet_by_packet(samples: int, packet_ms: int) -> None:
    pcm = SPEECH[: 2 * samples]
    frames = audio(pcm, CallPlan(packet_ms=packet_ms))
    assert b"".join(payload for _, payload in frames) == pcm
    assert all(len(payload) == packet_ms * 16 for _, payload in frames[:-1])
    assert [at for at, _ in frames] == pytest.approx([number * packet_ms / 1000 for number in range(len(frames))])


def test_a_hold_stops_the_frames_and_loses_none() -> None:
    frames = audio(SPEECH, CallPlan(holds=(At(1.0, "10"), At(2.0, "0.5"))))
    assert b"".join(payload for _, payload in frames) == SPEECH
    pauses = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(frames)]
    assert [round(pause, 2) for pause in pauses if pause > 0.03] == [10.02, 0.52]


def test_a_key_leaves_a_hole_and_is_told_at_its_end() -> None:
    found = events(SPEECH, CallPlan(digits=(At(1.0, "5"), At(2.0, "#"))))
    assert [(at, event) for at, event in found if isinstance(event, DigitPressed)] == [
        (1.2, DigitPressed("x", "5")),
        (2.2, DigitPressed("x", "#")),
    ]
    times = [at for at, event in found if isinstance(event, AudioFrame)]
    assert not [at for at in times if 1.0 <= at < 1.19 or 2.0 <= at < 2.19]
    assert len(times) == len(audio(SPEECH, CallPlan())) - 20
    assert [at for at, _ in found] == sorted(at for at, _ in found)


def test_an_early_end_is_an_end() -> None:
    plan = CallPlan(hang_up_at=1.5, digits=(At(1.4, "1"),), holds=(At(0.5, "0.5"),))
    found = events(SPEECH, plan)
    assert max(at for at, _ in found) < 1.5
    assert not any(isinstance(event, DigitPressed) for _, event in found)


@pytest.mark.parametrize("text", ["", "5", "1:", ":5", "x:5", "-1:5", "1:55", "1:x", "nan:1", "inf:1"])
def test_what_is_no_key_at_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_digit(text)


@pytest.mark.parametrize("text", ["", "5", "1:", "1:0", "1:-2", "1:inf", "1:nan", "1:x"])
def test_what_is_no_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_hold(text)


def test_what_is_one_is_read() -> None:
    assert parse_digit("1.5:d") == At(1.5, "D")
    assert parse_hold("2:0.5") == At(2.0, "0.5")
