from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.stabilizer import LEAST_SHARE, MARGIN_MS, OVERLAP, SURE, Stabilizer
from asr.types import Word
from asr.units import units

WORD_MS = 500


def timed(text: str) -> tuple[Word, ...]:
    """Let each word take half a second."""
    return tuple(
        Word(text=word, start_ms=place * WORD_MS, end_ms=(place + 1) * WORD_MS, confidence=0.9)
        for place, word in enumerate(text.split())
    )


def hear(stabilizer: Stabilizer, text: str, *, times: bool = False) -> tuple[str, str]:
    """Take a hypothesis of all that is still heard; give what is stable, and what is shown behind it."""
    stabilizer.hear(units(text, timed(text) if times else ()), stabilizer.anchor)
    return parts(stabilizer)


def parts(stabilizer: Stabilizer) -> tuple[str, str]:
    text, stable = stabilizer.text, stabilizer.stable_chars
    return text[:stable], text[stable:]


def heard(*texts: str) -> tuple[str, str]:
    stabilizer = Stabilizer()
    for text in texts:
        hear(stabilizer, text)
    return parts(stabilizer)


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        ((), ("", "")),
        (("",), ("", "")),
        (("Please enter.",), ("", "Please")),  # the first word, to show something soon
        (("Please.",), ("", "Please")),
        (("Die.", "Daddy."), ("", "Die")),  # which stays until something was heard twice
        (("Die.", "That agent", "That agent is"), ("That agent", "")),
        (("Please enter your", "please Enter, your past."), ("please Enter, your", "")),  # as it was shown last
        (("Please enter your", "Please enter your"), ("Please enter", " your")),  # the last one's audio is cut
        (("Please enter your.", "Please enter your."), ("Please enter", " your")),  # and its mark is the model's
        (("Yes.", "Yes.", "Yes."), ("", "Yes")),
        (("Logged on.", "Logged on. Please", "Logged on. Please"), ("Logged on", ". Please")),
        (("Logged on. Please", "Logged on. Please", "Logged on, please do"), ("Logged on, please", "")),
        (("one two", "one two", "", "one two"), ("one", " two")),  # nothing heard is no evidence against anything
        (("a b c", "a b c", "a x c d", "a x c d"), ("a b c", " d")),  # what is stable is not corrected
        (("a b c", "a b c d", "a x c d e", "a x c d e"), ("a b c d", " e")),
        (("a b c d", "a b c d", "Thank you.", "Thank you."), ("a b c", " d")),
        (("a b b", "a b b c"), ("a b b", "")),  # who says it twice
        (("你好", "你好吗", "你好吗我"), ("你好吗", "")),
    ],
)
def test_what_two_hypotheses_say_stays(texts: tuple[str, ...], shown: tuple[str, str]) -> None:
    assert heard(*texts) == shown


def test_a_last_word_that_was_heard_twice_is_shown_where_the_model_is_sure() -> None:
    stabilizer = Stabilizer()
    for confidence, shown in ((0.9, ""), (SURE - 0.01, ""), (SURE, " two"), (0.1, " two")):
        stabilizer.hear(units("one two"), 0, confidence)
        assert parts(stabilizer) == (("", "one") if confidence > 0.8 else ("one", shown))


HYPOTHESES = st.lists(st.lists(st.sampled_from(["a", "b.", "C", "d,", "...", "你", "- e"]), max_size=8).map(" ".join))


@st.composite
def turns(draw: st.DrawFn) -> list[tuple[str, int, bool, int, bool]]:
    """Hypotheses, and whether they tell times, how long their audio is, whether it is full, and if they come late."""
    hypotheses = draw(HYPOTHESES)
    return [
        (text, draw(st.integers(0, 8_000)), draw(st.booleans()), draw(st.integers(0, 2)), draw(st.booleans()))
        for text in hypotheses
    ]


@settings(max_examples=400)
@given(turns())
def test_what_is_stable_is_never_changed(sequence: list[tuple[str, int, bool, int, bool]]) -> None:
    """Whatever is heard, with times or without, of audio of any length, let go of or not, and late."""
    stabilizer = Stabilizer()
    states, anchors = [("", 0)], [0]
    for text, audio_ms, times, fullness, late in sequence:
        stabilizer.hear(units(text, timed(text) if times else ()), anchors[-2:][0] if late else stabilizer.anchor)
        states.append((stabilizer.text, stabilizer.stable_chars))
        if fullness and not late:
            at_ms = stabilizer.let_go(audio_ms, full=fullness > 1)
            states.append((stabilizer.text, stabilizer.stable_chars))
            assert at_ms is None or 0 <= at_ms <= audio_ms
            assert fullness == 1 or at_ms is not None
        anchors.append(stabilizer.anchor)
        assert anchors[-1] >= anchors[-2]
    for (before, stable), (after, more) in pairwise(states):
        assert 0 <= stable <= more <= len(after)
        assert after[:stable] == before[:stable]
        assert after == after.strip()


@given(HYPOTHESES, st.lists(st.sampled_from("abcde"), min_size=1, max_size=8))
def test_what_is_said_again_commits_all_but_its_last_word_and_then_changes_nothing(
    before: list[str], words: list[str]
) -> None:
    stabilizer = Stabilizer()
    for text in before:
        hear(stabilizer, text)
    states = [hear(stabilizer, " ".join(words)) for _ in range(4)]
    assert states[1] == states[2] == states[3]
    if not before:
        assert states[1] == (" ".join(words[:-1]), " " * (len(words) > 1) + words[-1])


SAID = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def said(first: int, last: int) -> str:
    return " ".join(SAID[first:last])


def test_audio_is_let_go_of_behind_a_committed_word_and_two_are_heard_again() -> None:
    stabilizer = Stabilizer()
    hear(stabilizer, said(0, 9))
    hear(stabilizer, said(0, 10), times=True)
    at_ms = stabilizer.let_go(5_000, full=False)
    assert at_ms == (9 - OVERLAP) * WORD_MS
    assert stabilizer.anchor == 9 - OVERLAP
    for last in (10, 11, 12):
        assert hear(stabilizer, said(9 - OVERLAP, last))[0].startswith(said(0, 9))
    assert parts(stabilizer) == (said(0, 11), "")


@pytest.mark.parametrize("beginning", ["eight nine", "nine", "", "ate nine", "and eight nine"])
def test_words_at_the_seam_are_neither_said_twice_nor_swallowed(beginning: str) -> None:
    stabilizer = Stabilizer()
    hear(stabilizer, said(0, 9))
    hear(stabilizer, said(0, 10), times=True)
    stabilizer.let_go(5_000, full=False)
    for _ in range(2):
        hear(stabilizer, f"{beginning} {said(9, 12)}")
    assert parts(stabilizer) == (said(0, 11), " twelve")


def test_without_times_or_when_little_is_committed_all_is_heard_on() -> None:
    stabilizer = Stabilizer()
    hear(stabilizer, said(0, 9))
    hear(stabilizer, said(0, 10))
    assert stabilizer.let_go(5_000, full=False) is None
    hear(stabilizer, said(0, 10), times=True)
    assert stabilizer.let_go(12_000, full=False) is None
    assert (9 - OVERLAP) * WORD_MS < 12_000 * LEAST_SHARE
    assert stabilizer.anchor == 0


def test_what_nothing_agrees_with_is_committed_when_there_is_no_more_room() -> None:
    stabilizer = Stabilizer()
    hear(stabilizer, "something else")
    hear(stabilizer, said(0, 10), times=True)
    assert stabilizer.let_go(5_000, full=False) is None
    assert stabilizer.let_go(5_000, full=True) == (8 - OVERLAP) * WORD_MS
    assert parts(stabilizer) == (said(0, 8), "")
    assert stabilizer.anchor == 8 - OVERLAP


def test_music_is_let_go_of_and_what_was_stable_stays() -> None:
    stabilizer = Stabilizer()
    assert stabilizer.let_go(7_000, full=True) == 7_000 - MARGIN_MS
    hear(stabilizer, "one two")
    hear(stabilizer, "one two")
    hear(stabilizer, "")
    assert stabilizer.let_go(7_000, full=True) == 7_000
    assert parts(stabilizer) == ("one", " two")


def test_a_text_without_times_is_let_go_of_whole() -> None:
    stabilizer = Stabilizer()
    hear(stabilizer, said(0, 10))
    assert stabilizer.let_go(7_000, full=True) == 7_000
    assert parts(stabilizer) == (said(0, 10), "")
    assert hear(stabilizer, said(10, 12))[0] == said(0, 10)


def test_an_hypothesis_of_less_audio_says_no_word_twice() -> None:
    """Under pressure an interim hears less, though more was heard and committed before."""
    stabilizer = Stabilizer()
    hear(stabilizer, said(0, 10))
    hear(stabilizer, said(0, 11))
    hear(stabilizer, said(0, 6), times=True)
    assert parts(stabilizer) == (said(0, 10), "")
    assert stabilizer.let_go(3_000, full=True) == (6 - OVERLAP) * WORD_MS
    for last in (10, 12, 12):
        hear(stabilizer, said(6 - OVERLAP, last))
    assert parts(stabilizer) == (said(0, 11), " twelve")


def spoken(words: int, first_ms: int, every_ms: int) -> list[Word]:
    """Say words one by one, as long as each lasts, from a moment on."""
    begins = [first_ms + number * every_ms for number in range(words)]
    return [
        Word(text=f"w{number}", start_ms=at, end_ms=at + every_ms, confidence=0.9) for number, at in enumerate(begins)
    ]


@settings(max_examples=300)
@given(
    first_ms=st.integers(0, 9000),
    every_ms=st.integers(150, 900),
    tails_ms=st.lists(st.sampled_from([4000, 7000]), min_size=1, max_size=8),
    deaf=st.sets(st.integers(0, 60), max_size=15),
)
def test_a_speaker_is_quoted_word_by_word_however_the_audio_is_cut(
    first_ms: int, every_ms: int, tails_ms: list[int], deaf: set[int]
) -> None:
    """Late words, tails that shrink and grow, hypotheses without a word: none is said twice, none out of turn."""
    stabilizer, said = Stabilizer(), spoken(40, first_ms, every_ms)
    origin_ms = longest_ms = 0
    for turn, now_ms in enumerate(range(400, 20_000, 400)):
        tail_ms = tails_ms[turn * len(tails_ms) // 50]
        audio_ms = min(tail_ms, now_ms - origin_ms)
        within = [
            Word(text=word.text, start_ms=word.start_ms - origin_ms, end_ms=word.end_ms - origin_ms, confidence=0.9)
            for word in said
            if origin_ms <= word.start_ms and word.end_ms <= origin_ms + audio_ms and turn not in deaf
        ]
        stabilizer.hear(units(" ".join(word.text for word in within), within), stabilizer.anchor)
        longest_ms = max(longest_ms, audio_ms)
        if audio_ms > tail_ms - 1500:
            cut_ms = stabilizer.let_go(audio_ms, full=audio_ms == tail_ms, longest_ms=longest_ms)
            if cut_ms is not None:
                origin_ms, longest_ms = origin_ms + cut_ms, 0
        quoted = [int(word[1:]) for word in stabilizer.text.split()]
        assert quoted == sorted(set(quoted)), stabilizer.text
