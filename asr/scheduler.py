"""Runs the policy: requests wait here, lanes take them to the engine, and every future comes to an end.

The lanes are `asr/crew.py`'s, and what waits is `asr/backlog.py`'s; here is what runs, and what becomes of it.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

import msgspec
import structlog

from asr.backlog import Backlog
from asr.crew import Crew
from asr.jobs import Job
from asr.policy import Limits, Waiting, choose
from asr.pressure import Level, Measures, Pressure
from asr.types import DecodeKind, Hypothesis, ModelError, ModelErrorCode, ModelRole
from config.settings import Interims

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asr.spool import Spool
    from asr.tally import Done, Effort
    from asr.types import DecodeRequest, Engine

log = structlog.get_logger()


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
        self._crew = Crew(engine, self._work, clock)
        self._orders = count()
        self.backlog = Backlog(limits or Limits(), spool)
        """To be looked at from outside, and not touched."""
        self._running: dict[str, Job] = {}
        self._shown: dict[str, Job] = {}
        """The interim of each stream that runs."""
        self._served: dict[str, float] = {}
        self._pressure = Pressure(interims or Interims())
        self._group: asyncio.TaskGroup | None = None
        self._closed = False

    @property
    def waiting(self) -> dict[DecodeKind, int]:
        """Requests that wait, by kind."""
        return {kind: self.backlog.count(kind) for kind in DecodeKind}

    @property
    def level(self) -> Level:
        """How hard pressed it is."""
        now = self._clock()
        measures = Measures(
            wait_seconds=self._wait(now),
            refresh_seconds=self._refresh(now),
            finals=self.backlog.count(DecodeKind.FINAL),
            interims=self.backlog.count(DecodeKind.INTERIM),
        )
        return self._pressure.update(now, measures)

    def predicted_wait(self, now: float) -> float:
        """Tell how long a final that came now would wait for its turn, in seconds: no less than one waits already."""
        since = self.backlog.since(DecodeKind.FINAL)
        return max(self._wait(now), 0.0 if since is None else now - since)

    def _wait(self, now: float) -> float:
        """Tell the same as far as it follows from what is ahead: one that is unlucky is no sign of pressure."""
        ahead = self.backlog.count(DecodeKind.FINAL)
        return self._crew.load.wait(now, ahead, lanes=self._crew.engine.lanes(ModelRole.FINAL))

    def _refresh(self, now: float) -> float:
        """Tell for how long the track that waits longest for its next interim has been waiting."""
        waits = self.backlog.since(DecodeKind.INTERIM)
        runs = (job.entry.since for job in self._shown.values())
        return now - min((*runs, *(() if waits is None else (waits,))), default=now)

    @property
    def done(self) -> Mapping[DecodeKind, Done]:
        """What the present engine has done, by kind."""
        return self._crew.load.tally.done

    def effort(self, role: ModelRole) -> Effort:
        """Tell what the present engine's lanes have done for a role."""
        return self._crew.effort(role)

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
        waits = request_id not in self._running
        self.backlog.leave(job)
        job.entry = msgspec.structs.replace(
            job.entry, request=msgspec.structs.replace(job.request, kind=DecodeKind.FINAL)
        )
        if waits:
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

    async def swap(self, engine: Engine) -> None:
        """Let another engine decode from here on; return when the one before has nothing left to do.

        What waits is decoded by the new one, and so is what the old one loses with its process.
        """
        left, self._crew = self._crew, Crew(engine, self._work, self._clock)
        if self._group and not self._closed:
            self._crew.start(self._group)
        await left.leave()

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
        """Keep nothing of a job that has come to its end."""
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
        if ready := [job for job in batch if await self._fetch(job)]:
            await self._ask(crew, lane, ready)
        return True

    async def _fetch(self, job: Job) -> bool:
        """Have a job's audio at hand; False when it has come to its end instead."""
        try:
            await self.backlog.fetch(job)
        except OSError as error:
            log.error("audio that waited on disk cannot be read", error=str(error))  # noqa: TRY400  the disk's fault
            self._settle(job, ModelError(ModelErrorCode.FAILED, "its audio could not be read back from disk"))
            return False
        return True

    def _take(self, crew: Crew, lane: int) -> list[Job]:
        engine = crew.engine
        waiting = [
            job.entry
            for job in self.backlog
            if lane in engine.lanes(job.request.kind.role) and not job.future.done() and not self._is_shown(job)
        ]
        choice = choose(
            waiting,
            self._clock(),
            served=self._served,
            batch_size=crew.share(
                lane, len(waiting), sum(entry.request.kind.role is ModelRole.FINAL for entry in waiting)
            ),
            window=lambda entry: engine.window(lane, entry.audio_ms),
        )
        for entry in choice.late:
            job = self.backlog.job(entry)
            self.backlog.leave(job)
            job.fail(ModelErrorCode.DEADLINE)
        batch = [self.backlog.job(entry) for entry in choice.batch]
        for job in batch:
            self.backlog.leave(job)
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
            self._remember_turn(job.request.group_key)
        if job.future.done():
            return
        if isinstance(answer, Hypothesis):
            job.future.set_result(answer)
        elif answer.code is ModelErrorCode.CRASHED and job.is_worth_another_try:
            job.entry = msgspec.structs.replace(job.entry, lost=True)
            self._enter(job)
        else:
            job.fail(answer.code, answer.message)

    def _remember_turn(self, group_key: str) -> None:
        groups = {job.request.group_key for job in self.backlog}
        self._served = {group: at for group, at in self._served.items() if group in groups}
        self._served[group_key] = self._clock()
