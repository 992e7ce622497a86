"""What waits to be decoded, and where its audio lies: in memory as far as the limits go, beyond them on disk."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import structlog

from asr.policy import Limits, Room, Waiting, make_room
from asr.types import BYTES_PER_MS, DecodeKind, ModelErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asr.jobs import Job
    from asr.spool import Slip, Spool


log = structlog.get_logger()

FETCH_SECONDS = 5.0
"""A disk that takes longer to give audio back does not give it."""


class Backlog:
    """The jobs that wait. Without a spool there is no room beyond memory's."""

    def __init__(self, limits: Limits, spool: Spool | None = None) -> None:
        self.limits = limits
        self._spool = spool
        self._jobs: dict[DecodeKind, dict[str, Job]] = {kind: {} for kind in DecodeKind}
        self._calls: dict[DecodeKind, dict[str, dict[str, Job]]] = {kind: {} for kind in DecodeKind}
        """The same by call: however many wait, what is next is among the first of each."""
        self._lost: dict[str, Job] = {}
        """Those that are decoded for a second time, which go before others."""
        self._interims: dict[str, Job] = {}
        """By stream: of each but one waits."""
        self._waiting_bytes = 0
        self._memory_bytes = 0
        self._finals_bytes: Counter[str] = Counter()
        """In memory, of each track."""

    def __iter__(self) -> Iterator[Job]:
        return (job for jobs in self._jobs.values() for job in jobs.values())

    def find(self, request_id: str) -> Job | None:
        """Give the job that waits by this name."""
        return next((jobs[request_id] for jobs in self._jobs.values() if request_id in jobs), None)

    def job(self, entry: Waiting) -> Job:
        """Give the job that waits by this entry. Raises KeyError."""
        return self._jobs[entry.request.kind][entry.request.request_id]

    def interim(self, stream_key: str) -> Job | None:
        """Give the interim of a stream that waits."""
        return self._interims.get(stream_key)

    def first(self, kind: DecodeKind, of_each: int) -> Iterator[Job]:
        """Give so many jobs of a kind of each call, those that came first, and all that were lost; all interims."""
        most = None if kind is DecodeKind.INTERIM else of_each  # there is but one of each track
        for jobs in self._calls[kind].values():
            wanted = (job for job in jobs.values() if not job.entry.lost and not job.future.done())
            yield from islice(wanted, most)
        yield from (job for job in self._lost.values() if job.request.kind is kind and not job.future.done())

    def waits(self, group_key: str) -> bool:
        """Tell whether anything of a call waits."""
        return any(group_key in calls for calls in self._calls.values())

    def count(self, kind: DecodeKind) -> int:
        """Tell how many of a kind wait."""
        return len(self._jobs[kind])

    @property
    def waiting(self) -> dict[DecodeKind, int]:
        """How many wait, by kind."""
        return {kind: self.count(kind) for kind in DecodeKind}

    def refresh(self, now: float, running: Iterable[Job]) -> float:
        """Tell how long that track has been waiting for its next interim that waits longest, running ones included."""
        jobs = (*self._jobs[DecodeKind.INTERIM].values(), *running)
        return now - min((job.entry.since for job in jobs), default=now)

    @property
    def audio_seconds(self) -> float:
        """All audio that waits."""
        return self._waiting_bytes / BYTES_PER_MS / 1000

    @property
    def places(self) -> dict[str, float]:
        """Where it lies: seconds of it in memory, and on disk or on its way there."""
        memory = self._memory_bytes / BYTES_PER_MS / 1000
        return {"memory": memory, "disk": self.audio_seconds - memory}

    @property
    def memory_bytes(self) -> int:
        """What lies in memory, and is to stay there."""
        return self._memory_bytes

    def make_room(self, job: Job) -> bool:
        """Let others give way to a job that is to wait; False when there is no room to be had."""
        of_track = self._finals_bytes[job.request.stream_key] if job.request.kind is DecodeKind.FINAL else 0
        if self._memory_bytes + job.entry.size <= self.limits.total and of_track + job.entry.size <= self.limits.track:
            return True
        room = make_room([each.entry for each in self if each.slip is None], job.entry, self.limits)
        if room is None or not self._spool_has_room(room):
            return False
        for entry in room.gone:
            self.drop(self.job(entry))
        for entry in room.spooled:
            self._put_on_disk(self.job(entry))
        return True

    def enter(self, job: Job) -> None:
        """Let a job wait."""
        request = job.request
        self._jobs[request.kind][request.request_id] = job
        self._calls[request.kind].setdefault(request.group_key, {})[request.request_id] = job
        if job.entry.lost:
            self._lost[request.request_id] = job
        self._waiting_bytes += job.entry.size
        self._hold(job, job.entry.size)
        if request.kind is DecodeKind.INTERIM:
            self._interims[request.stream_key] = job

    def leave(self, job: Job) -> None:
        """Take a job from those that wait, if it is one of them. Audio on disk stays there."""
        request = job.request
        if self._jobs[request.kind].get(request.request_id) is not job:
            return
        del self._jobs[request.kind][request.request_id]
        of_call = self._calls[request.kind][request.group_key]
        del of_call[request.request_id]
        if not of_call:
            del self._calls[request.kind][request.group_key]
        self._lost.pop(request.request_id, None)
        job.silence()
        self._waiting_bytes -= job.entry.size
        if job.slip is None:
            self._hold(job, -job.entry.size)
        if self._interims.get(request.stream_key) is job:
            del self._interims[request.stream_key]

    def drop(self, job: Job) -> None:
        """Take a job from those that wait, and cancel it."""
        self.leave(job)
        job.future.cancel()

    def free(self, job: Job) -> None:
        """Let others have the room that a job has on disk."""
        if job.slip is not None and self._spool is not None:
            self._spool.free(job.slip)
            job.slip = None

    async def fetch(self, job: Job) -> None:
        """Have the audio of a job that has left in memory again, or fail it."""
        try:
            await asyncio.wait_for(self._fetch(job), FETCH_SECONDS)
        except Exception as error:  # noqa: BLE001  the disk's fault, or there is no memory
            log.error("audio that waited on disk cannot be read", error=repr(error))  # noqa: TRY400
            job.fail(ModelErrorCode.FAILED, "its audio could not be read back from disk")

    async def _fetch(self, job: Job) -> None:
        assert self._spool is not None, "there is a slip, so there is a spool"  # noqa: S101
        if job.slip is not None and not job.request.audio:
            job.give_audio(await self._spool.read(job.slip))
        self.free(job)

    def close(self) -> None:
        """Let go of the disk."""
        if self._spool is not None:
            self._spool.close()

    def _spool_has_room(self, room: Room) -> bool:
        sizes = [entry.size for entry in room.spooled]
        return not sizes or (self._spool is not None and self._spool.has_room(sizes))

    def _put_on_disk(self, job: Job) -> None:
        assert self._spool is not None, "there is room, so there is a spool"  # noqa: S101
        job.slip = self._spool.keep(job.request.audio, lambda slip, kept: self._spooled(job, slip, kept=kept))
        self._hold(job, -job.entry.size)

    def _spooled(self, job: Job, slip: Slip, *, kept: bool) -> None:
        if job.slip is not slip:
            return  # it has been decoded meanwhile, or is wanted no more
        if kept:
            job.give_audio(b"")
            return
        self.free(job)
        if self.find(job.request.request_id) is job:
            self._hold(job, job.entry.size)

    def _hold(self, job: Job, size: int) -> None:
        """Count what lies in memory."""
        self._memory_bytes += size
        if job.request.kind is DecodeKind.FINAL:
            self._finals_bytes[job.request.stream_key] += size
            if not self._finals_bytes[job.request.stream_key]:
                del self._finals_bytes[job.request.stream_key]
