from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.types import Hypothesis, ModelError, ModelErrorCode, Segment, Word
from config.settings import Transcripts
from gateway.transcript import Clock, Place, failed, final, interim
from tests.utterances import SOURCE, spoken

PLACE = Place(call_id="call", source=SOURCE, sequence=3)
CLOCK = Clock(zero=100.0, wall_zero=1_700_000_000.0)
HEARD = Hypothesis(
    text="Yes, please.",
    model="base int8",
    language="en",
    language_probability=0.9,
    confidence=0.8,
    segments=(Segment(text="Yes, please.", start_ms=300, end_ms=900),),
    words=(
        Word(text="Yes,", start_ms=300, end_ms=500, confidence=0.9),
        Word(text="please.", start_ms=550, end_ms=900, confidence=0.7),
    ),
)


def test_speech_is_placed_on_the_calls_clock_and_on_the_wall() -> None:
    event = final(spoken(), HEARD, PLACE, CLOCK, 105.75)
    assert (event.start_ms, event.end_ms) == (2_300, 2_900)
    assert event.start_time == "2023-11-14T22:13:22.300Z"
    assert event.latency_ms == 750
    assert (event.words, event.segments) == (None, None)
    assert (event.text, event.language, event.confidence) == ("Yes, please.", "en", 0.8)


def test_a_track_that_began_later_is_offset() -> None:
    event = final(spoken(offset_ms=10_000, wanted=Transcripts(words=True, segments=True)), HEARD, PLACE, CLOCK, 105.0)
    assert (event.start_ms, event.end_ms) == (12_300, 12_900)
    assert event.start_time == "2023-11-14T22:13:32.300Z"
    assert event.words is not None
    assert event.segments is not None
    # A decoder counts from the beginning of the audio, which is the pre-roll's.
    assert [(word.text, word.start_ms, word.end_ms) for word in event.words] == [
        ("Yes,", 12_300, 12_500),
        ("please.", 12_550, 12_900),
    ]
    assert [(segment.start_ms, segment.end_ms) for segment in event.segments] == [(12_300, 12_900)]


def test_what_was_said_before_the_call_begins_with_it_and_ends_when_it_did() -> None:
    event = final(spoken(offset_ms=-2_600, wanted=Transcripts(words=True, segments=True)), HEARD, PLACE, CLOCK, 105.0)
    assert (event.start_ms, event.end_ms) == (0, 300)
    assert [(word.start_ms, word.end_ms) for word in event.words or ()] == [(0, 0), (0, 300)]
    assert [(segment.start_ms, segment.end_ms) for segment in event.segments or ()] == [(0, 300)]


@pytest.mark.parametrize("end_of_turn", [True, False])
def test_a_cut_is_no_end_of_turn(end_of_turn: bool) -> None:
    event = final(spoken(end_of_turn=end_of_turn), HEARD, PLACE, CLOCK, 105.0)
    assert event.end_of_turn is end_of_turn


def test_an_interim_tells_what_was_heard_so_far() -> None:
    event = interim(spoken(offset_ms=1_000), HEARD, PLACE, 105.25, revision=4, stable_chars=5)
    assert (event.start_ms, event.end_ms, event.utterance_id) == (3_300, 3_900, "call_inbound_2")
    assert (event.text, event.revision, event.stable_chars, event.model) == ("Yes, please.", 4, 5, "base int8")
    assert (event.sequence, event.latency_ms) == (3, 250)


def test_a_failure_names_the_span_and_the_reason() -> None:
    event = failed(spoken(), ModelError(ModelErrorCode.OVERLOADED, "too much waits"), PLACE)
    assert (event.start_ms, event.end_ms, event.utterance_id) == (2_300, 2_900, "call_inbound_2")
    assert (event.reason, event.error.code, event.error.message) == ("overloaded", "overloaded", "too much waits")


@given(st.floats(0, 1e6), st.floats(0, 86_400))
def test_moments_and_milliseconds_agree(zero: float, later: float) -> None:
    clock = Clock(zero=zero, wall_zero=0.0)
    assert clock.ms(zero + later) == pytest.approx(later * 1000, abs=0.6)
