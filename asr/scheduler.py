"""Runs the policy: requests wait here, lanes take them to the engine, and every future comes to an end.

The lanes are `asr/crew.py`'s; here is what waits, what runs, and what becomes of it.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

import msgspec
import structlog

from asr.crew import Crew
from asr.jobs import Job
from asr.policy import Waiting, choose, make_room
from asr.pressure import Level, Pressure
from asr.types import DecodeKind, Hypothesis, ModelError, ModelErrorCode, ModelRole
from config.settings import Interims

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        waiting_audio_seconds: float,
        interims: Interims | None = None,
    ) -> None:
        self._crew = Crew(engine, self._work)
        self._clock = clock
        self._limit_ms = waiting_audio_seconds * 1000
        self._orders = count()
        self._waiting: dict[str, Job] = {}
        self._interims: dict[str, Job] = {}
        """The interim of each stream that waits."""
        self._shown: dict[str, Job] = {}
        """And the one that runs."""
        self._running: dict[str, Job] = {}
        self._waiting_ms = 0
        self._served: dict[str, float] = {}
        self._pressure = Pressure(interims or Interims())
        self._group: asyncio.TaskGroup | None = None
        self._closed = False

    @property
    def waiting(self) -> dict[DecodeKind, int]:
        """Requests that wait, by kind."""
        kinds = [job.request.kind for job in self._waiting.values()]
        return {kind: kinds.count(kind) for kind in DecodeKind}

    @property
    def waiting_audio_seconds(self) -> float:
        """Audio that waits, of all calls."""
        return self._waiting_ms / 1000

    @property
    def level(self) -> Level:
        """How hard pressed it is."""
        now = self._clock()
        return self._pressure.update(now, self.predicted_wait(now))

    def predicted_wait(self, now: float) -> float:
        """Tell how long a final that came now would wait for its turn, in seconds."""
        ahead = sum(job.request.kind is DecodeKind.FINAL for job in self._waiting.values())
        return self._crew.load.wait(now, ahead, lanes=self._crew.engine.lanes(ModelRole.FINAL))

    def submit(self, request: DecodeRequest) -> asyncio.Future[Hypothesis]:
        """Queue a request; an interim takes the place of the one of its stream that waits.

        When too much waits, interims are cancelled to make room for a final, and an interim is cancelled at
        once. Raises ValueError for the id of a request that is still known.
        """
        if request.request_id in self._waiting or request.request_id in self._running:
            raise ValueError(f"request id {request.request_id!r} is in use")
        job = Job(Waiting(request=request, since=self._clock(), order=next(self._orders)))
        if self._closed:
            job.fail(ModelErrorCode.CLOSED)
            return job.future
        if request.kind is DecodeKind.INTERIM and (older := self._interims.get(request.stream_key)):
            job.entry = msgspec.structs.replace(job.entry, since=older.entry.since)
            self._drop(older)
        self._admit(job)
        return job.future

    def supersede(self, request: DecodeRequest) -> asyncio.Future[Hypothesis]:
        """Queue a request in the place of its stream's interims, the running one included."""
        self._drop_interims(request.stream_key)
        return self.submit(request)

    def promote(self, request_id: str) -> bool:
        """Make a speculative final a final, in the place of its stream's interims."""
        job = self._waiting.get(request_id) or self._running.get(request_id)
        if job is None or job.future.done() or job.request.kind is not DecodeKind.SPECULATIVE:
            return False
        self._drop_interims(job.request.stream_key)
        job.entry = msgspec.structs.replace(
            job.entry, request=msgspec.structs.replace(job.request, kind=DecodeKind.FINAL)
        )
        return True

    def cancel(self, request_id: str) -> bool:
        """Drop a request; True if it was known. A running one runs on, for nobody."""
        job = self._waiting.get(request_id) or self._running.get(request_id)
        if job is None or job.future.done():
            return False
        self._drop(job)
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

    async def swap(self, engine: Engine) -> None:
        """Let another engine decode from here on; return when the one before has nothing left to do.

        What waits is decoded by the new one, and so is what the old one loses with its process.
        """
        left, self._crew = self._crew, Crew(engine, self._work)
        if self._group and not self._closed:
            self._crew.start(self._group)
        await left.leave()

    def close(self) -> None:
        """Fail what waits, take nothing more, and let `run` return after what is being decoded."""
        self._closed = True
        for job in list(self._waiting.values()):
            self._leave(job)
            job.fail(ModelErrorCode.CLOSED)
        self._crew.dismiss()

    def _admit(self, job: Job) -> None:
        if self._waiting_ms + job.request.audio_ms > self._limit_ms:
            if job.request.kind is DecodeKind.INTERIM:
                job.future.cancel()
                return
            waiting = (each.entry for each in self._waiting.values())
            gone = make_room(waiting, job.request.audio_ms, self._limit_ms)
            if gone is None:
                job.fail(ModelErrorCode.OVERLOADED)
                return
            for entry in gone:
                self._drop(self._waiting[entry.request.request_id])
        job.future.add_done_callback(lambda _: self._leave(job))
        self._enter(job)

    def _enter(self, job: Job) -> None:
        request = job.request
        self._waiting[request.request_id] = job
        self._waiting_ms += request.audio_ms
        if request.kind is DecodeKind.INTERIM:
            self._interims[request.stream_key] = job
        self._set_alarm(job)
        self._crew.wake(request.kind.role)

    def _leave(self, job: Job) -> None:
        """Take a job from those that wait, if it is one of them."""
        request = job.request
        if self._waiting.get(request.request_id) is job:
            del self._waiting[request.request_id]
            self._waiting_ms -= request.audio_ms
        if self._interims.get(request.stream_key) is job:
            del self._interims[request.stream_key]
        if job.alarm:
            job.alarm.cancel()
            job.alarm = None

    def _drop(self, job: Job) -> None:
        self._leave(job)
        job.future.cancel()

    def _drop_interims(self, stream_key: str) -> None:
        """Drop the interims of a stream, the running one included."""
        if job := self._interims.get(stream_key):
            self._drop(job)
        if job := self._shown.get(stream_key):
            self._drop(job)

    def _set_alarm(self, job: Job) -> None:
        """Fail a job when its deadline passes, not only when a lane comes to it."""
        if job.request.deadline is not None:
            delay = max(0.0, job.request.deadline - self._clock())
            job.alarm = asyncio.get_running_loop().call_later(delay, self._alarm, job)

    def _alarm(self, job: Job) -> None:
        if job.entry.is_late(self._clock()):
            self._leave(job)
            job.fail(ModelErrorCode.DEADLINE)
        else:  # the loop's clock runs a little ahead of ours
            self._set_alarm(job)

    async def _work(self, crew: Crew, lane: int) -> bool:
        """Let a lane decode what is next; False when nothing waits for it."""
        batch = self._take(crew, lane)
        if not batch:
            return False
        await self._ask(crew, lane, batch)
        return True

    def _take(self, crew: Crew, lane: int) -> list[Job]:
        engine = crew.engine
        waiting = [
            job.entry
            for job in self._waiting.values()
            if lane in engine.lanes(job.request.kind.role) and not job.future.done() and not self._is_shown(job)
        ]
        choice = choose(
            waiting,
            self._clock(),
            served=self._served,
            batch_size=crew.share(lane, len(waiting)),
            window=lambda request: engine.window(lane, request.audio_ms),
        )
        for entry in choice.late:
            job = self._waiting[entry.request.request_id]
            self._leave(job)
            job.fail(ModelErrorCode.DEADLINE)
        batch = [self._waiting[entry.request.request_id] for entry in choice.batch]
        for job in batch:
            self._leave(job)
            self._running[job.request.request_id] = job
            if job.request.kind is DecodeKind.INTERIM:
                self._shown[job.request.stream_key] = job
        return batch

    def _is_shown(self, job: Job) -> bool:
        """Tell whether an interim of the same stream runs: a newer one has to wait for it."""
        return job.request.kind is DecodeKind.INTERIM and job.request.stream_key in self._shown

    async def _ask(self, crew: Crew, lane: int, batch: Sequence[Job]) -> None:
        """Let the engine decode; whatever it raises is the answer to what it has not answered."""
        left = dict(enumerate(batch))

        def settle(place: int, answer: Hypothesis | ModelError) -> None:
            self._settle(left.pop(place), answer)

        failure = ModelError(ModelErrorCode.FAILED, "the engine gave no answer")
        crew.load.begin(lane, self._clock(), len(batch))
        try:
            await crew.engine.decode(lane, [job.request for job in batch], settle)
        except ModelError as error:
            failure = error
        except Exception as error:  # the engine's fault, ours: the batch has its answer, and the lane goes on
            log.exception("decode.failed", lane=lane)
            failure = ModelError(ModelErrorCode.FAILED, f"the engine raised {type(error).__name__}")
        crew.load.end(lane, self._clock(), len(batch) - len(left))
        for job in left.values():
            self._settle(job, failure)

    def _settle(self, job: Job, answer: Hypothesis | ModelError) -> None:
        del self._running[job.request.request_id]
        if job.request.kind is DecodeKind.INTERIM:
            del self._shown[job.request.stream_key]
            if job.request.stream_key in self._interims:
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
        groups = {job.request.group_key for job in self._waiting.values()}
        self._served = {group: at for group, at in self._served.items() if group in groups}
        self._served[group_key] = self._clock()
