"""What the benchmark of interims says, and how it counts."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.interim_lines import (
    BEHIND_FRAMES,
    LEAD_FRAMES,
    LONGEST_GAP_FRAMES,
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
    fluent,
    joined,
    single,
)
from bench.interim_scores import Final, Heard, Interim, Word, errors_so_far, is_retracted, measure, taken_back
from bench.interim_trial import Simulation, stream
from bench.prompts import FRAME_BYTES, make_prompt, read_prompts
from config.settings import Settings
from tests.fakes import FakeEngine

if TYPE_CHECKING:
    from asr.types import DecodeRequest

PROMPTS = read_prompts(None)


# What is said


def test_a_single_prompt_is_said_as_it_is() -> None:
    line = single(PROMPTS[0])
    assert line.pcm[LEAD_FRAMES * FRAME_BYTES : -BEHIND_FRAMES * FRAME_BYTES] == PROMPTS[0].pcm
    assert line.onset_ms == (LEAD_FRAMES + PROMPTS[0].first_frame) * 20
    assert line.audio_ms == len(line.pcm) // 16


def test_what_is_joined_is_long_and_does_not_pause() -> None:
    lines = list(joined(PROMPTS * 4, random.Random(1)))
    assert len(lines) >= 2
    for line in lines:
        said = line.pcm[LEAD_FRAMES * FRAME_BYTES : -BEHIND_FRAMES * FRAME_BYTES]
        assert SHORTEST_SECONDS - 1 < len(said) / 16_000 <= LONGEST_SECONDS + 1
        assert make_prompt("", said).longest_pause_frames <= 2 * LONGEST_GAP_FRAMES + 1
        assert make_prompt("", said).first_frame <= 2
    assert list(joined(PROMPTS * 4, random.Random(1))) == lines


def test_pauses_are_cut_short_and_speech_is_kept() -> None:
    tone = (np.sin(np.arange(8_000)) * 8_000).astype("<i2").tobytes()
    prompt = fluent(make_prompt("said", bytes(8_000) + tone + bytes(16_000) + tone + bytes(8_000)))
    assert prompt.longest_pause_frames == LONGEST_GAP_FRAMES
    assert prompt.frames == 50 + LONGEST_GAP_FRAMES + 50
    assert prompt.text == "said"


# How it is counted


def interim(text: str, stable: str = "", at_ms: int = 0) -> Interim:
    assert text.startswith(stable)
    return Interim(utterance_id="u", text=text, stable_chars=len(stable), at_ms=at_ms)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "a b", 0),
        ("a b", "a b c d", 0),
        ("a b", "", 2),
        ("a b c", "a x c d", 1),
        ("a b c", "a c d", 1),
        ("a c", "a b c d", 0),  # what is put between takes nothing back
        ("a b", "c d e", 2),
    ],
)
def test_words_taken_back_are_counted(before: str, after: str, expected: int) -> None:
    assert taken_back(before.split(), after.split()) == expected


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_no_more_is_taken_back_than_was_there_and_nothing_by_what_goes_on(some: list[str], more: list[str]) -> None:
    assert 0 <= taken_back(some, more) <= len(some)
    assert taken_back(some, some + more) == 0


def test_a_retraction_is_any_change_of_what_was_stable() -> None:
    assert not is_retracted(interim("a b", "a"), interim("a c", "a c"))
    assert is_retracted(interim("a b", "a b"), interim("a c", "a"))
    assert is_retracted(interim("a b", "a b"), interim("a b", "a"))
    assert is_retracted(interim("a b", "a"), interim("A b", "A b"))


def test_errors_so_far_are_against_what_can_have_been_heard() -> None:
    assert errors_so_far(["a", "b", "c", "d"], ["a", "b"]) == 0
    assert errors_so_far(["a", "b", "c", "d"], ["a", "x", "c"]) == 1
    assert errors_so_far(["a", "b"], []) == 0


FINAL = Final(
    utterance_id="u",
    text="One, two three four.",
    start_ms=100,
    end_ms=10_200,
    words=(
        Word(text="One,", end_ms=400),
        Word(text="two", end_ms=900),
        Word(text="three", end_ms=5_200),
        Word(text="four.", end_ms=10_200),
    ),
)
INTERIMS = (
    interim("Won", at_ms=700),
    interim("one two", "one", 1_000),
    interim("one two tree", "one two", 1_500),
    interim("one two tree for", "one two", 6_000),
)
HEARD = Heard(text="One two three four five.", onset_ms=100, audio_ms=10_000, interims=INTERIMS, finals=(FINAL,))


def test_figures_of_a_line() -> None:
    figures = measure([HEARD])
    assert (figures.lines, figures.words, figures.interims, figures.interims_per_second) == (1, 4, 4, 0.4)
    assert (figures.retractions, figures.unstable_words, figures.unstable_rate) == (0, 1, 0.25)
    assert (figures.unstable_at_final, figures.unstable_rate_with_final) == (2, 0.75)
    assert (figures.stable_share, figures.stable_not_in_final) == (0.5, 0)
    assert (figures.stability_p50_ms, figures.stability_p95_ms) == (600, 600)  # both after 600 ms
    assert (figures.first_interim_p50_ms, figures.without_interim) == (600, 0)
    assert (figures.interim_wer, figures.interim_wer_so_far, figures.final_wer) == (0.6, 0.4, 0.2)
    assert figures.beginning_kept == 1.0


def test_figures_of_what_goes_wrong() -> None:
    retracting = (interim("one two", "one two", 700), interim("three", "three", 6_000))
    figures = measure([msgspec.structs.replace(HEARD, interims=retracting)])
    assert (figures.retractions, figures.unstable_words) == (1, 2)
    assert figures.beginning_kept == 0.0
    assert measure([msgspec.structs.replace(HEARD, interims=())]).without_interim == 1
    assert measure([]).unstable_rate is None


# A run


def counted(request: DecodeRequest) -> str:
    return " ".join(f"n{number}" for number in range(request.audio_ms // 400))


async def test_a_run_comes_to_the_same_again_and_decodes_take_as_long_as_they_are_told() -> None:
    line = single(min(PROMPTS, key=lambda prompt: prompt.frames))
    (one,), (same,), (slow,) = [
        await stream([line], Simulation(FakeEngine(text=counted), decode_ms), Settings())
        for decode_ms in (200, 200, 400)
    ]
    assert one == same
    assert one.text == line.text
    assert {final.utterance_id for final in one.finals} == {each.utterance_id for each in one.interims}
    assert 450 <= one.interims[0].at_ms - line.onset_ms <= 650  # 300 ms of speech and the decode
    assert min(after.at_ms - before.at_ms for before, after in pairwise(one.interims)) >= 220
    assert slow.interims[0].at_ms == one.interims[0].at_ms + 200


async def test_decodes_of_interims_are_counted() -> None:
    engine = FakeEngine(text=counted)
    simulation = Simulation(engine, 100)
    await stream([single(min(PROMPTS, key=lambda prompt: prompt.frames))], simulation, Settings())
    interims = [request for request in engine.begun if request.kind == "interim"]
    assert simulation.decodes == len(interims)
    assert simulation.decoded_ms == sum(request.audio_ms for request in interims)
    assert simulation.timed == 0
