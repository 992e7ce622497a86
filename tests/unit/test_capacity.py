from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capacity import Outcome, Round, Utterance, batch_sizes, outcome, people

SECOND = bytes(32_000)
ONE = Utterance(text="One thing said.", audio=SECOND)
TWO = Utterance(text="Another thing!", audio=SECOND * 2)


def decoded(seconds: float, *pairs: tuple[Utterance, str]) -> Round:
    return Round(seconds=seconds, said=tuple(said for said, _ in pairs), heard=tuple(heard for _, heard in pairs))


def rated(batch: int, rate: float) -> Outcome:
    return Outcome(batch=batch, utterances=1, ms_per_utterance=1, audio_seconds_per_second=rate, word_errors=0, words=1)


def test_an_utterance_knows_its_length() -> None:
    assert (ONE.seconds, TWO.seconds) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12]), (64, [1, 2, 4, 8, 16, 32, 64])],
)
def test_the_sizes_that_are_tried(largest: int, expected: list[int]) -> None:
    assert batch_sizes(largest) == expected


@given(st.integers(1, 64))
def test_sizes_rise_from_one_to_the_largest(largest: int) -> None:
    sizes = batch_sizes(largest)
    assert (sizes[0], sizes[-1]) == (1, largest)
    assert sizes == sorted(set(sizes))


def test_rounds_are_summed_up() -> None:
    rounds = [
        decoded(0.4, (ONE, "one thing said"), (TWO, "Another think")),
        decoded(0.2, (ONE, "nothing"), (TWO, "Another thing")),
        decoded(0.3, (ONE, "one"), (TWO, "")),
    ]
    sum_of = outcome(2, rounds, prompts=2)
    assert (sum_of.batch, sum_of.utterances) == (2, 6)
    assert sum_of.ms_per_utterance == pytest.approx(150)
    assert sum_of.audio_seconds_per_second == pytest.approx(10)
    assert (sum_of.word_errors, sum_of.words) == (1, 5), "of the first turn alone"


def test_what_had_no_turn_does_not_count_as_said() -> None:
    assert outcome(1, [decoded(1, (ONE, "one thing said"))], prompts=12).words == 3


@pytest.mark.parametrize(("rates", "expected"), [([1.3], 0), ([1.4], 1), ([20, 28.6, 10], 21), ([0.1, 0.2], 0)])
def test_so_many_people_may_speak(rates: list[float], expected: int) -> None:
    assert people([rated(size, rate) for size, rate in enumerate(rates, 1)]) == expected


@given(st.lists(st.floats(0, 10_000), min_size=1))
def test_more_are_never_promised_than_can_be_decoded(rates: list[float]) -> None:
    count = people([rated(size, rate) for size, rate in enumerate(rates, 1)])
    assert 0 <= count <= max(rates)
