from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.prompts import FRAME_BYTES, FRAME_MS, read_prompts
from bench.scripts import (
    INBOUND,
    OUTBOUND,
    PAUSE_FRAMES,
    SPREAD_SECONDS,
    Line,
    Script,
    dialogue,
    speaker,
    unbroken,
    with_neighbour,
)

PROMPTS = read_prompts(None)
TALKS = [unbroken, dialogue]


def spans(script: Script, line: Line) -> list[tuple[int, int]]:
    return [(each.at_frame, each.at_frame + script.prompts[each.prompt].frames) for each in line.placed]


@pytest.mark.parametrize("talk", TALKS)
def test_the_same_seed_makes_the_same_calls_and_another_makes_others(talk: type) -> None:
    one, same, other = (talk(PROMPTS, 3, 20, random.Random(seed)) for seed in (1, 1, 2))
    assert one == same
    assert {line.call_uuid for line in one.lines}.isdisjoint(line.call_uuid for line in other.lines)


@given(st.integers(1, 8), st.floats(5, 40), st.integers())
def test_unbroken_calls_say_one_prompt_after_the_other_until_the_end(calls: int, seconds: float, seed: int) -> None:
    script = unbroken(PROMPTS, calls, seconds, random.Random(seed))
    assert len({line.call_uuid for line in script.lines}) == len(script.lines) == calls
    for line in script.lines:
        said = spans(script, line)
        assert 0 <= line.start_ms <= SPREAD_SECONDS * 1000
        assert all(after[0] - before[1] == PAUSE_FRAMES for before, after in pairwise(said))
        assert line.start_ms + said[-1][0] * FRAME_MS < seconds * 1000 <= line.start_ms + line.frames * FRAME_MS
        assert line.frames > said[-1][1]


@given(st.integers(1, 6), st.floats(5, 40), st.integers())
def test_in_a_dialogue_nobody_interrupts(calls: int, seconds: float, seed: int) -> None:
    script = dialogue(PROMPTS, calls, seconds, random.Random(seed))
    sides: dict[str, list[Line]] = defaultdict(list)
    for line in script.lines:
        sides[line.call_uuid].append(line)
    assert len(sides) == calls
    for one, other in sides.values():
        assert {one.listener, other.listener} == {INBOUND, OUTBOUND}
        assert (one.start_ms, one.frames) == (other.start_ms, other.frames)
        said = sorted([*spans(script, one), *spans(script, other)])
        assert all(before[1] <= after[0] for before, after in pairwise(said))


def test_each_side_of_a_dialogue_speaks_45_percent_of_the_time() -> None:
    script = dialogue(PROMPTS, 4, 600, random.Random(1))
    spoken = sum(script.prompts[each.prompt].speech_frames for line in script.lines for each in line.placed)
    assert spoken / sum(line.frames for line in script.lines) == pytest.approx(0.45, abs=0.02)


def test_every_prompt_is_said_before_one_comes_again() -> None:
    script = unbroken(PROMPTS, 1, 120, random.Random(1))
    said = [each.prompt for each in script.lines[0].placed]
    assert sorted(said[: len(PROMPTS)]) == list(range(len(PROMPTS)))


def test_starts_are_spread_also_over_short_runs() -> None:
    starts = [line.start_ms for line in unbroken(PROMPTS, 200, 4, random.Random(1)).lines]
    assert min(starts) < 200
    assert 1800 < max(starts) <= 2000


def test_the_neighbour_never_stops_speaking_and_changes_nobody_else() -> None:
    script = unbroken(PROMPTS, 2, 30, random.Random(1))
    beside = with_neighbour(script, 30, random.Random(2))
    assert beside.lines[:-1] == script.lines
    assert beside.prompts[: len(PROMPTS)] == PROMPTS
    line = beside.lines[-1]
    assert all(before[1] == after[0] for before, after in pairwise(spans(beside, line)))
    for each in {placed.prompt for placed in line.placed}:
        prompt = beside.prompts[each]
        assert (prompt.first_frame, prompt.last_frame) == (0, prompt.frames - 1)
        assert prompt.longest_pause_frames * FRAME_MS < 300
        assert len(prompt.pcm) == prompt.frames * FRAME_BYTES


def test_speakers_are_known_by_call_and_listener() -> None:
    script = dialogue(PROMPTS, 1, 10, random.Random(1))
    assert {line.speaker for line in script.lines} == {
        speaker(script.lines[0].call_uuid, side) for side in (INBOUND, OUTBOUND)
    }
