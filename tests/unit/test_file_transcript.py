from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.speech import Utterance
from asr.types import Hypothesis, Word
from gateway.file_speech import FileUtterance
from gateway.file_transcript import (
    FileTranscript,
    Line,
    clock_text,
    decoded,
    json_line,
    json_page,
    main_language,
    printable,
    text_line,
    text_page,
    undecoded,
)

SAID = FileUtterance(
    track="customer",
    number=0,
    utterance=Utterance(
        number=1,
        audio=b"",
        origin_sample=16_000,
        start_sample=20_800,
        end_sample=48_000,
        heard_at=0.0,
        end_of_turn=True,
    ),
)
HEARD = Hypothesis(
    text="Hello there.",
    model="base int8",
    language="en",
    confidence=0.75,
    words=(
        Word(text="Hello", start_ms=300, end_ms=800, confidence=0.5),
        Word(text="there.", start_ms=800, end_ms=1_900, confidence=1.0),
    ),
)


def transcript(*lines: Line) -> FileTranscript:
    return FileTranscript(
        suppressed={},
        file="call.wav",
        duration_ms=9_000,
        gap_ms=0,
        language="en",
        model="base int8",
        utterances=lines,
        error=None,
    )


def test_a_hypothesis_is_put_on_the_files_clock() -> None:
    line = decoded(SAID, HEARD, words=True)
    assert (line.start_ms, line.end_ms, line.track, line.text) == (1_300, 3_000, "customer", "Hello there.")
    assert [(word.text, word.start_ms, word.end_ms) for word in line.words or ()] == [
        ("Hello", 1_300, 1_800),
        ("there.", 1_800, 2_900),
    ]
    assert decoded(SAID, HEARD, words=False).words is None


def test_text_has_one_line_for_each_utterance_that_has_words() -> None:
    line, failed = decoded(SAID, HEARD, words=False), undecoded(SAID, "told to fail")
    assert text_line(line, timestamps=False) == "customer: Hello there."
    assert text_line(line, timestamps=True) == "[00:01.3-00:03.0] customer: Hello there."
    assert text_page(transcript(line, failed, line), timestamps=False) == "customer: Hello there.\n" * 2


def test_json_has_every_field_and_what_failed() -> None:
    line, failed = decoded(SAID, HEARD, words=True), undecoded(SAID, "told to fail")
    shown = json.loads(json_line(transcript(line, failed)))
    assert list(shown) == ["file", "duration_ms", "gap_ms", "language", "model", "utterances", "suppressed", "error"]
    fields = ["start_ms", "end_ms", "track", "text", "language", "confidence", "words", "error"]
    assert [list(each) for each in shown["utterances"]] == [fields, fields]
    assert shown["utterances"][0]["words"][0] == {"text": "Hello", "start_ms": 1300, "end_ms": 1800, "confidence": 0.5}
    assert [each["error"] for each in shown["utterances"]] == [None, "told to fail"]
    assert json.loads(json_page(transcript(line, failed))) == shown
    assert json_line(transcript(line)).count("\n") == 1 < json_page(transcript(line)).count("\n")


def test_the_language_of_a_file_is_that_of_most_of_it() -> None:
    lines = [
        Line(start_ms=0, end_ms=4_000, track=None, text="Hallo", language="de"),
        Line(start_ms=0, end_ms=3_000, track=None, text="Hello", language="en"),
        Line(start_ms=0, end_ms=3_000, track=None, text="there", language="en"),
        undecoded(SAID, "told to fail"),
    ]
    assert main_language(lines) == "en"
    assert main_language([]) is None


@pytest.mark.parametrize(
    ("time_ms", "text"), [(0, "00:00.0"), (12_399, "00:12.3"), (600_000, "10:00.0"), (3_612_300, "1:00:12.3")]
)
def test_times_as_people_write_them(time_ms: int, text: str) -> None:
    assert clock_text(time_ms) == text


@given(st.text(st.characters()))
def test_no_text_can_break_a_line_or_steer_a_terminal(text: str) -> None:
    line = Line(start_ms=0, end_ms=1, track="a", text=text)
    written = text_line(line, timestamps=True)
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written
    assert written.encode()


def test_what_joins_letters_is_part_of_the_text() -> None:
    text = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f4bb"
    assert printable(text) == text
