from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.alignment import TOLERANCE_MS, Heard, Said, compare, counterparts, overlapping


def said(text: str, start_ms: int, end_ms: int, speaker: str = "a") -> Said:
    return Said(
        speaker=speaker, text=text, start_ms=start_ms, end_ms=end_ms, began_at=start_ms / 1000, ended_at=end_ms / 1000
    )


def heard(text: str, start_ms: int, end_ms: int, speaker: str = "a") -> Heard:
    at = end_ms / 1000 + 0.7
    return Heard(speaker=speaker, utterance_id=text, text=text, start_ms=start_ms, end_ms=end_ms, at=at)


ONE = said("Please enter your password", 1000, 3000)
TWO = said("That conference is full", 4000, 6000)


@pytest.mark.parametrize(
    ("finals", "errors", "lost"),
    [
        ([heard("please enter your password.", 900, 3100), heard("That conference is full!", 4100, 5900)], 0, []),
        ([heard("That conference is full", 4000, 6000), heard("Please enter your password", 1000, 3000)], 0, []),
        ([heard("Please enter", 1000, 1900), heard("your password", 2400, 3000), heard(TWO.text, 4000, 6000)], 0, []),
        ([heard("Please enter your password, that conference is full.", 1000, 6000)], 0, []),
        ([heard("Please enter your password", 1000, 3000)], 4, [TWO]),
        ([heard("Please enter your password", 1000, 6000)], 4, [TWO]),
        ([heard("That conference is full", 4000, 6000)], 4, [ONE]),
        ([heard("Please enter a passport", 1000, 3000), heard("That convent's is fool", 4000, 6000)], 4, []),
        ([], 8, [ONE, TWO]),
        ([heard(ONE.text, 1000, 3000), heard(TWO.text, 4000, 6000), heard("you", 9000, 9500)], 1, []),
    ],
    ids=["well", "late", "cut", "joined", "gone", "swallowed", "first gone", "wrong", "nothing", "invented"],
)
def test_what_is_wrong_and_what_is_lost(finals: list[Heard], errors: int, lost: list[Said]) -> None:
    verdict = compare([ONE, TWO], finals)
    assert (verdict.words, verdict.errors, list(verdict.lost)) == (8, errors, lost)


def test_one_speakers_words_are_not_taken_for_another_s() -> None:
    verdict = compare([ONE, said("One moment", 1000, 3000, "b")], [heard(ONE.text, 1000, 3000, "b")])
    assert verdict.words == 6
    assert ONE in verdict.lost


def test_an_utterance_of_the_right_words_at_another_time_is_lost() -> None:
    verdict = compare([ONE], [heard(ONE.text, 3000 + TOLERANCE_MS + 1, 6000)])
    assert verdict.lost == (ONE,)
    assert compare([ONE], [heard(ONE.text, 3000 + TOLERANCE_MS, 6000)]).lost == ()


def test_what_is_spelled_may_become_one_word() -> None:
    assert compare([said("M I S D N", 0, 1000)], [heard("MISDN", 0, 1000)]).lost == ()


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ("a b c", "a b c", "yyy"),
        ("a b c", "a x c", "yyy"),
        ("a b c d", "a b", "yynn"),
        ("a b c d", "x", "ynnn"),
        ("a b", "", "nn"),
        ("", "a b", ""),
        ("c d", "a b c d", "yy"),
    ],
)
def test_which_words_have_something_in_their_place(before: str, after: str, kept: str) -> None:
    assert counterparts(before.split(), after.split()) == [each == "y" for each in kept]


WORDS = st.lists(st.sampled_from("abcde"), max_size=12)


@given(WORDS, WORDS)
def test_counterparts_are_no_more_than_what_was_heard(before: list[str], after: list[str]) -> None:
    kept = counterparts(before, after)
    assert len(kept) == len(before)
    assert sum(kept) <= len(after)
    assert all(kept) if before == after else True


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(400, 4000)), min_size=1, max_size=8), st.data())
def test_whatever_is_heard_whole_is_never_lost(turns: list[tuple[str, int]], data: st.DataObject) -> None:
    """However the times of its final are off within the tolerance."""
    utterances, finals, at = [], [], 0
    for number, (speaker, length_ms) in enumerate(turns):
        at += 800 + TOLERANCE_MS
        utterances.append(said(f"word{number} and more", at, at + length_ms, speaker))
        early, late = data.draw(st.integers(-TOLERANCE_MS, 99)), data.draw(st.integers(-99, TOLERANCE_MS))
        finals.append(heard(f"word{number} and more", at + early, at + length_ms + late, speaker))
        at += length_ms
    verdict = compare(utterances, data.draw(st.permutations(finals)))
    assert (verdict.errors, verdict.lost) == (0, ())


def test_what_overlaps_goes_before_what_is_near() -> None:
    near, over = heard("near", 3100, 3900), heard("over", 900, 2000)
    assert overlapping(ONE, [near, over]) == [over]
    assert overlapping(ONE, [near]) == [near]
    assert overlapping(ONE, [heard("far", 3301, 4000)]) == []
