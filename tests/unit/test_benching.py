from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from asr.types import BYTES_PER_MS, DecodeKind, DecodeOptions, ModelError, ModelErrorCode, ignore_answer
from config.profiles import Profile
from gateway.benching import Plan, measure, utterances
from gateway.capacity import Utterance
from tests.fakes import FakeEngine
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asr.types import DecodeRequest, Hypothesis, OnAnswer

PROMPTS = tuple(Utterance(text=f"utterance of {ms} ms", audio=bytes(ms * BYTES_PER_MS)) for ms in (1000, 2000, 3000))


def plan(seconds: float) -> Plan:
    return Plan(utterances=PROMPTS, language="en", options=DecodeOptions(profile=Profile(beam_size=3)), seconds=seconds)


class Ticks:
    """A clock on which every look takes a millisecond."""

    def __init__(self) -> None:
        self._ticks = count()

    def __call__(self) -> float:
        return next(self._ticks) / 1000


def ignore(_size: int, _gone: float) -> None:
    """Hear of progress, and forget."""


def test_the_prompts_are_cut_out_of_the_calls() -> None:
    said = utterances()
    assert len(said) == 12
    (person,) = [each for each in said if each.text == "You are currently the only person in this conference."]
    assert person.seconds == pytest.approx(len(prompt("conf-onlyperson")) / 16_000, abs=0.03)
    assert all(1.5 < each.seconds < 7 for each in said), "no pauses"
    assert all(any(each.audio[-16_000:]) for each in said)


async def test_every_size_is_decoded_together_and_as_the_settings_say() -> None:
    engine = FakeEngine()
    heard: list[tuple[int, float]] = []
    outcomes = await measure(engine, [1, 2, 4], plan(0.2), clock=Ticks(), on_round=lambda *told: heard.append(told))
    assert [each.batch for each in outcomes] == [1, 2, 4]
    assert all(each.utterances % each.batch == 0 for each in outcomes)
    assert sum(each.utterances for each in outcomes) == len(engine.begun)
    assert {(each.kind, each.language, each.options.profile.beam_size) for each in engine.begun} == {
        (DecodeKind.FINAL, "en", 3)
    }
    sizes = [size for size, _ in heard]
    assert sizes[:6] == [1, 2, 4, 1, 2, 4]
    assert max(map(sizes.count, (1, 2, 4))) - min(map(sizes.count, (1, 2, 4))) <= 1
    assert [gone for _, gone in heard] == sorted(gone for _, gone in heard)


async def test_each_size_is_tried_once_however_long_that_takes() -> None:
    heard: list[int] = []
    outcomes = await measure(
        FakeEngine(), [1, 2, 4], plan(0.0), clock=Ticks(), on_round=lambda size, _gone: heard.append(size)
    )
    assert heard == [1, 2, 4]
    assert [each.utterances for each in outcomes] == [1, 2, 4]


async def test_a_batch_is_one_decode() -> None:
    batches: list[int] = []

    class Counting(FakeEngine):
        async def decode(
            self, lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer = ignore_answer
        ) -> list[Hypothesis | ModelError]:
            batches.append(len(batch))
            return await super().decode(lane, batch, on_answer)

    await measure(Counting(batch_size=4), [4], plan(0.0), clock=Ticks(), on_round=ignore)
    assert batches == [4]


async def test_words_are_held_against_what_was_said() -> None:
    (right,) = await measure(FakeEngine(), [3], plan(0.0), clock=Ticks(), on_round=ignore)
    assert (right.word_errors, right.words) == (0, 12)
    (wrong,) = await measure(
        FakeEngine(text=lambda _request: "utterance of"), [3], plan(0.0), clock=Ticks(), on_round=ignore
    )
    assert (wrong.word_errors, wrong.words) == (6, 12)


@pytest.mark.parametrize("code", [ModelErrorCode.FAILED, ModelErrorCode.OVERLOADED])
async def test_a_model_that_fails_is_the_models_error(code: ModelErrorCode) -> None:
    engine = FakeEngine(script={2: code})
    with pytest.raises(ModelError, match="told to fail") as caught:
        await measure(engine, [1, 2], plan(1.0), clock=Ticks(), on_round=ignore)
    assert caught.value.code is code
