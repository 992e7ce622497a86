"""The scheduler with speakers who come as they like and a model that takes its time, on a simulated clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.load import LEAST_BATCH, MANY_SECONDS
from asr.pacing import tail_ms
from asr.policy import Limits
from asr.pressure import Level
from asr.scheduler import Scheduler
from asr.types import BYTES_PER_MS, DecodeKind, DecodeRequest, Hypothesis, ModelError, ModelErrorCode, ModelRole
from config.settings import Interims
from tests.simulated_time import run_simulated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asr.types import OnAnswer

INTERIMS = Interims()
SHOWN_MS = 2000
"""Of an utterance of so much everybody expects to see something before its end."""


class Talk(msgspec.Struct, frozen=True):
    """What one speaker does, again and again: so long silent, so long speaking."""

    silent_ms: int
    spoken_ms: int


START_MS = 10


def model(*, shared: bool, final_ms: int, interim_ms: int) -> Model:
    return Model(shared=shared, each_ms={ModelRole.FINAL: final_ms, ModelRole.INTERIM: interim_ms})


class Model:
    """An Engine that takes so long: a start, and more for each request of a batch."""

    def __init__(self, *, shared: bool, each_ms: dict[ModelRole, int]) -> None:
        self._lanes = {ModelRole.FINAL: (0,), ModelRole.INTERIM: (0,) if shared else (1, 2)}
        self._each_ms = each_ms
        self.in_flight: Counter[str] = Counter()

    def lanes(self, role: ModelRole) -> Sequence[int]:
        return self._lanes[role]

    def largest_batch(self, _lane: int) -> int:
        return 8

    def window(self, _lane: int, audio_ms: int) -> float:
        return max(7.0, audio_ms // 1000 + 2)

    async def ready(self, _lane: int) -> None:
        """Be ready at once."""

    async def decode(
        self, _lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer
    ) -> list[Hypothesis | ModelError]:
        interims = [request.stream_key for request in batch if request.kind is DecodeKind.INTERIM]
        self.in_flight.update(interims)
        assert max(self.in_flight.values(), default=0) <= 1, "one interim in flight per track"
        cost_ms = START_MS + sum(self._each_ms[request.kind.role] for request in batch)
        await asyncio.sleep(cost_ms / 1000)
        self.in_flight.subtract(interims)
        answers: list[Hypothesis | ModelError] = [
            Hypothesis(text=request.request_id, model="simulated") for request in batch
        ]
        for place, answer in enumerate(answers):
            on_answer(place, answer)
        return answers


class Speaker:
    """One track that asks as a call does, and what came of it."""

    def __init__(self, name: str, scheduler: Scheduler, talk: Sequence[Talk]) -> None:
        self.name = name
        self._scheduler = scheduler
        self._talk = talk
        self._loop = asyncio.get_running_loop()
        self.final_waits: list[float] = []
        self.failed: list[ModelErrorCode] = []
        self.said = 0
        self.interims = 0
        self.most_bytes = 0
        """That waited in memory after a request of this speaker."""
        self.unshown = 0
        """Utterances of two seconds or more that ended without an interim while nobody was hard pressed."""
        self._waiting: set[asyncio.Future[Hypothesis]] = set()

    async def speak(self, until: float) -> None:
        for number in range(10_000):
            talk = self._talk[number % len(self._talk)]
            await asyncio.sleep(talk.silent_ms / 1000)
            if self._loop.time() >= until:
                break
            await self._utter(f"{self.name} {number}", talk.spoken_ms)
        if self._waiting:
            await asyncio.wait(self._waiting)

    async def _utter(self, name: str, spoken_ms: int) -> None:
        heard_ms, first = 300, True
        critical = False
        interims: list[asyncio.Future[Hypothesis]] = []
        await asyncio.sleep(min(heard_ms, spoken_ms) / 1000)
        while heard_ms < spoken_ms:
            level = self._scheduler.level
            critical = critical or level is Level.CRITICAL
            if level < Level.CRITICAL:
                audio_ms = min(heard_ms, tail_ms(INTERIMS, level))
                request = self._request(f"{name} interim {heard_ms}", DecodeKind.INTERIM, audio_ms, first=first)
                interims.append(self._submit(request))
            first = not any(future.done() and not future.cancelled() for future in interims)
            step_ms = INTERIMS.cooldown_ms if level is Level.NORMAL else INTERIMS.elevated_cooldown_ms
            await asyncio.sleep(min(step_ms, spoken_ms - heard_ms) / 1000)
            heard_ms += step_ms
        shown = sum(future.done() and not future.cancelled() for future in interims)
        self.interims += shown
        self.unshown += spoken_ms >= SHOWN_MS and not critical and not shown
        await self._end(name, spoken_ms)

    async def _end(self, name: str, spoken_ms: int) -> None:
        """Pause, with a final on trial, and then be sure."""
        await asyncio.sleep(0.2)
        trial = self._request(f"{name} trial", DecodeKind.SPECULATIVE, spoken_ms)
        future = self._submit(trial)
        await asyncio.sleep(0.3)
        heard = future.done() and not future.cancelled() and not future.exception()
        if not heard and not self._scheduler.promote(trial.request_id):
            future = self._scheduler.supersede(self._request(f"{name} final", DecodeKind.FINAL, spoken_ms))
        self.most_bytes = max(self.most_bytes, self._scheduler.backlog.memory_bytes)
        self.said += 1
        began = self._loop.time()
        self._waiting.add(future)
        future.add_done_callback(lambda done: self._heard(done, began))

    def _heard(self, future: asyncio.Future[Hypothesis], began: float) -> None:
        self._waiting.discard(future)
        self.final_waits.append(self._loop.time() - began)
        error = future.exception()
        if isinstance(error, ModelError):
            self.failed.append(error.code)

    def _submit(self, request: DecodeRequest) -> asyncio.Future[Hypothesis]:
        future = self._scheduler.submit(request)
        self.most_bytes = max(self.most_bytes, self._scheduler.backlog.memory_bytes)
        return future

    def _request(self, request_id: str, kind: DecodeKind, audio_ms: int, *, first: bool = False) -> DecodeRequest:
        return DecodeRequest(
            request_id=request_id,
            stream_key=self.name,
            group_key=self.name,
            kind=kind,
            first=first,
            audio=bytes(audio_ms * BYTES_PER_MS),
            origin_sample=0,
        )


def play(
    model: Model, talks: Sequence[Sequence[Talk]], *, seconds: float = 60.0, limits: Limits | None = None
) -> list[Speaker]:
    """Let speakers talk for so long, and hear all of it out."""

    async def work() -> list[Speaker]:
        scheduler = Scheduler(model, clock=asyncio.get_running_loop().time, limits=limits, interims=INTERIMS)
        speakers = [Speaker(f"speaker{number}", scheduler, talk) for number, talk in enumerate(talks)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(scheduler.run())
            async with asyncio.TaskGroup() as speaking:
                for speaker in speakers:
                    speaking.create_task(speaker.speak(seconds))
            assert (scheduler.backlog.memory_bytes, sum(scheduler.backlog.waiting.values())) == (0, 0)
            scheduler.close()
        return speakers

    return run_simulated(work())


TALK = st.lists(
    st.builds(Talk, silent_ms=st.integers(500, 5000), spoken_ms=st.integers(100, 15_000)), min_size=1, max_size=4
)
TALKS = st.lists(TALK, min_size=1, max_size=12)
FINAL_MS, INTERIM_MS = st.integers(5, 2000), st.integers(5, 500)


@settings(max_examples=60)
@given(TALKS, st.booleans(), FINAL_MS, INTERIM_MS)
def test_whoever_speaks_and_however_slow_the_model_every_final_comes(
    talks: list[list[Talk]], shared: bool, final_ms: int, interim_ms: int
) -> None:
    for speaker in play(model(shared=shared, final_ms=final_ms, interim_ms=interim_ms), talks):
        assert (len(speaker.final_waits), speaker.failed) == (speaker.said, [])


@settings(max_examples=60)
@given(TALKS, st.booleans(), FINAL_MS, st.integers(20, 100))
def test_memory_is_bounded_and_what_has_no_room_is_told(
    talks: list[list[Talk]], shared: bool, final_ms: int, limit_seconds: int
) -> None:
    limits = Limits(total=limit_seconds * 1000 * BYTES_PER_MS, track=20_000 * BYTES_PER_MS)
    for speaker in play(model(shared=shared, final_ms=final_ms, interim_ms=100), talks, limits=limits):
        assert speaker.most_bytes <= limits.total
        assert len(speaker.final_waits) == speaker.said
        assert set(speaker.failed) <= {ModelErrorCode.OVERLOADED}


@settings(max_examples=60)
@given(TALKS, st.booleans(), st.integers(50, 400))
def test_who_says_little_waits_for_one_turn_of_each_other_speaker_at_most(
    talks: list[list[Talk]], shared: bool, final_ms: int
) -> None:
    little = [Talk(silent_ms=(len(talks) + 2) * final_ms * 3, spoken_ms=1000)]
    *_, speaker = play(model(shared=shared, final_ms=final_ms, interim_ms=200), [*talks, little])
    one_seconds = (final_ms + START_MS) / 1000
    running_seconds = 8 * one_seconds  # the first batch, of which nobody knows how long it takes
    own_seconds = max(MANY_SECONDS, LEAST_BATCH * one_seconds)
    turns_seconds = (len(talks) + 1) * one_seconds
    assert max(speaker.final_waits, default=0) <= running_seconds + turns_seconds + own_seconds


@settings(max_examples=60)
@given(TALKS, FINAL_MS, st.integers(5, 60))
def test_everybody_sees_something_while_finals_are_in_time(
    talks: list[list[Talk]], final_ms: int, interim_ms: int
) -> None:
    for speaker in play(model(shared=False, final_ms=final_ms, interim_ms=interim_ms), talks):
        assert speaker.unshown == 0


@pytest.mark.parametrize("shared", [True, False])
def test_of_twice_as_many_as_it_bears_all_are_heard_and_interims_give_way(shared: bool) -> None:
    unbroken = [[Talk(silent_ms=800, spoken_ms=2000 + number * 97 % 1100)] for number in range(20)]
    bears = play(model(shared=shared, final_ms=80, interim_ms=30), unbroken)
    twice = play(model(shared=shared, final_ms=160, interim_ms=60), unbroken * 2)
    for speaker in (*bears, *twice):
        assert (len(speaker.final_waits), speaker.failed) == (speaker.said, [])
    assert max(wait for speaker in bears for wait in speaker.final_waits) < 1.0
    shown = [sum(speaker.interims for speaker in speakers) / len(speakers) for speakers in (bears, twice)]
    assert shown[1] < shown[0] / 2
