from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.hangover import hangover_ms
from asr.pacing import FIRST_MS, NEAR_MS, PAUSE_BLOCKS, Fullness, Pacer, Step, fullness, tail_ms
from asr.pressure import Level
from config.settings import Interims, Speech


def steps(
    blocks: list[tuple[int, int]], *, interims: bool = True, level: Level = Level.NORMAL, utterance: int = 1
) -> list[tuple[int, Step]]:
    """Feed (spoken, silent) blocks; tell at which spoken block what was worth doing."""
    pacer = Pacer(Interims() if interims else None)
    told = [(spoken, pacer.step(utterance, spoken, silent, lambda: level)) for spoken, silent in blocks]
    return [(spoken, step) for spoken, step in told if step]


def test_interims_come_after_the_first_sounds_and_then_at_their_pace() -> None:
    talk = [(spoken, 0) for spoken in range(1, 60)]
    at = [spoken for spoken, step in steps(talk) if step is Step.INTERIM]
    assert at == [FIRST_MS // 20 + number * 220 // 20 for number in range(5)][: len(at)]
    assert len(at) == 5
    assert steps(talk, interims=False) == []
    assert steps(talk, level=Level.CRITICAL) == []
    assert len(steps(talk, level=Level.ELEVATED)) == 2


def test_the_pace_and_the_tail_are_settings() -> None:
    interims = Interims(cooldown_ms=100, tail_ms=3_000, elevated_tail_ms=2_000)
    pacer = Pacer(interims)
    told = [pacer.step(1, spoken, 0, lambda: Level.NORMAL) for spoken in range(1, 31)]
    assert [spoken for spoken, step in enumerate(told, 1) if step] == [15, 20, 25, 30]
    assert [tail_ms(interims, level) for level in Level] == [3_000, 2_000, 2_000]


def test_audio_is_full_when_no_block_fits_in_any_more_and_is_near_to_it_before() -> None:
    interims = Interims(tail_ms=7_000, elevated_tail_ms=4_000)
    for level, longest_ms in ((Level.NORMAL, 7_000), (Level.ELEVATED, 4_000)):
        lengths = (0, longest_ms - NEAR_MS, longest_ms - NEAR_MS + 20, longest_ms - 20, longest_ms - 19, longest_ms)
        assert [fullness(length, interims, level) for length in lengths] == [
            *(Fullness.ROOM, Fullness.ROOM),
            *(Fullness.NEAR, Fullness.NEAR),
            *(Fullness.FULL, Fullness.FULL),
        ]


def test_a_pause_is_told_once_and_so_is_its_end() -> None:
    pause = [(spoken, spoken - 20) for spoken in range(20, 20 + PAUSE_BLOCKS + 5)]
    again = [(spoken, 0) for spoken in range(35, 40)]
    assert steps([*pause, *again, (40, 1)], interims=False) == [(30, Step.PAUSE), (35, Step.GO_ON)]


def test_in_a_pause_there_is_nothing_new_to_show() -> None:
    talk = [(spoken, max(0, spoken - 20)) for spoken in range(1, 60)]
    assert max(spoken for spoken, step in steps(talk) if step is Step.INTERIM) < 20 + PAUSE_BLOCKS


def test_a_new_utterance_begins_over() -> None:
    pacer = Pacer(Interims())

    def feed(utterance: int) -> list[Step | None]:
        talk = [pacer.step(utterance, spoken, 0, lambda: Level.NORMAL) for spoken in range(1, 30)]
        return [*talk, pacer.step(utterance, 40, PAUSE_BLOCKS, lambda: Level.NORMAL)]

    assert feed(1) == feed(2)


@given(st.lists(st.sampled_from("#."), max_size=300))
def test_pauses_and_their_ends_alternate(blocks: list[str]) -> None:
    silent, heard = 0, []
    pacer = Pacer(Interims())
    for spoken, block in enumerate(blocks, 1):
        silent = 0 if block == "#" else silent + 1
        heard.append(pacer.step(1, spoken, silent, lambda: Level.NORMAL))
    turns = [step for step in heard if step in {Step.PAUSE, Step.GO_ON}]
    assert turns == [Step.PAUSE, Step.GO_ON] * (len(turns) // 2) + [Step.PAUSE] * (len(turns) % 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes.", 400),
        ("How are you?", 400),
        ('He said: "No!"', 400),
        ("はい。", 400),
        ("I would like to", 600),
        ("I would like to —", 700),
        ("I would like to...", 700),
        ("Well,", 700),
        ("", 500),
    ],
)
def test_a_hangover_follows_what_was_said(text: str, expected: int) -> None:
    assert hangover_ms(text, Speech()) == expected
    assert hangover_ms(text, Speech(hangover_ms=600, hangover_shortest_ms=600, hangover_longest_ms=600)) == 600
