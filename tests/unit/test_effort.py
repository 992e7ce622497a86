from __future__ import annotations

import asyncio

from asr.load import Load
from asr.scheduler import Scheduler
from asr.tally import Effort
from asr.types import DecodeKind, DecodeRequest, ModelRole
from tests.fakes import FakeEngine


def test_what_lanes_did_is_told_by_role() -> None:
    load = Load()
    load.begin(0, 1.0, 4, DecodeKind.FINAL)
    load.begin(2, 1.5, 1, DecodeKind.INTERIM)
    load.end(0, 2.0, 4)
    load.end(2, 1.75, 1)
    load.begin(2, 3.0, 2, DecodeKind.FINAL)
    load.end(2, 3.5, 2)
    assert load.tally.effort(ModelRole.FINAL, 2) == Effort(lanes=2, requests=6, seconds=1.5)
    assert load.tally.effort(ModelRole.INTERIM, 1) == Effort(lanes=1, requests=1, seconds=0.25)


def test_what_was_lost_counts_for_nothing() -> None:
    load = Load()
    load.begin(0, 1.0, 4, DecodeKind.FINAL)
    load.end(0, 99.0, 0)
    assert load.tally.effort(ModelRole.FINAL, 1) == Effort(lanes=1, requests=0, seconds=0.0)


class Hand:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def asks(name: str, kind: DecodeKind) -> DecodeRequest:
    return DecodeRequest(
        request_id=name, stream_key=name, group_key=name, kind=kind, audio=bytes(32_000), origin_sample=0
    )


async def test_a_scheduler_counts_finals_and_trials_dropped_ones_too_and_interims_apart() -> None:
    clock, engine = Hand(), FakeEngine(devices=2, held=True)
    scheduler = Scheduler(engine, clock=clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(scheduler.run())
        for number, kind in enumerate((DecodeKind.INTERIM, DecodeKind.FINAL, DecodeKind.SPECULATIVE), 1):
            future = scheduler.submit(asks(f"r {number}", kind))
            await engine.wait_begun(number)
            if kind is DecodeKind.SPECULATIVE:
                scheduler.cancel(f"r {number}")
            clock.now += 1.5
            await engine.release()
            await asyncio.wait({future})
        while engine.busy:  # noqa: ASYNC110  a decode for nobody tells nobody of its end
            await asyncio.sleep(0)
        assert scheduler.effort(ModelRole.FINAL) == Effort(lanes=2, requests=2, seconds=3.0)
        assert scheduler.effort(ModelRole.INTERIM) == Effort(lanes=2, requests=1, seconds=1.5)
        await scheduler.swap(FakeEngine())
        assert scheduler.effort(ModelRole.FINAL) == Effort(lanes=1, requests=0, seconds=0.0)
        scheduler.close()
        await engine.let_go()
