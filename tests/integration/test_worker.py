"""The real model process with a model that only pretends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import select
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from structlog.testing import capture_logs

from asr.scheduler import Scheduler
from asr.types import (
    BYTES_PER_MS,
    DecodeKind,
    DecodeOptions,
    DecodeRequest,
    Hypothesis,
    ModelError,
    ModelErrorCode,
    ModelLoadError,
    ModelRole,
)
from asr.weights import Weights
from asr.worker import ModelProcess
from asr.worker_batch import LoadedModel
from asr.worker_process import GIVE_WAY
from config.settings import Models
from tests.fakes import STAND_IN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = Path(__file__).parents[2]


BOTH_ROLES = (DecodeKind.FINAL, DecodeKind.INTERIM)


def weights(name: str) -> Weights:
    return Weights(name=name, directory=Path("/nowhere", name), source="path")


def process(interim: str = "one", final: str = "one", *, close_seconds: float = 5.0, **settings: Any) -> ModelProcess:
    return ModelProcess(
        Models(**{"workers": 1, **settings}),
        weights(interim),
        weights(final),
        loader=STAND_IN,
        restart_seconds=(0.0,),
        close_seconds=close_seconds,
    )


@contextlib.asynccontextmanager
async def started(
    interim: str = "one", final: str = "one", *, close_seconds: float = 5.0, **settings: Any
) -> AsyncIterator[ModelProcess]:
    engine = process(interim, final, close_seconds=close_seconds, **settings)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def asks(
    order: str | None = None,
    *,
    audio: bytes = bytes(100 * BYTES_PER_MS),
    hotwords: str | None = None,
    kind: DecodeKind = DecodeKind.FINAL,
) -> DecodeRequest:
    """`order` tells the stand-in model what to do."""
    return DecodeRequest(
        request_id="r",
        stream_key="s",
        group_key="g",
        kind=kind,
        audio=audio,
        origin_sample=0,
        options=DecodeOptions(initial_prompt=order, hotwords=hotwords),
    )


async def text_of(engine: ModelProcess, request: DecodeRequest) -> str:
    (answer,) = await engine.decode(engine.lanes(request.kind.role)[0], [request])
    assert isinstance(answer, Hypothesis)
    return answer.text


@contextlib.contextmanager
def watching(pid: int | None) -> Iterator[int]:
    """Hold on to a process, so that its end can be seen and its number is not another's."""
    assert pid
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def ended(handle: int, seconds: float) -> bool:
    return bool(select.select([handle], [], [], seconds)[0])


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Make a FIFO for the stand-in model to wait at; opening it for writing waits for the model to be there."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


async def test_audio_arrives_whole() -> None:
    audio = os.urandom(30_000 * BYTES_PER_MS)
    async with started() as engine:
        assert await text_of(engine, asks(audio=audio)) == f"load 1, 30000 ms, crc {zlib.crc32(audio):08x}"
        short = audio[:640]
        assert await text_of(engine, asks(audio=short)) == f"load 1, 20 ms, crc {zlib.crc32(short):08x}"
        assert await text_of(engine, asks(audio=b"")) == "load 1, 0 ms, crc 00000000"


async def test_a_batch_keeps_its_order_and_its_audio_apart() -> None:
    pieces = [os.urandom(size) for size in (30_000 * BYTES_PER_MS, 640, 1280)]
    async with started(batch_size=3) as engine:
        answers = await engine.decode(0, [asks(audio=piece) for piece in pieces])
        for piece, answer in zip(pieces, answers, strict=True):
            assert isinstance(answer, Hypothesis)
            assert answer.text.endswith(f"crc {zlib.crc32(piece):08x}")


async def test_what_is_settled_does_not_wait_for_the_rest_of_its_batch(gate: Path) -> None:
    async with started() as engine, asyncio.TaskGroup() as tasks:
        heard: dict[int, Hypothesis | ModelError] = {}
        batch = [asks("hold", hotwords=str(gate)), asks(), asks()]
        decoding = tasks.create_task(engine.decode(0, batch, heard.__setitem__))
        writer = await asyncio.to_thread(gate.open, "wb")  # the stand-in begins with the last
        while len(heard) < 2:  # noqa: ASYNC110  a callback's event
            await asyncio.sleep(0)
        assert (set(heard), decoding.done()) == ({1, 2}, False)
        writer.close()
        assert await decoding == [heard[place] for place in range(3)]


async def test_what_was_settled_before_a_crash_is_not_lost_with_the_rest() -> None:
    async with started() as engine:
        scheduler = Scheduler(engine, clock=asyncio.get_running_loop().time)
        async with asyncio.TaskGroup() as tasks:
            batch = [
                msgspec.structs.replace(asks("die" if name == "first" else None), request_id=name, group_key=name)
                for name in ("first", "second", "third")
            ]
            bad, *good = [scheduler.submit(request) for request in batch]
            tasks.create_task(scheduler.run())
            answers = [(await future).text for future in good]
            with pytest.raises(ModelError):
                await bad
            scheduler.close()
    assert [text.split(",")[0] for text in answers] == ["load 1", "load 1"]
    assert engine.pid is None


async def test_audio_longer_than_the_window_fails_alone() -> None:
    async with started(batch_size=2) as engine:
        long = asks(audio=bytes(30_001 * BYTES_PER_MS))
        bad, good = await engine.decode(0, [long, asks()])
        assert isinstance(bad, ModelError)
        assert bad.code is ModelErrorCode.FAILED
        assert isinstance(good, Hypothesis)


async def test_equal_weights_are_loaded_once() -> None:
    async with started("one", "one") as engine:
        assert engine.lanes(ModelRole.INTERIM) == engine.lanes(ModelRole.FINAL)
        assert engine.models == (
            LoadedModel(
                name="one int8",
                roles=(ModelRole.FINAL, ModelRole.INTERIM),
                compute_type="int8",
                device="cpu",
                source="path",
            ),
        )
        texts = [await text_of(engine, asks(kind=kind)) for kind in BOTH_ROLES]
        assert [text.split(",")[0] for text in texts] == ["load 1", "load 1"]


async def test_two_models_decode_at_the_same_time() -> None:
    heard: list[str] = []
    engine = process("small", "large")
    try:
        await engine.start(heard.append)
        assert heard == ["large", "small"]
        assert [model.name for model in engine.models] == ["large int8", "small int8"]
        async with asyncio.TaskGroup() as tasks:  # each waits in the model for the other
            texts = [tasks.create_task(text_of(engine, asks("meet", kind=kind))) for kind in BOTH_ROLES]
        assert {text.result().split(",")[0] for text in texts} == {"load 1", "load 2"}
    finally:
        await engine.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
@pytest.mark.parametrize("interim", ["one", "two"])
async def test_interims_leave_the_cores_to_finals_that_want_them(interim: str) -> None:
    async with started(interim, "one") as engine:
        told = [await text_of(engine, asks("niceness", kind=kind)) for kind in (DecodeKind.FINAL, DecodeKind.INTERIM)]
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert told == [str(ours), str(ours + (GIVE_WAY if interim == "two" else 0))]


async def test_one_model_decodes_side_by_side_on_several_lanes() -> None:
    async with started("one", "one", workers=2) as engine:
        assert engine.lanes(ModelRole.FINAL) == engine.lanes(ModelRole.INTERIM) == (0, 1)
        assert [model.name for model in engine.models] == ["one int8"]
        async with asyncio.TaskGroup() as tasks:  # each waits in the model for the other
            answers = [tasks.create_task(engine.decode(lane, [asks("meet")])) for lane in (0, 1)]
        texts = [answer.text for each in answers for answer in each.result() if isinstance(answer, Hypothesis)]
        assert [text.split(",")[0] for text in texts] == ["load 1", "load 1"], "it was loaded once"


async def test_a_lane_takes_one_batch_after_the_other(gate: Path) -> None:
    async with started() as engine, asyncio.TaskGroup() as tasks:
        held = tasks.create_task(text_of(engine, asks("hold", audio=b"11", hotwords=str(gate))))
        writer = await asyncio.to_thread(gate.open, "wb")
        second = tasks.create_task(text_of(engine, asks(audio=b"22")))
        writer.close()
        assert (await held).endswith(f"crc {zlib.crc32(b'11'):08x}")
        assert (await second).endswith(f"crc {zlib.crc32(b'22'):08x}")


async def test_decodes_asked_for_at_once_do_not_mix_their_audio() -> None:
    pieces = [bytes([number]) * 64 for number in range(50)]
    async with started() as engine:
        texts = await asyncio.gather(*(text_of(engine, asks(audio=piece)) for piece in pieces))
    assert [text[-8:] for text in texts] == [f"{zlib.crc32(piece):08x}" for piece in pieces]


async def test_a_decode_given_up_does_not_answer_for_the_next(gate: Path) -> None:
    async with started() as engine:
        async with asyncio.TaskGroup() as tasks:
            held = tasks.create_task(text_of(engine, asks("hold", audio=b"11", hotwords=str(gate))))
            writer = await asyncio.to_thread(gate.open, "wb")
            held.cancel()
        async with asyncio.TaskGroup() as tasks:
            second = tasks.create_task(text_of(engine, asks(audio=b"22")))
            await asyncio.sleep(0)
            writer.close()
        assert second.result().endswith(f"crc {zlib.crc32(b'22'):08x}")


async def test_an_exception_fails_its_request_only() -> None:
    async with started(batch_size=2) as engine:
        pid = engine.pid
        bad, good = await engine.decode(0, [asks("raise"), asks()])
        assert isinstance(bad, ModelError)
        assert (bad.code, bad.message) == (ModelErrorCode.FAILED, "ValueError: told to")
        assert isinstance(good, Hypothesis)
        assert engine.pid == pid


async def test_a_batch_for_which_there_is_no_memory_is_made_smaller_and_so_are_those_to_come() -> None:
    async with started(batch_size=8) as engine:
        pid = engine.pid
        assert engine.largest_batch(0) == 8
        answers = await engine.decode(0, [asks("crowd", hotwords="3") for _ in range(7)])
        assert all(isinstance(answer, Hypothesis) for answer in answers)
        assert (engine.largest_batch(0), engine.pid) == (2, pid)  # of 7, there was none for 4
        assert await outcome(engine, asks("die")) is ModelErrorCode.CRASHED
        assert await text_of(engine, asks())
        assert engine.largest_batch(0) == 2  # a new process has no more memory


async def test_where_one_utterance_has_no_room_the_process_gives_all_of_its_memory_back() -> None:
    with capture_logs() as logs:
        async with started() as engine:
            pid = engine.pid
            assert await outcome(engine, asks("crowd", hotwords="0")) is ModelErrorCode.CRASHED
            assert await text_of(engine, asks())
            assert engine.pid != pid
    (restarting,) = [line for line in logs if line["event"] == "model_process.restarting"]
    assert restarting["reason"] == "the model process died, it had no memory for an utterance"


async def test_an_answer_that_cannot_be_sent_is_a_crash_and_no_silence() -> None:
    async with started() as engine:
        assert await outcome(engine, asks("garble")) is ModelErrorCode.CRASHED
        assert await text_of(engine, asks())


async def test_killed_during_a_decode_it_crashes_and_recovers(gate: Path) -> None:
    async with started() as engine:
        pid = engine.pid
        assert pid
        with watching(pid) as handle:
            async with asyncio.TaskGroup() as tasks:
                lost = tasks.create_task(outcome(engine, asks("hold", hotwords=str(gate))))
                writer = await asyncio.to_thread(gate.open, "wb")
                os.kill(pid, signal.SIGKILL)
            writer.close()
            assert lost.result() is ModelErrorCode.CRASHED
            assert ended(handle, 5)
        assert await text_of(engine, asks(audio=b"99")) == f"load 1, 0 ms, crc {zlib.crc32(b'99'):08x}"
        assert engine.pid not in {None, pid}


async def test_a_decode_that_overruns_its_limit_is_ended_with_its_process(gate: Path) -> None:
    async with started(decode_limit_seconds=0.2) as engine:
        pid = engine.pid
        assert pid
        with watching(pid) as handle:  # nobody opens the gate
            assert await outcome(engine, asks("hold", hotwords=str(gate))) is ModelErrorCode.CRASHED
            assert ended(handle, 5)
        assert await text_of(engine, asks(audio=b"99")) == f"load 1, 0 ms, crc {zlib.crc32(b'99'):08x}"
        assert engine.pid not in {None, pid}


CRC_OF_SILENCE = f"{zlib.crc32(bytes(100 * BYTES_PER_MS)):08x}"


async def outcome(engine: ModelProcess, request: DecodeRequest) -> ModelErrorCode | str:
    try:
        return await text_of(engine, request)
    except ModelError as error:
        return error.code


async def test_killed_while_idle_it_costs_at_most_one_try() -> None:
    async with started() as engine:
        for _ in range(3):
            pid = engine.pid
            assert pid
            with watching(pid) as handle:
                os.kill(pid, signal.SIGKILL)
                assert ended(handle, 5)
            assert await outcome(engine, asks()) is ModelErrorCode.CRASHED  # the loop has not heard of it yet
            assert await text_of(engine, asks())
            assert engine.pid not in {None, pid}


async def test_both_lanes_lose_what_they_decode(gate: Path) -> None:
    async with started("small", "large") as engine, asyncio.TaskGroup() as tasks:
        held = tasks.create_task(outcome(engine, asks("hold", hotwords=str(gate), kind=DecodeKind.INTERIM)))
        writer = await asyncio.to_thread(gate.open, "wb")
        assert await outcome(engine, asks("die")) is ModelErrorCode.CRASHED
        assert await held is ModelErrorCode.CRASHED
        writer.close()
        assert await text_of(engine, asks(kind=DecodeKind.INTERIM))


async def test_with_the_scheduler_a_killed_process_costs_no_utterance(gate: Path) -> None:
    async with started() as engine, asyncio.TaskGroup() as tasks:
        scheduler = Scheduler(engine, clock=asyncio.get_running_loop().time)
        tasks.create_task(scheduler.run())
        held = scheduler.submit(asks("hold", hotwords=str(gate)))
        first = await asyncio.to_thread(gate.open, "wb")
        with watching(engine.pid) as handle:
            os.kill(engine.pid or 0, signal.SIGKILL)
            assert ended(handle, 5)
        first.close()
        second = await asyncio.to_thread(gate.open, "wb")  # the new process has come to the same request
        second.close()
        assert (await held).text == f"load 1, 100 ms, crc {CRC_OF_SILENCE}"
        scheduler.close()


async def test_signals_to_the_group_do_not_end_it() -> None:
    engine = process()
    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(engine.start())
        await asyncio.sleep(0)
        pid = engine.pid
        assert pid
        while not starting.done():  # from its first moment on
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
            await asyncio.wait([starting], timeout=0.005)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert await text_of(engine, asks())
    assert engine.pid == pid
    await engine.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unloadable", "these weights cannot be loaded; take others"),
        ("mistaken", "KeyError: 'a mistake in the loader'"),
        ("deadly", "the model process died, exit code 7; is there memory enough"),
        ("too large", "cannot load model 'too large' .*CUDA failed with error out of memory; choose a smaller model"),
    ],
)
async def test_what_cannot_be_loaded(name: str, message: str) -> None:
    engine = process(name, "one")
    with pytest.raises(ModelLoadError, match=message):
        await engine.start()
    assert engine.pid is None


async def test_a_process_that_cannot_be_started() -> None:
    engine = process()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))  # no new handle for anybody
    try:
        with pytest.raises(ModelLoadError, match=r"cannot be started: .*Too many open files"):
            await engine.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_loader_that_is_not_there() -> None:
    engine = ModelProcess(Models(), weights("one"), weights("one"), loader="tests.fakes:Nobody")
    with pytest.raises(ModelLoadError, match="Nobody"):
        await engine.start()


async def test_it_is_started_again_after_longer_and_longer_waits(tmp_path: Path) -> None:
    flaky = Weights(name="flaky", directory=tmp_path, source="path")
    failures = tmp_path / "failures"
    failures.write_text("0")
    engine = ModelProcess(Models(), flaky, flaky, loader=STAND_IN, restart_seconds=(0.0, 0.01, 0.02))
    await engine.start()
    failures.write_text("3")
    with capture_logs() as logs:
        for _ in range(2):
            assert await outcome(engine, asks("die")) is ModelErrorCode.CRASHED
            assert await text_of(engine, asks())
    await engine.close()
    delays = [entry["in_seconds"] for entry in logs if entry["event"] == "model_process.restarting"]
    assert delays == [0.0, 0.01, 0.02, 0.02, 0.0]  # a decode that succeeds begins the count anew


async def test_one_that_cannot_be_brought_back_is_given_up_where_that_is_wanted(tmp_path: Path) -> None:
    flaky = Weights(name="flaky", directory=tmp_path, source="path")
    (tmp_path / "failures").write_text("0")
    engine = ModelProcess(Models(), flaky, flaky, loader=STAND_IN, restart_seconds=(0.0,), most_restarts=2)
    await engine.start()
    (tmp_path / "failures").write_text("99")
    try:
        assert await outcome(engine, asks("die")) is ModelErrorCode.CRASHED
        assert await outcome(engine, asks()) is ModelErrorCode.CRASHED  # which does not wait for ever
        assert (tmp_path / "failures").read_text() == "97"
    finally:
        await engine.close()


async def test_closed_while_it_waits_for_its_restart_it_stays_closed() -> None:
    engine = ModelProcess(Models(), weights("one"), weights("one"), loader=STAND_IN, restart_seconds=(60.0,))
    await engine.start()
    assert await outcome(engine, asks("die")) is ModelErrorCode.CRASHED
    async with asyncio.timeout(5):
        while engine._restart is None:  # noqa: ASYNC110  set by a callback of the reaping, which nobody else awaits
            await asyncio.sleep(0)
    assert not engine._restart.cancelled()
    await engine.close()
    assert engine._restart.cancelled()
    assert await outcome(engine, asks()) is ModelErrorCode.CLOSED


async def test_closed_the_moment_it_died_it_stays_closed() -> None:
    engine = ModelProcess(Models(), weights("one"), weights("one"), loader=STAND_IN, restart_seconds=(60.0,))
    await engine.start()
    assert await outcome(engine, asks("die")) is ModelErrorCode.CRASHED
    await engine.close()
    assert engine._restart is None or engine._restart.cancelled()
    assert engine.pid is None


async def test_start_given_up_leaves_no_process() -> None:
    engine = process("endless")
    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(engine.start())
        await asyncio.sleep(0)
        with watching(engine.pid) as handle:
            starting.cancel()
            await asyncio.wait([starting])
            assert ended(handle, 0)


async def test_the_loop_runs_on_while_models_are_loaded() -> None:
    engine = process("endless")
    turns = 0
    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(engine.start())
        async with asyncio.timeout(0.5):
            while turns < 1000:
                await asyncio.sleep(0)
                turns += 1
        starting.cancel()


async def test_close_is_orderly_and_leaves_nothing() -> None:
    def memory() -> set[str]:
        return set(os.listdir("/dev/shm"))  # noqa: S108, PTH208  where POSIX shared memory has its names

    before = memory()
    async with started() as engine:
        assert memory() == before  # no name, so nothing to leave behind
        with watching(engine.pid) as handle:
            await engine.close()
            assert ended(handle, 0)
        assert engine.pid is None
        assert await outcome(engine, asks()) is ModelErrorCode.CLOSED


async def test_close_fails_what_is_being_decoded(gate: Path) -> None:
    async with started() as engine, asyncio.TaskGroup() as tasks:
        held = tasks.create_task(outcome(engine, asks("hold", hotwords=str(gate))))
        writer = await asyncio.to_thread(gate.open, "wb")
        waits = tasks.create_task(outcome(engine, asks()))
        await asyncio.sleep(0)
        with watching(engine.pid) as handle:
            await engine.close()
            assert ended(handle, 0)
        assert await held is ModelErrorCode.CLOSED
        assert await waits is ModelErrorCode.CLOSED
        writer.close()


async def test_a_process_that_does_not_come_to_its_end_is_killed() -> None:
    async with started(close_seconds=0.1) as engine:
        pid = engine.pid
        assert pid
        with watching(pid) as handle:
            os.kill(pid, signal.SIGSTOP)
            await engine.close()
            assert ended(handle, 0)


async def test_starting_and_closing_again_and_again_costs_nothing() -> None:
    async def handles_after_a_life() -> int:
        async with started() as engine:
            await text_of(engine, asks())
        del engine
        gc.collect()  # shared memory goes with the last reference to it
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = await handles_after_a_life()
    assert max([await handles_after_a_life() for _ in range(3)]) <= before


PARENT = """
import asyncio, sys
from pathlib import Path
from asr.weights import Weights
from asr.worker import ModelProcess
from config.settings import Models

async def main(name):
    weights = Weights(name=name, directory=Path("/nowhere"), source="path")
    engine = ModelProcess(Models(), weights, weights, loader="tests.fakes:StandInModel")
    starting = asyncio.ensure_future(engine.start())
    await (asyncio.sleep(0) if name == "endless" else starting)
    print("child", engine.pid, "faster_whisper" in sys.modules, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    sys.exit(3)

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.contextmanager
def parent(name: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process with a model process of its own, and that one's pid."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, name],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        try:
            line = next(line for line in process.stdout if line.startswith("child"))  # there is a log before it
            _, pid, imported = line.split()
            assert imported == "False"  # CTranslate2 is the model process' burden alone
            yield process, int(pid)
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["one", "endless"])
def test_the_parent_killed_takes_the_process_with_it(name: str) -> None:
    with parent(name) as (process, pid), watching(pid) as handle:
        assert not ended(handle, 0)
        process.kill()
        assert ended(handle, 5)


def test_a_parent_that_leaves_without_closing_is_not_held_up() -> None:
    with parent("one") as (process, pid), watching(pid) as handle:
        process.communicate("\n", timeout=10)
        assert process.returncode == 3
        assert ended(handle, 5)
