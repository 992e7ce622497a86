"""Runs the policy: requests wait here, lanes take them to the engine, and every future comes to an end.

The lanes are `asr/crew.py`'s, and what waits is `asr/backlog.py`'s; here is what runs, and what becomes of it.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from asr.backlog import Backlog
from asr.crew import Crew
from asr.jobs import Job
from asr.policy import Limits, Waiting, choose
from asr.pressure import Level, Measures, Pressure
from asr.tally import Tally
from asr.turns import Turns
from asr.types import DecodeKind, Hypothesis, ModelError, ModelErrorCode, ModelRole
from config.settings import Interims

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from asr.spool import Spool
    from asr.tally import Done, Effort
    from asr.types import DecodeRequest, Engine

log = structlog.get_logger()

OF_ONE_CALL = 4
"""So many finals of one call count, at most, where it is asked whether there is room for more calls."""

_UNWANTED = ModelError(ModelErrorCode.FAILED, "it has come to its end before")


class Scheduler:
    """A Decoder that serves all calls with one Engine.

    `run` does the work until `close`. Requests may be queued before, and are refused after. Everything is
    for one event loop. `clock` is monotonic and in seconds; deadlines are on it.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float],
        limits: Limits | None = None,
        spool: Spool | None = None,
        interims: Interims | None = None,
    ) -> None:
        self._clock = clock
        self._tally = Tally()
        """Of all engines there were."""
        self._crew = Crew(engine, self._work, clock, self._tally)
        self._orders = count()
        self.backlog = Backlog(limits or Limits(), spool)
        """To be looked at from outside, and not touched."""
        self._running: dict[str, Job] = {}
        self._shown: dict[str, Job] = {}
        """The interim of each stream that runs."""
        self._turns = Turns()
        self._pressure = Pressure(interims or Interims())
        self._group: asyncio.TaskGroup | None = None
        self._closed = False

    @property
    def level(self) -> Level:
        """How hard pressed it is."""
        now, finals = self._clock(), self.backlog.count(DecodeKind.FINAL)
        measures = Measures(
            wait_seconds=self._crew.wait(ModelRole.FINAL, now, finals),
            refresh_seconds=self.backlog.refresh(now, self._shown.values()),
            finals=finals,
            interims=self.backlog.count(DecodeKind.INTERIM),
        )
        return self._pressure.update(now, measures)

    def predicted_wait(self, now: float) -> float:
        """Tell how long finals have to wait for their turn, in seconds, be it for models that are not there.

        Of one call not many count: it is the one that waits for them.
        """
        ahead = sum(1 for _ in self.backlog.first(DecodeKind.FINAL, OF_ONE_CALL))
        return max(self._crew.wait(ModelRole.FINAL, now, ahead), self.away_seconds)

    @property
    def done(self) -> Mapping[DecodeKind, Done]:
        """What was done since the start, by kind."""
        return self._tally.done

    @property
    def longest_seconds(self) -> float:
        """How long the batch has been running that runs longest."""
        return self._crew.load.longest(self._clock())

    @property
    def away_seconds(self) -> float:
        """For how long there have been no models for finals."""
        return self._crew.away(ModelRole.FINAL)

    def effort(self, role: ModelRole) -> Effort:
        """Tell what the present engine's lanes have done for a role."""
        return self._crew.effort(role)

    def adjust(self, limits: Limits, interims: Interims) -> None:
        """Keep to other limits from here on; what waits already stays."""
        self.backlog.limits = limits
        self._pressure.adopt(interims)

    def submit(self, request: DecodeRequest) -> asyncio.Future[Hypothesis]:
        """Queue a request; an interim takes the place of the one of its stream that waits.

        When too much waits, interims are cancelled to make room for a final, and an interim is cancelled at
        once; then the oldest finals wait on disk. Raises ValueError for the id of a request that is still known.
        """
        if self._find(request.request_id) is not None:
            raise ValueError(f"request id {request.request_id!r} is in use")
        size = len(request.audio)
        job = Job(Waiting(request=request, since=self._clock(), order=next(self._orders), size=size))
        job.future.add_done_callback(lambda _: self._forget(job))
        if self._closed:
            job.fail(ModelErrorCode.CLOSED)
            return job.future
        if request.kind is DecodeKind.INTERIM and (older := self.backlog.interim(request.stream_key)):
            job.entry = msgspec.structs.replace(job.entry, since=older.entry.since)
            self.backlog.drop(older)
        self._admit(job)
        return job.future

    def supersede(self, request: DecodeRequest) -> asyncio.Future[Hypothesis]:
        """Queue a request in the place of its stream's interims, the running one included."""
        self._drop_interims(request.stream_key)
        return self.submit(request)

    def promote(self, request_id: str) -> bool:
        """Make a speculative final a final, in the place of its stream's interims."""
        job = self._find(request_id)
        if job is None or job.future.done() or job.request.kind is not DecodeKind.SPECULATIVE:
            return False
        self._drop_interims(job.request.stream_key)
        self.backlog.leave(job)
        job.entry = msgspec.structs.replace(
            job.entry, request=msgspec.structs.replace(job.request, kind=DecodeKind.FINAL)
        )
        if request_id not in self._running:
            self._admit(job)
        return True

    def cancel(self, request_id: str) -> bool:
        """Drop a request; True if it was known. A running one runs on, for nobody."""
        job = self._find(request_id)
        if job is None or job.future.done():
            return False
        self.backlog.drop(job)
        return True

    async def run(self) -> None:
        """Own the lanes until `close`, and what is being decoded then. Cancelled, it closes at once."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._crew.start(group)
        finally:
            self._group = None
            self.close()
            for job in self._running.values():
                job.fail(ModelErrorCode.CLOSED)
            self._running.clear()
            self.backlog.close()

    def swap(self, engine: Engine) -> Coroutine[Any, Any, None]:
        """Let another engine decode from here on; what is returned ends when the one before has nothing left to do.

        What waits is decoded by the new one, and so is what the old one loses with its process.
        """
        left, self._crew = self._crew, Crew(engine, self._work, self._clock, self._tally)
        if self._group and not self._closed:
            self._crew.start(self._group)
        return left.leave()

    def close(self) -> None:
        """Fail what waits, take nothing more, and let `run` return after what is being decoded."""
        self._closed = True
        for job in list(self.backlog):
            self.backlog.leave(job)
            job.fail(ModelErrorCode.CLOSED)
        self._crew.dismiss()

    def _find(self, request_id: str) -> Job | None:
        return self.backlog.find(request_id) or self._running.get(request_id)

    def _admit(self, job: Job) -> None:
        if self.backlog.make_room(job):
            self._enter(job)
        else:
            job.refuse()

    def _enter(self, job: Job) -> None:
        self.backlog.enter(job)
        job.set_alarm(self._clock, self.backlog.leave)
        self._crew.wake(job.request.kind.role)

    def _forget(self, job: Job) -> None:
        """Count a job that has come to its end, and keep nothing of it."""
        self._tally.end(job.request.kind, job.status)
        self.backlog.leave(job)
        self.backlog.free(job)

    def _drop_interims(self, stream_key: str) -> None:
        """Drop the interims of a stream, the running one included."""
        if job := self.backlog.interim(stream_key):
            self.backlog.drop(job)
        if job := self._shown.get(stream_key):
            self.backlog.drop(job)

    async def _work(self, crew: Crew, lane: int) -> bool:
        """Let a lane decode what is next; False when nothing waits for it."""
        batch = self._take(crew, lane)
        if not batch:
            return False
        await asyncio.gather(*(self.backlog.fetch(job) for job in batch if job.slip))
        for job in batch:
            if job.future.done():  # its audio could not be had, or nobody wants it any more
                self._settle(job, _UNWANTED)
        if ready := [job for job in batch if not job.future.done()]:
            await self._ask(crew, lane, ready)
        return True

    def _take(self, crew: Crew, lane: int) -> list[Job]:
        engine, largest = crew.engine, crew.engine.largest_batch(lane)
        retrying = any(job.entry.lost for job in self._running.values())
        waiting = [
            job.entry
            for kind in DecodeKind
            if lane in engine.lanes(kind.role)
            for job in self.backlog.first(kind, largest)
            if not self._is_shown(job) and not (job.entry.lost and retrying)
        ]
        choice = choose(
            waiting,
            self._clock(),
            served=self._turns.served,
            batch_size=crew.share(
                lane, len(waiting), sum(entry.request.kind.role is ModelRole.FINAL for entry in waiting)
            ),
            window=lambda entry: engine.window(lane, entry.audio_ms),
        )
        for job in [self.backlog.job(entry) for entry in choice.late]:
            self.backlog.leave(job)
            job.fail(ModelErrorCode.DEADLINE)
        if choice.late and not choice.batch:
            return self._take(crew, lane)  # behind them there may be others of their calls
        batch = [self.backlog.job(entry) for entry in choice.batch]
        for job in batch:
            self.backlog.leave(job)
            job.taken_at, job.window = self._clock(), engine.window(lane, job.entry.audio_ms)
            self._running[job.request.request_id] = job
            if job.request.kind is DecodeKind.INTERIM:
                self._shown[job.request.stream_key] = job
        return batch

    def _is_shown(self, job: Job) -> bool:
        """Tell whether an interim of the same stream runs: a newer one has to wait for it."""
        return job.request.kind is DecodeKind.INTERIM and job.request.stream_key in self._shown

    async def _ask(self, crew: Crew, lane: int, batch: Sequence[Job]) -> None:
        left = dict(enumerate(batch))

        def settle(place: int, answer: Hypothesis | ModelError) -> None:
            self._settle(left.pop(place), answer)

        failure = await crew.decode(lane, [job.request for job in batch], settle)
        for job in left.values():
            self._settle(job, failure)

    def _settle(self, job: Job, answer: Hypothesis | ModelError) -> None:
        del self._running[job.request.request_id]
        if job.request.kind is DecodeKind.INTERIM:
            del self._shown[job.request.stream_key]
            if self.backlog.interim(job.request.stream_key):
                self._crew.wake(ModelRole.INTERIM)  # a newer one has waited for this, maybe at another engine
        else:
            self._turns.remember(job.request.group_key, self._clock(), self.backlog.waits)
        if job.entry.lost:
            self._crew.wake(job.request.kind.role)  # others that were lost have waited for this
        if job.future.done():
            return
        if isinstance(answer, Hypothesis):
            job.answer(answer, self._clock(), self._tally)
        elif answer.code is ModelErrorCode.CRASHED and job.is_worth_another_try:
            job.entry = msgspec.structs.replace(job.entry, lost=True)
            self._enter(job)
        else:
            job.fail(answer.code, answer.message)
