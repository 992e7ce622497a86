from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.quality import MOST_TOKENS, Attempt, Doubt, doubt, is_silence, loop, most_tokens, said_once
from config.profiles import Profile

SENTENCE = tuple(range(100, 112))


def attempt(
    tokens: tuple[int, ...] = SENTENCE, *, ended: bool = True, log_probability: float = -0.2, no_speech: float = 0.1
) -> Attempt:
    return Attempt(tokens=tokens, ended=ended, log_probability=log_probability, no_speech_probability=no_speech)


@pytest.mark.parametrize(
    ("tokens", "ended", "seconds", "language", "expected"),
    [
        (SENTENCE, True, 3.5, "en", None),
        ((), True, 1.0, "en", None),
        (SENTENCE, True, 0.5, "en", None),  # a few tokens are no rate
        (SENTENCE, False, 3.5, "en", Doubt.UNENDED),
        (tuple(range(24)), True, 3.5, "en", Doubt.RATE),
        (tuple(range(30)), True, 3.5, "lv", None),
        (tuple(range(100)), True, 3.5, "hi", None),  # whose tokens are parts of letters
        ((1, 2, 3) * 4, True, 10.0, "en", Doubt.LOOP),
        ((*SENTENCE, *(1, 2) * 4), True, 10.0, "en", Doubt.LOOP),
        (SENTENCE * 2, True, 6.5, "en", None),  # said twice, in the time that takes
        (SENTENCE * 2, True, 4.0, "en", Doubt.LOOP),
        ((1, 2, 3, 4, 5) * 2, True, 1.2, "en", Doubt.LOOP),
        ((1, 2) * 3, True, 10.0, "en", None),
        ((1,) * 5, True, 10.0, "en", None),  # no, no, no, no, no
        ((8,) * 2, True, 1.2, "en", Doubt.LOOP),  # of "eight" a short window makes "8 8"
        ((1, 2) * 2, True, 1.4, "en", Doubt.LOOP),
        ((8,) * 2, True, 1.6, "en", None),
        ((8, 9), True, 1.2, "en", None),
        ((8,), True, 1.2, "en", None),
        ((*(1, 2) * 4, 3), True, 10.0, "en", None),  # it has found its way out
    ],
)
def test_a_missed_end_is_seen(
    tokens: tuple[int, ...], seconds: float, language: str, expected: Doubt | None, *, ended: bool
) -> None:
    assert loop(attempt(tokens, ended=ended), seconds, language) is expected


def test_what_only_a_second_look_can_tell_is_not_doubted_where_there_is_none() -> None:
    assert loop(attempt((8, 8)), 1.2, "en", widest=True) is None
    assert loop(attempt((1, 2) * 4), 1.2, "en", widest=True) is Doubt.LOOP


@pytest.mark.parametrize(
    ("log_probability", "no_speech", "text", "expected"),
    [
        (-0.2, 0.1, "Yes.", None),
        (-0.2, 0.9, "Yes.", None),
        (-1.1, 0.1, "Yes.", Doubt.IMPROBABLE),
        (-1.1, 0.9, "Yes.", Doubt.IMPROBABLE),
        (-0.2, 0.1, "la " * 60, Doubt.COMPRESSIBLE),
    ],
)
def test_what_is_hardly_likely_is_seen(
    log_probability: float, no_speech: float, text: str, expected: Doubt | None
) -> None:
    assert doubt(attempt(log_probability=log_probability, no_speech=no_speech), text, Profile()) is expected


def test_silence_is_what_the_model_thinks_is_none_and_cannot_make_words_of() -> None:
    assert is_silence(attempt(log_probability=-1.5, no_speech=0.7), Profile())
    assert not is_silence(attempt(log_probability=-0.5, no_speech=0.7), Profile())
    assert not is_silence(attempt(log_probability=-1.5, no_speech=0.5), Profile())


@given(phrase=st.lists(st.integers(1, 50_000), min_size=2, max_size=12, unique=True), seconds=st.floats(0.1, 30))
def test_a_sentence_said_on_and_on_is_a_loop_whatever_it_is(phrase: list[int], seconds: float) -> None:
    assert loop(attempt(tuple(phrase) * 4), seconds, "en") is not None


@pytest.mark.parametrize(("language", "fastest"), [("en", 6.0), ("lv", 9.0), ("my", 37.0)])
@given(seconds=st.floats(0, 30))
def test_a_decoder_is_stopped_in_time_and_not_before_the_fastest_have_finished(
    language: str, fastest: float, seconds: float
) -> None:
    most = most_tokens(seconds, language)
    assert min(MOST_TOKENS, fastest * seconds + 10) <= most <= MOST_TOKENS
    assert most_tokens(seconds, language, last=True) == MOST_TOKENS


@pytest.mark.parametrize(
    ("tokens", "once"),
    [
        ((), ()),
        (SENTENCE, SENTENCE),
        (SENTENCE * 3, SENTENCE),
        ((9, *SENTENCE * 2), (9, *SENTENCE)),
        ((1, 2) * 5, (1, 2)),
        ((1, 1, 1), (1, 1, 1)),
    ],
)
def test_what_was_said_again_and_again_is_said_once(tokens: tuple[int, ...], once: tuple[int, ...]) -> None:
    assert said_once(tokens) == once
