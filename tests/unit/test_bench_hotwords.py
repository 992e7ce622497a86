from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hotwords_figures import holds, invented, name_figures, plain_figures, rest_errors
from bench.hotwords_material import (
    LISTED,
    NAMES,
    SENTENCES,
    WORDINGS,
    Sentence,
    right_list,
    sentences,
    wrong_list,
)
from gateway.demo.score import word_errors, words

CALL = Sentence(name="Zoltan Kovacs", before="Could you put me through to ", after=" please.")


def test_every_name_is_said_in_three_sentences() -> None:
    said = list(sentences())
    assert len(said) == 3 * len(NAMES) == 120
    assert len(set(NAMES)) == len(NAMES)
    assert all(holds(each.text, each.name) and "{" not in each.text for each in said)
    assert all(len(frames) == 3 for frames in SENTENCES.values())


@given(st.sampled_from(NAMES), st.integers(0, 1_000))
def test_a_list_holds_the_name_that_is_said_or_does_not(name: str, seed: int) -> None:
    right, wrong = (make(name, np.random.default_rng(seed)) for make in (right_list, wrong_list))
    assert name in right
    assert name not in wrong
    for listed in (right, wrong):
        assert len(set(listed)) == LISTED
        assert set(listed) <= set(NAMES)


def test_the_right_name_stands_anywhere_in_its_list() -> None:
    random = np.random.default_rng(1)
    places = {right_list("Asterisk", random).index("Asterisk") for _ in range(200)}
    assert places == set(range(LISTED))


@pytest.mark.parametrize("wording", WORDINGS)
def test_every_wording_holds_every_name(wording: str) -> None:
    listed = ["Asterisk", "Zoltan Kovacs", "Linescribe"]
    assert all(holds(WORDINGS[wording](listed), name) for name in listed)


@pytest.mark.parametrize(
    ("text", "name", "there"),
    [
        ("Hello, ZOLTAN kovacs!", "Zoltan Kovacs", True),
        ("Zoltan and Kovacs", "Zoltan Kovacs", False),
        ("Asterisks", "Asterisk", False),
        ("the free switch", "FreeSWITCH", False),
        ("the Freeswitch", "FreeSWITCH", True),
        ("", "Asterisk", False),
    ],
)
def test_a_name_is_right_as_a_whole_whatever_its_case(text: str, name: str, *, there: bool) -> None:
    assert holds(text, name) is there


def test_what_was_listed_and_written_but_not_said_is_invented() -> None:
    listed = ["Asterisk", "Linescribe", "Xfinity"]
    assert invented("Asterisk and Linescribe", "I said Asterisk", listed) == ["Linescribe"]
    assert invented("nothing of the kind", "I said Asterisk", listed) == []


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("Could you put me through to Zoltan Kovacs, please?", 0),
        ("Could you put me through to molten comics please", 0),
        ("Could you put me through to please", 0),
        ("Could you put me to a Zoltan Kovacs please", 1),
        ("Could you put me through to Zoltan Kovacs Zoltan Kovacs Zoltan please", 0),
        ("Could you put me through to Zoltan Kovacs Zoltan Kovacs Zoltan Kovacs please", 1),
        ("", 7),
    ],
)
def test_what_is_wrong_around_a_name_is_counted_without_the_name(text: str, errors: int) -> None:
    assert rest_errors(CALL, text) == errors


@given(st.lists(st.sampled_from(["could", "you", "zoltan", "kovacs", "please", "no"]), max_size=8).map(" ".join))
def test_the_rest_is_never_worse_than_the_whole(text: str) -> None:
    assert rest_errors(CALL, text) <= word_errors(words(CALL.text), words(text))


def test_the_figures_of_sentences_with_names() -> None:
    texts = ["Could you put me through to Zoltan Kovacs please", "Could you but me through to Asterisk please", ""]
    figures = name_figures([CALL] * 3, texts, [["Zoltan Kovacs", "Asterisk"]] * 3)
    assert (figures.sentences, figures.names_right, figures.invented, figures.empty) == (3, 1, 1, 1)
    assert (figures.rest_words, figures.rest_errors) == (21, 1 + 7)


def test_the_figures_of_prompts_without_names() -> None:
    said = ["Please try again", "You are muted", "One moment please", "The line is busy"]
    without = ["Please try again.", "You are muted", "One moment please", "The line is busy"]
    texts = ["please try again", "You are Asterisk", "One", "The line's busy"]
    figures = plain_figures(said, without, texts, [["Asterisk"]] * 4)
    assert (figures.words, figures.errors) == (13, 1 + 2 + 2)
    assert (figures.invented, figures.lost, figures.changed) == (1, 1, 3)
