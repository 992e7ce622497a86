"""The lanes of one engine: tasks that take what waits to it, one batch at a time, until they are dismissed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from asr.load import BATCH_SECONDS, MANY_SECONDS, Load
from asr.types import Hypothesis, ModelError, ModelErrorCode, ModelRole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asr.tally import Effort, Tally
    from asr.types import DecodeRequest, Engine, OnAnswer

    Work = Callable[["Crew", int], Awaitable[bool]]
    """Let a lane of a crew decode what is next; False when nothing waits for it."""

log = structlog.get_logger()


class Crew:
    """One task for each lane. A lane whose model is not there takes nothing: others may be.

    What it does is counted in `tally`, too, which outlives it.
    """

    def __init__(self, engine: Engine, work: Work, clock: Callable[[], float], tally: Tally) -> None:
        self.engine = engine
        self._clock = clock
        self._tally = tally
        self.load = Load()
        self._work = work
        self._dismissed = False
        numbers = {number for role in ModelRole for number in engine.lanes(role)}
        self._lanes = {number: _Lane() for number in sorted(numbers)}

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to work, in tasks that the group waits for."""
        for number, lane in self._lanes.items():
            lane.task = group.create_task(self._serve(number, lane), name=f"decode lane {number}")

    def wake(self, role: ModelRole) -> None:
        """Tell the lanes of a role that something waits."""
        for number in self.engine.lanes(role):
            self._lanes[number].wake.set()

    def share(self, number: int, waiting: int, finals: int) -> int:
        """Tell how much of what waits a lane may take: others that are free have their part, and so has what comes.

        Of many finals it takes half, for together they cost less; `finals` are those of the waiting, on trial or not.
        """
        roles = [role for role in ModelRole if number in self.engine.lanes(role)]
        others = {other for role in roles for other in self.engine.lanes(role)} - {number}
        free = 1 + sum(self._lanes[other].free for other in others)
        largest = self.engine.largest_batch(number)
        in_time = self.load.batch(number, BATCH_SECONDS) or largest
        of_many = min(self.load.batch(number, MANY_SECONDS) or largest, -(-finals // 2))
        return min(largest, max(in_time, of_many), -(-waiting // free))

    def away(self, role: ModelRole) -> float:
        """Tell for how many seconds no lane of a role has had its model."""
        since = [self._lanes[number].away_since for number in self.engine.lanes(role)]
        gone = [each for each in since if each is not None]
        return self._clock() - max(gone) if gone and len(gone) == len(since) else 0.0

    def wait(self, role: ModelRole, now: float, ahead: int) -> float:
        """Tell how long what comes after so many waits for a lane of a role."""
        return self.load.wait(now, ahead, lanes=self.engine.lanes(role))

    def effort(self, role: ModelRole) -> Effort:
        """Tell what the lanes have done for a role."""
        return self.load.tally.effort(role, len(self.engine.lanes(role)))

    async def decode(self, number: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer) -> ModelError:
        """Let a lane decode requests of one kind; give what is the answer to those that have none."""
        answered = retries = 0

        def take(place: int, answer: Hypothesis | ModelError) -> None:
            nonlocal answered, retries
            answered += 1
            retries += answer.retries if isinstance(answer, Hypothesis) else 0
            on_answer(place, answer)

        failure = ModelError(ModelErrorCode.FAILED, "the engine gave no answer")
        self.load.begin(number, self._clock(), len(batch), batch[0].kind)
        try:
            await self.engine.decode(number, batch, take)
        except ModelError as error:
            failure = error
        except Exception as error:  # the engine's fault, ours: the batch has its answer, and the lane goes on
            log.exception("decode.failed", lane=number)
            failure = ModelError(ModelErrorCode.FAILED, f"the engine raised {type(error).__name__}")
        seconds = self.load.end(number, self._clock(), answered, retries)
        self._tally.add(batch[0].kind, len(batch), answered=answered, retries=retries, seconds=seconds)
        return failure

    def dismiss(self) -> None:
        """Take nothing more; what is being decoded comes to its end."""
        self._dismissed = True
        for lane in self._lanes.values():
            if lane.task and not lane.busy:
                lane.task.cancel()

    async def leave(self) -> None:
        """Take nothing more, and wait for the end of what is being decoded."""
        self.dismiss()
        if tasks := [lane.task for lane in self._lanes.values() if lane.task]:
            await asyncio.wait(tasks)

    async def _serve(self, number: int, lane: _Lane) -> None:
        while not self._dismissed:
            lane.away_since = self._clock()
            await self.engine.ready(number)
            lane.away_since = None
            lane.wake.clear()
            lane.busy = True
            worked = await self._work(self, number)
            lane.busy = False
            if not worked and not self._dismissed:
                await lane.wake.wait()


class _Lane:
    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.busy = False
        self.away_since: float | None = None
        """Since when it waits for its model."""
        self.task: asyncio.Task[None] | None = None

    @property
    def free(self) -> bool:
        """Whether it could decode at once."""
        return not self.busy and self.away_since is None
