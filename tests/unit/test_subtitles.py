from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import WordInfo
from gateway.file_transcript import Line
from gateway.subtitles import LINE_CHARACTERS, LONGEST_MS, Cue, cues, subrip, webvtt


def said(text: str, start_ms: int, *, word_ms: int = 300, track: str | None = None, blank: str = " ") -> Line:
    """Make an utterance of which every word takes as long."""
    parts = text.split(" ")
    times = [(start_ms + number * word_ms, start_ms + (number + 1) * word_ms) for number in range(len(parts))]
    words = tuple(
        WordInfo(text=part, start_ms=start, end_ms=end, confidence=0.9)
        for part, (start, end) in zip(parts, times, strict=True)
    )
    return Line(start_ms=start_ms, end_ms=times[-1][1], track=track, text=blank.join(parts), words=words)


LONG = said(
    "I would like to know when the next train to the airport leaves, and from which platform. " * 2 + "Thanks.", 0
)
CHINESE = "我想知道去机场的下一班火车什么时候开。" * 4


def bare(cue: Cue) -> str:
    return "".join("".join(cue.lines).split())


@st.composite
def utterances(draw: st.DrawFn) -> list[Line]:
    """Make what a decoder may give for a file: times that stand still, leap, or run backwards, and any words."""
    text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
    lines: list[Line] = []
    at = draw(st.integers(0, 5_000))
    for _ in range(draw(st.integers(0, 4))):
        words = [
            WordInfo(
                text=word,
                start_ms=max(0, at + draw(st.integers(-500, 3_000))),
                end_ms=max(0, at + draw(st.integers(-500, 12_000))),
                confidence=1.0,
            )
            for each in draw(st.lists(text, max_size=20))
            if (word := "".join(each.split()))
        ]
        written = draw(st.sampled_from([" ", ""])).join(word.text for word in words)
        end = at + draw(st.integers(0, 30_000))
        kept = tuple(words[: draw(st.sampled_from([len(words), 1, 0]))])
        lines.append(Line(start_ms=at, end_ms=end, track=draw(TRACKS), text=written, words=kept))
        at = end + draw(st.integers(0, 1_000))
    return lines


TRACKS = st.sampled_from([None, "customer", "agent & co", "a" * 60])


@given(utterances(), st.booleans())
def test_any_words_become_cues_in_order_that_can_be_read(lines: list[Line], labelled: bool) -> None:
    made = cues(lines, labelled=labelled)
    assert [cue.start_ms for cue in made] == sorted(cue.start_ms for cue in made)
    for cue in made:
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < len(line) <= LINE_CHARACTERS for line in cue.lines)
        assert 0 < cue.end_ms - cue.start_ms <= LONGEST_MS
    for track in {cue.track for cue in made}:
        own = [cue for cue in made if cue.track == track]
        assert all(before.end_ms <= after.start_ms for before, after in pairwise(own))


@given(utterances())
def test_all_words_are_there_once_and_in_order(lines: list[Line]) -> None:
    made = cues(lines)
    for track in {line.track for line in lines}:
        spoken = "".join("".join(line.text.split()) for line in lines if line.track == track)
        shown = "".join(bare(cue) for cue in made if cue.track == track)
        assert len(shown) == len(spoken)
        assert all(b in {a, "\N{REPLACEMENT CHARACTER}"} for a, b in zip(spoken, shown, strict=True))


@given(utterances())
def test_a_page_has_as_many_cues_as_were_made(lines: list[Line]) -> None:
    """No text can break out of its cue."""
    made = cues(lines)
    blocks = [block for block in re.split(r"\n\n", webvtt(lines)) if block]
    assert blocks[0] == "WEBVTT"
    assert len(blocks) == len(made) + 1
    assert all(block.count("-->") == 1 for block in blocks[1:])
    numbered = [block.split("\n") for block in re.split(r"\n\n", subrip(lines)) if block]
    assert [block[0] for block in numbered] == [str(number + 1) for number in range(len(numbered))]
    assert all("-->" in block[1] and not any("-->" in line for line in block[2:]) for block in numbered)


def test_a_long_utterance_is_cut_by_the_times_of_its_words() -> None:
    made = cues([LONG])
    assert len(made) > 2
    assert made[0].start_ms == 0
    assert made[-1].end_ms >= LONG.end_ms
    starts = {word.start_ms: word.text for word in LONG.words or ()}
    assert all(cue.lines[0].startswith(starts[cue.start_ms]) for cue in made)


def test_a_sentence_that_has_ended_is_not_mixed_with_the_next() -> None:
    (first, second) = cues([said("This is the first of the two sentences here. Here begins the second", 0)])
    assert " ".join(first.lines) == "This is the first of the two sentences here."
    assert second.lines == ("Here begins the second",)


def test_two_lines_are_about_equal() -> None:
    (cue,) = cues([said("You are currently the only person in this conference.", 0)])
    assert cue.lines == ("You are currently the only", "person in this conference.")


def test_languages_without_blanks_get_none_and_are_cut_anywhere() -> None:
    line = said(" ".join(CHINESE), 0, word_ms=100, blank="")
    made = cues([line])
    assert len(made) > 1
    assert "".join("".join(cue.lines) for cue in made) == CHINESE


def test_what_is_written_together_stays_together() -> None:
    line = said("The version of it is number 3. 5 now", 0)
    glued = Line(
        start_ms=0, end_ms=line.end_ms, track=None, text="The version of it is number 3.5 now", words=line.words
    )
    assert [cue.lines for cue in cues([glued])] == [("The version of it is number 3.5 now",)]


@pytest.mark.parametrize("words", [None, (), said("Other words", 0).words])
def test_without_the_times_of_its_words_a_text_is_spread_over_its_time(words: tuple[WordInfo, ...] | None) -> None:
    line = Line(start_ms=1_000, end_ms=13_000, track=None, text=LONG.text[:100], words=words)
    made = cues([line])
    assert len(made) >= 2
    assert (made[0].start_ms, made[-1].end_ms) == (1_000, 13_000)
    assert " ".join(" ".join(cue.lines) for cue in made) == line.text


def test_a_short_word_can_be_read_unless_the_next_one_comes() -> None:
    assert [(cue.start_ms, cue.end_ms) for cue in cues([said("Yes.", 500), said("No.", 1_100)])] == [
        (500, 1_100),
        (1_100, 2_100),
    ]


def test_the_quiet_before_the_first_word_is_not_its_time() -> None:
    line = Line(start_ms=900, end_ms=2_000, track=None, text="Hello", words=said("Hello", 600, word_ms=1_400).words)
    assert [(cue.start_ms, cue.end_ms) for cue in cues([line])] == [(900, 2_000)]


def test_a_page_of_subrip() -> None:
    lines = [said("Can I pay by card?", 1_000, track="customer"), said("Yes --> you can.", 3_661_250, track="agent")]
    assert subrip(lines) == (
        "1\n00:00:01,000 --> 00:00:02,500\ncustomer: Can I pay by card?\n\n"
        "2\n01:01:01,250 --> 01:01:02,450\nagent: Yes -> you can.\n\n"
    )


def test_a_page_of_webvtt() -> None:
    lines = [said("Is 1 < 2 & 3 > 2?", 1_000, track="R&D <b>"), said("Yes, it is.", 4_000)]
    assert webvtt(lines) == (
        "WEBVTT\n\n"
        "00:00:01.000 --> 00:00:03.400\n<v R&amp;D &lt;b&gt;>Is 1 &lt; 2 &amp; 3 &gt; 2?\n\n"
        "00:00:04.000 --> 00:00:05.000\nYes, it is.\n\n"
    )


def test_nothing_said_is_an_empty_page() -> None:
    failed = Line(start_ms=0, end_ms=900, track=None, text="", error="told to fail")
    assert subrip([failed]) == ""
    assert webvtt([]) == "WEBVTT\n\n"


def test_speakers_may_overlap_one_another() -> None:
    made = cues([said("One two three four", 0, track="a"), said("Five six", 300, track="b")])
    assert [(cue.track, cue.start_ms) for cue in made] == [("a", 0), ("b", 300)]
    assert made[0].end_ms > made[1].start_ms
