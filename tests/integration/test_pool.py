"""Several model processes as one engine, and their change under running decodes; real processes, a stand-in model."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asr.in_process import InProcess
from asr.pool import ModelPool
from asr.scheduler import Scheduler
from asr.types import DecodeKind, DecodeOptions, DecodeRequest, Hypothesis, ModelError, ModelLoadError, ModelRole
from asr.weights import Weights
from asr.worker import ModelProcess
from config.settings import Models
from tests.fakes import STAND_IN, StandInModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def weights(name: str) -> Weights:
    return Weights(name=name, directory=Path("/nowhere", name), source="path")


def pool(*names: str, **settings: Any) -> ModelPool:
    """Plan a process for each name, which both of its roles are served by."""
    models = Models(**{"workers": 1, **settings})
    return ModelPool(
        [ModelProcess(models, weights(name), weights(name), loader=STAND_IN, restart_seconds=(60.0,)) for name in names]
    )


@contextlib.asynccontextmanager
async def started(*names: str, **settings: Any) -> AsyncIterator[ModelPool]:
    engine = pool(*names, **settings)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@contextlib.asynccontextmanager
async def scheduled(engine: ModelPool) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(engine, clock=asyncio.get_running_loop().time)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(scheduler.run())
        yield scheduler
        scheduler.close()


def asks(name: str = "r", order: str | None = None, *, gate: Path | None = None) -> DecodeRequest:
    return DecodeRequest(
        request_id=name,
        stream_key=name,
        group_key=name,
        kind=DecodeKind.FINAL,
        audio=b"\1\2",
        origin_sample=0,
        options=DecodeOptions(initial_prompt=order, hotwords=str(gate) if gate else None),
    )


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Make a FIFO for the stand-in model to wait at; opening it for writing waits for the model to be there."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def holder(engine: ModelPool, gate: Path) -> int:
    """Tell which process waits at the gate."""
    return next(
        pid for pid in engine.pids for link in Path("/proc", str(pid), "fd").iterdir() if link.readlink() == gate
    )


def test_the_settings_say_how_many_processes_there_are_and_on_which_devices() -> None:
    settings = Models(device="cuda", device_index=(0, 3), processes=2)
    engine = ModelPool.of(settings, weights("one"), weights("two"))
    assert engine.lanes(ModelRole.FINAL) == (0, 2, 4, 6)
    assert engine.lanes(ModelRole.INTERIM) == (1, 3, 5, 7)
    assert [each._plan.settings.device_index for each in engine._processes] == [(0,), (0,), (3,), (3,)]
    engine = ModelPool.of(Models(processes=2, workers=3), weights("one"), weights("one"))
    assert engine.lanes(ModelRole.INTERIM) == engine.lanes(ModelRole.FINAL) == (0, 1, 2, 3, 4, 5)
    engine = ModelPool.of(Models(processes=2, workers=2), weights("one"), weights("two"))
    assert (engine.lanes(ModelRole.FINAL), engine.lanes(ModelRole.INTERIM)) == ((0, 1, 4, 5), (2, 3, 6, 7))


async def test_each_lane_is_decoded_by_its_own_process() -> None:
    async with started("one", "two", batch_size=3) as engine:
        assert len(set(engine.pids)) == 2
        assert [model.name for model in engine.models] == ["one int8", "two int8"]
        for lane, name in zip(engine.lanes(ModelRole.FINAL), ("one", "two"), strict=True):
            (answer,) = await engine.decode(lane, [asks()])
            assert isinstance(answer, Hypothesis)
            assert answer.model == f"{name} int8"
            assert engine.largest_batch(lane) == 3


async def test_while_one_process_is_away_the_others_do_its_work(gate: Path) -> None:
    async with started("one", "two") as engine, scheduled(engine) as scheduler:
        held = scheduler.submit(asks("held", "hold", gate=gate))
        writer = await asyncio.to_thread(gate.open, "wb")
        dead = holder(engine, gate)
        names = dict(zip(engine.pids, ("one int8", "two int8"), strict=True))
        handle = os.pidfd_open(dead)
        os.kill(dead, signal.SIGKILL)
        assert await asyncio.to_thread(select.select, [handle], [], [], 20)  # before it is, it may open the gate
        os.close(handle)
        del names[dead]
        (other,) = names.values()
        writer.close()
        while not held.done():  # what was lost waits there again, in the other process, or is about to
            with contextlib.suppress(OSError):  # nobody waits there yet
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
            await asyncio.sleep(0.01)
        assert (await held).model == other
        futures = [scheduler.submit(asks(str(number))) for number in range(5)]
        assert {answer.model for answer in await asyncio.gather(*futures)} == {other}


async def test_one_that_cannot_be_loaded_ends_all_of_them() -> None:
    engine = pool("endless", "unloadable", "one")
    with pytest.raises(ModelLoadError, match="take others"):
        await engine.start()
    assert engine.pids == ()


async def test_a_start_given_up_leaves_no_process() -> None:
    engine = pool("one", "endless")
    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(engine.start())
        while len(engine.models) < 1:  # noqa: ASYNC110  the first is there, the second never will be
            await asyncio.sleep(0.01)
        starting.cancel()
    assert engine.pids == ()


async def test_models_are_swapped_while_they_decode(gate: Path) -> None:
    async with started("one") as before, scheduled(before) as scheduler:
        runs = scheduler.submit(asks("runs", "hold", gate=gate))
        writer = await asyncio.to_thread(gate.open, "wb")
        waits = scheduler.submit(asks("waits"))
        async with started("two", "three") as after, asyncio.TaskGroup() as tasks:
            swap = tasks.create_task(scheduler.swap(after))
            assert (await waits).model in {"two int8", "three int8"}
            assert not swap.done()
            writer.close()
            await swap
            assert (await runs).model == "one int8"
            await before.close()
            assert (await scheduler.submit(asks("later"))).model in {"two int8", "three int8"}


async def test_a_swap_to_what_cannot_be_loaded_changes_nothing() -> None:
    async with started("one") as before, scheduled(before) as scheduler:
        with pytest.raises(ModelLoadError):
            await pool("unloadable").start()
        assert (await scheduler.submit(asks())).model == "one int8"


async def test_models_within_this_process_answer_as_those_in_another() -> None:
    model, other = (StandInModel(weights(name), Models()) for name in ("one", "two"))
    model.warm_up()
    other.warm_up()
    with contextlib.closing(InProcess(model, model)) as engine:
        assert engine.lanes(ModelRole.INTERIM) == engine.lanes(ModelRole.FINAL) == (0,)
    with contextlib.closing(InProcess(interim=other, final=model, batch_size=3)) as engine:
        assert (engine.lanes(ModelRole.INTERIM), engine.largest_batch(1)) == ((1,), 3)
        good, bad, crowd = await engine.decode(0, [asks(), asks(order="raise"), asks()])
        assert isinstance(good, Hypothesis)
        assert isinstance(crowd, Hypothesis)
        assert isinstance(bad, ModelError)
        assert (good.model, bad.message) == ("one int8", "ValueError: told to")
        (answer,) = await engine.decode(1, [asks()])
        assert isinstance(answer, Hypothesis)
        assert answer.model == "two int8"
