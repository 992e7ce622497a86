from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.score import word_errors, words
from gateway.demo.script import PAUSE_MS, TURNS, dialogue, scripts


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("a b c", "a x c", 1),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c d", "b c d e", 2),
    ],
)
def test_word_errors(said: str, heard: str, errors: int) -> None:
    assert word_errors(said.split(), heard.split()) == errors


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_word_errors_are_a_distance(one: list[str], other: list[str]) -> None:
    distance = word_errors(one, other)
    assert distance == word_errors(other, one)
    assert abs(len(one) - len(other)) <= distance <= max(len(one), len(other))
    assert (distance == 0) == (one == other)


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words("I'm sorry, that E-mail is NOT valid!") == ["im", "sorry", "that", "e", "mail", "is", "not", "valid"]


def test_the_demonstration_is_two_calls_of_prompts_with_pauses() -> None:
    calls = scripts()
    assert len(calls) == 2
    for call in calls:
        assert all(words(prompt.text) for prompt in call.prompts)
        assert len(call.pcm) == (call.prompts[-1].end_ms + PAUSE_MS) * 16 + len(call.pcm) % 16
        for before, after in zip(call.prompts, call.prompts[1:], strict=False):
            assert after.start_ms - before.end_ms in {PAUSE_MS, PAUSE_MS + 1}


def test_a_dialogue_is_said_in_turn_and_nobody_speaks_into_the_others_words() -> None:
    caller, agent = dialogue()
    assert len(caller.pcm) == len(agent.pcm)
    turns = sorted([*caller.prompts, *agent.prompts], key=lambda prompt: prompt.start_ms)
    assert [turn in caller.prompts for turn in turns] == [number % 2 == 0 for number in range(TURNS)]
    assert len({turn.text for turn in turns}) == TURNS
    for speaker, other in ((caller, agent), (agent, caller)):
        for prompt in speaker.prompts:
            heard = slice(prompt.start_ms * 16, prompt.end_ms * 16)
            assert any(speaker.pcm[heard])
            assert not any(other.pcm[heard])
