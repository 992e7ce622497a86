from __future__ import annotations

import numpy as np
import pytest

from asr.types import Word
from bench.answers import PEAK, Answer, cut_words, is_right, on_a_line
from bench.noises import RATE_HZ


def word(start_ms: int, end_ms: int, confidence: float = 0.9) -> Word:
    return Word(text="please", start_ms=start_ms, end_ms=end_ms, confidence=confidence)


@pytest.mark.parametrize(
    ("said", "heard", "right"),
    [
        ("Yes", "Yes.", True),
        ("okay", "Ok!", True),
        ("two", "2", True),
        ("2", "two", True),
        ("ten", "10.", True),
        ("F", "f", True),
        ("two", "to", False),
        ("yes", "yes yes", False),
        ("yes", "", False),
    ],
)
def test_the_same_word_is_right_however_it_is_written(said: str, heard: str, *, right: bool) -> None:
    assert is_right(said, heard) is right


def test_words_are_cut_where_they_are_with_a_little_around_them() -> None:
    samples = np.ones(2 * RATE_HZ)
    (answer,) = cut_words("a prompt", samples, [word(500, 900)])
    assert (answer.name, answer.text, len(answer.samples)) == ("a prompt@500", "please", 480 * RATE_HZ // 1000)
    assert (answer.samples[0], answer.samples[-1], answer.samples[1000]) == (0, 0, 1)


@pytest.mark.parametrize("unfit", [word(500, 650), word(500, 900, confidence=0.4)])
def test_what_is_too_short_or_may_be_elsewhere_is_not_cut(unfit: Word) -> None:
    assert list(cut_words("a prompt", np.ones(2 * RATE_HZ), [unfit])) == []


def test_a_word_at_the_edge_of_a_prompt_is_cut_whole() -> None:
    (first, last) = cut_words("a prompt", np.ones(RATE_HZ), [word(10, 400), word(700, 1000)])
    assert (len(first.samples), len(last.samples)) == (440 * 8, 340 * 8)


@pytest.mark.parametrize(("gain_db", "peak"), [(0.0, PEAK), (-20.0, PEAK / 10)])
def test_an_answer_lies_between_pauses_as_loud_as_it_is_to_be(gain_db: float, peak: float) -> None:
    answer = Answer(name="x", text="x", samples=np.array([1.0, -5.0, 2.0]))
    line = on_a_line(answer, gain_db, 0.0, np.random.default_rng(1))
    assert len(line) == 2 * RATE_HZ + 3
    assert np.abs(line).max() == pytest.approx(peak)
    assert not line[:RATE_HZ].any()
    noisy = on_a_line(answer, gain_db, 8.0, np.random.default_rng(1))
    assert 7 < noisy[:RATE_HZ].std() < 9
