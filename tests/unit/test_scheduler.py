from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from asr import backlog
from asr.policy import Limits
from asr.pressure import Level
from asr.scheduler import Scheduler
from asr.spool import CHUNK_BYTES, Slip, Spool
from asr.types import (
    BYTES_PER_MS,
    DecodeKind,
    DecodeRequest,
    Hypothesis,
    ModelError,
    ModelErrorCode,
    OnAnswer,
    ignore_answer,
)
from tests.fakes import FakeEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

numbers = count(1)


def asks(
    kind: DecodeKind, stream: str = "a", *, ms: int = 1000, deadline: float | None = None, group: str | None = None
) -> DecodeRequest:
    number = next(numbers)
    return DecodeRequest(
        request_id=f"{kind} {number}",
        stream_key=stream,
        group_key=group or stream,
        kind=kind,
        audio=bytes([number % 256]) * (ms * BYTES_PER_MS),
        origin_sample=0,
        deadline=deadline,
    )


def final(
    stream: str = "a", *, ms: int = 1000, deadline: float | None = None, group: str | None = None
) -> DecodeRequest:
    return asks(DecodeKind.FINAL, stream, ms=ms, deadline=deadline, group=group)


def interim(stream: str = "a", *, ms: int = 1000, deadline: float | None = None) -> DecodeRequest:
    return asks(DecodeKind.INTERIM, stream, ms=ms, deadline=deadline)


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def running(
    engine: FakeEngine, *, clock: Callable[[], float] | None = None, seconds: float = 60.0, spool: Spool | None = None
) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(
        engine,
        clock=clock or asyncio.get_running_loop().time,
        limits=Limits(total=seconds * 1000 * BYTES_PER_MS),
        spool=spool,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(scheduler.run())
        try:
            yield scheduler
        finally:
            scheduler.close()
            await engine.let_go()


async def code_of(future: asyncio.Future[Hypothesis]) -> ModelErrorCode:
    with pytest.raises(ModelError) as caught:
        await future
    return caught.value.code


async def test_a_request_is_decoded() -> None:
    async with running(FakeEngine()) as scheduler:
        assert (await scheduler.submit(final(ms=1280))).text == "utterance of 1280 ms"
        assert scheduler.backlog.audio_seconds == 0


async def test_finals_go_before_interims_that_waited_longer() -> None:
    engine = FakeEngine(held=True)
    async with running(engine) as scheduler:
        first = scheduler.submit(final("first"))
        await engine.wait_begun(1)
        later = [scheduler.submit(interim("b")), scheduler.submit(final("c")), scheduler.submit(final("d"))]
        assert scheduler.backlog.waiting == {DecodeKind.FINAL: 2, DecodeKind.SPECULATIVE: 0, DecodeKind.INTERIM: 1}
        await engine.let_go()
        await asyncio.gather(first, *later)
        assert [request.stream_key for request in engine.begun] == ["first", "c", "d", "b"]


async def test_a_call_with_many_finals_takes_turns() -> None:
    engine = FakeEngine(held=True)
    async with running(engine) as scheduler:
        many = [scheduler.submit(final("many")) for _ in range(3)]
        await engine.wait_begun(1)
        one = scheduler.submit(final("one"))
        await engine.let_go()
        await asyncio.gather(*many, one)
        assert [request.stream_key for request in engine.begun] == ["many", "one", "many", "many"]


async def test_two_models_decode_at_once() -> None:
    engine = FakeEngine(shared=False, held=True)
    async with running(engine) as scheduler:
        futures = [scheduler.submit(final()), scheduler.submit(interim())]
        await engine.wait_begun(2)
        await engine.release(2)
        await asyncio.gather(*futures)


async def test_a_batch_is_decoded_together() -> None:
    engine = FakeEngine(held=True, batch_size=3)
    async with running(engine) as scheduler:
        first = scheduler.submit(final("x"))
        await engine.wait_begun(1)
        rest = [scheduler.submit(final(stream, ms=ms)) for stream, ms in (("a", 100), ("b", 200), ("c", 300))]
        await engine.release(1)
        await engine.wait_begun(4)  # the three begin without another release
        await engine.let_go()
        assert [(await future).text for future in rest] == [f"utterance of {ms} ms" for ms in (100, 200, 300)]
        await first


async def test_a_newer_interim_takes_the_place_of_the_one_that_waits() -> None:
    engine = FakeEngine(held=True)
    async with running(engine) as scheduler:
        busy = scheduler.submit(interim("a"))
        await engine.wait_begun(1)
        old, other, new = (scheduler.submit(interim(stream)) for stream in "aba")
        assert old.cancelled()
        assert scheduler.backlog.waiting[DecodeKind.INTERIM] == 2
        await engine.let_go()
        await asyncio.gather(busy, other, new)


async def test_supersede_drops_the_streams_interims_waiting_and_running() -> None:
    engine = FakeEngine(held=True)
    async with running(engine) as scheduler:
        runs = scheduler.submit(interim("a"))
        await engine.wait_begun(1)
        waits, other = scheduler.submit(interim("a")), scheduler.submit(interim("b"))
        best = scheduler.supersede(final("a", ms=500))
        assert runs.cancelled()
        assert waits.cancelled()
        await engine.let_go()
        assert (await best).text == "utterance of 500 ms"
        await other


async def test_supersede_leaves_finals_alone() -> None:
    engine = FakeEngine(held=True)
    async with running(engine) as scheduler:
        runs = scheduler.submit(final("a"))
        await engine.wait_begun(1)
        waits = scheduler.submit(final("a"))
        best = scheduler.supersede(final("a"))
        await engine.let_go()
        await asyncio.gather(runs, waits, best)


async def test_cancel_waiting_and_running() -> None:
    engine = FakeEngine(held=True)
    async with running(engine) as scheduler:
        first, second = final(), final()
        runs, waits = scheduler.submit(first), scheduler.submit(second)
        await engine.wait_begun(1)
        assert scheduler.cancel(second.request_id)
        assert scheduler.cancel(first.request_id)
        assert not scheduler.cancel(first.request_id)
        assert not scheduler.cancel("unknown")
        assert runs.cancelled()
        assert waits.cancelled()
        assert scheduler.backlog.audio_seconds == 0
        await engine.let_go()
        await scheduler.submit(final("next"))
        assert [request.stream_key for request in engine.begun] == ["a", "next"]


async def test_a_caller_who_cancels_the_future_cancels_the_request() -> None:
    engine = FakeEngine(held=True)
    async with running(engine) as scheduler:
        runs, waits, last = (scheduler.submit(final(stream)) for stream in "abc")
        await engine.wait_begun(1)
        runs.cancel()
        waits.cancel()
        await asyncio.wait([waits])
        await asyncio.sleep(0)  # the turn of the loop in which futures call back
        assert scheduler.backlog.audio_seconds == 1
        await engine.let_go()
        await last
        assert [request.stream_key for request in engine.begun] == ["a", "c"]


async def test_a_future_cancelled_just_before_the_lane_comes_is_never_decoded() -> None:
    engine = FakeEngine()
    async with running(engine) as scheduler:
        first, gone, last = (scheduler.submit(final(stream)) for stream in "abc")
        engine.on_begin = lambda _request: gone.cancel()  # the lane goes on before the loop can tell of it
        await asyncio.gather(first, last)
        assert [request.stream_key for request in engine.begun] == ["a", "c"]


async def test_a_deadline_that_passes_while_waiting() -> None:
    engine = FakeEngine(held=True)
    loop = asyncio.get_running_loop()
    async with running(engine) as scheduler:
        busy = scheduler.submit(final())
        await engine.wait_begun(1)
        late = scheduler.submit(final(deadline=loop.time() + 0.02))
        assert await code_of(late) is ModelErrorCode.DEADLINE
        assert scheduler.backlog.waiting[DecodeKind.FINAL] == 0
        await engine.release()
        await busy


async def test_a_deadline_found_passed_when_the_lane_comes_to_it() -> None:
    engine, clock = FakeEngine(held=True), Hand()
    async with running(engine, clock=clock) as scheduler:
        busy = scheduler.submit(final())
        await engine.wait_begun(1)
        late, good = scheduler.submit(final(deadline=5.0)), scheduler.submit(final(deadline=5.001))
        clock.now = 5.0
        await engine.let_go()
        assert await code_of(late) is ModelErrorCode.DEADLINE
        await asyncio.gather(busy, good)


async def test_a_deadline_does_not_touch_what_is_being_decoded() -> None:
    engine, clock = FakeEngine(held=True), Hand()
    async with running(engine, clock=clock) as scheduler:
        busy = scheduler.submit(final(deadline=0.01))
        await engine.wait_begun(1)
        clock.now = 9.0
        other = scheduler.submit(final(deadline=9.01))
        clock.now = 9.02
        assert await code_of(other) is ModelErrorCode.DEADLINE  # its alarm, so the loop has been past the first's
        await engine.release()
        await busy


async def test_finals_beyond_the_limit_wait_on_disk(tmp_path: Path) -> None:
    engine, spool = FakeEngine(held=True), Spool(lambda: tmp_path, 10 * CHUNK_BYTES)
    heard: dict[str, bytes] = {}
    engine.on_begin = lambda request: heard.update({request.request_id: request.audio})
    async with running(engine, seconds=3.0, spool=spool) as scheduler:
        busy = scheduler.submit(final())
        await engine.wait_begun(1)
        waiting = [final(stream, ms=1000) for stream in "bcdefgh"]
        futures = [scheduler.submit(each) for each in waiting]
        assert spool.kept_bytes == 4 * CHUNK_BYTES
        assert (scheduler.backlog.memory_bytes, scheduler.backlog.audio_seconds) == (3 * CHUNK_BYTES, 7)
        await engine.let_go()
        await asyncio.gather(busy, *futures)
        assert [heard[each.request_id] == each.audio for each in waiting] == [True] * 7
        assert spool.kept_bytes == 0
    assert not os.listdir(tmp_path), "the file has no name"  # noqa: PTH208  nothing of it blocks


async def test_when_the_disk_has_no_room_either_the_new_final_fails(tmp_path: Path) -> None:
    engine, spool = FakeEngine(held=True), Spool(lambda: tmp_path, 2 * CHUNK_BYTES)
    async with running(engine, seconds=2.0, spool=spool) as scheduler:
        busy = scheduler.submit(final())
        await engine.wait_begun(1)
        futures = [scheduler.submit(final(stream)) for stream in "bcde"]
        assert await code_of(scheduler.submit(final("f"))) is ModelErrorCode.OVERLOADED
        futures[0].cancel()
        await asyncio.sleep(0)  # the turn of the loop in which futures call back
        futures.append(scheduler.submit(final("g")))
        await engine.let_go()
        await asyncio.gather(busy, *futures[1:])


async def test_a_disk_that_cannot_be_written_keeps_audio_in_memory(tmp_path: Path) -> None:
    engine, spool = FakeEngine(held=True), Spool(lambda: tmp_path / "missing", 9 * CHUNK_BYTES)
    async with running(engine, seconds=2.0, spool=spool) as scheduler:
        busy = scheduler.submit(final())
        await engine.wait_begun(1)
        futures = [scheduler.submit(final(stream)) for stream in "bcd"]
        assert scheduler.backlog.memory_bytes == 2 * CHUNK_BYTES
        with pytest.raises(FileNotFoundError):
            await spool.read(Slip((), 0))  # comes after what was to be written
        assert (scheduler.backlog.memory_bytes, spool.kept_bytes) == (3 * CHUNK_BYTES, 0)
        await engine.let_go()
        await asyncio.gather(busy, *futures)


async def test_audio_that_cannot_be_read_back_fails_its_final_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, spool = FakeEngine(held=True, batch_size=4), Spool(lambda: tmp_path, 9 * CHUNK_BYTES)
    async with running(engine, seconds=2.0, spool=spool) as scheduler:
        busy = scheduler.submit(final())
        await engine.wait_begun(1)
        futures = [scheduler.submit(final(stream)) for stream in "bcd"]
        await spool.read(Slip((), 0))  # comes after what was to be written
        monkeypatch.setattr(os, "pread", lambda *_: b"short")
        await engine.let_go()
        assert await code_of(futures[0]) is ModelErrorCode.FAILED
        await asyncio.gather(busy, *futures[1:])


async def test_too_much_audio_is_refused_after_interims_gave_way() -> None:
    engine = FakeEngine(held=True)
    async with running(engine, seconds=3.0) as scheduler:
        busy = scheduler.submit(final())
        await engine.wait_begun(1)
        kept, shed = scheduler.submit(final("b")), scheduler.submit(interim("c", ms=2000))
        third = scheduler.submit(final("d", ms=2000))
        assert shed.cancelled()
        assert scheduler.backlog.audio_seconds == 3
        refused = scheduler.submit(final("e", ms=1))
        assert refused.done()
        assert await code_of(refused) is ModelErrorCode.OVERLOADED
        assert scheduler.submit(interim("f", ms=1)).cancelled()
        await engine.let_go()
        await asyncio.gather(busy, kept, third)


async def test_a_final_that_cannot_fit_costs_no_interim() -> None:
    engine = FakeEngine(held=True)
    async with running(engine, seconds=3.0) as scheduler:
        busy = scheduler.submit(final())
        await engine.wait_begun(1)
        kept = scheduler.submit(interim("b"))
        assert await code_of(scheduler.submit(final("c", ms=3001))) is ModelErrorCode.OVERLOADED
        await engine.let_go()
        await asyncio.gather(busy, kept)


async def test_what_was_lost_in_a_crash_is_decoded_again_first() -> None:
    engine = FakeEngine(held=True, script={1: ModelErrorCode.CRASHED})
    async with running(engine) as scheduler:
        lost = scheduler.submit(final("lost"))
        await engine.wait_begun(1)
        others = [scheduler.submit(final("b")), scheduler.submit(interim("c"))]
        await engine.let_go()
        assert (await lost).text == "utterance of 1000 ms"
        await asyncio.gather(*others)
        assert [request.stream_key for request in engine.begun] == ["lost", "lost", "b", "c"]


async def test_what_was_lost_twice_fails() -> None:
    engine = FakeEngine(script={1: ModelErrorCode.CRASHED, 2: ModelErrorCode.CRASHED})
    async with running(engine) as scheduler:
        lost, good = scheduler.submit(final("a")), scheduler.submit(final("b"))
        assert await code_of(lost) is ModelErrorCode.CRASHED
        await good


async def test_a_poisoned_utterance_fails_alone() -> None:
    engine = FakeEngine(held=True, batch_size=4, script={2: ModelErrorCode.CRASHED, 3: ModelErrorCode.CRASHED})
    async with running(engine) as scheduler:
        first = scheduler.submit(final("first"))
        await engine.wait_begun(1)
        batch = [scheduler.submit(final(name)) for name in ("poison", "b", "c")]
        await engine.let_go()
        await first
        assert await code_of(batch[0]) is ModelErrorCode.CRASHED
        assert [(await future).text for future in batch[1:]] == ["utterance of 1000 ms"] * 2


async def test_a_lost_interim_is_not_tried_again() -> None:
    engine = FakeEngine(held=True, script={1: ModelErrorCode.CRASHED})
    async with running(engine) as scheduler:
        lost = scheduler.submit(interim("a"))
        await engine.wait_begun(1)
        newer = scheduler.submit(interim("a", ms=2000))
        await engine.let_go()
        assert (await newer).text == "utterance of 2000 ms"
        assert await code_of(lost) is ModelErrorCode.CRASHED
        assert len(engine.begun) == 2


async def test_a_failed_decode_fails_its_request_only() -> None:
    async with running(FakeEngine(script={1: ModelErrorCode.FAILED})) as scheduler:
        bad, good = scheduler.submit(final("a")), scheduler.submit(final("b"))
        assert await code_of(bad) is ModelErrorCode.FAILED
        assert (await good).text == "utterance of 1000 ms"


class Broken(FakeEngine):
    """Raises what no engine should."""

    async def decode(
        self, lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer = ignore_answer
    ) -> list[Hypothesis | ModelError]:
        if batch[0].stream_key == "bad":
            raise LookupError(lane)
        return await super().decode(lane, batch, on_answer)


async def test_an_engine_with_a_mistake_stops_nobody() -> None:
    async with running(Broken()) as scheduler:
        bad, good = scheduler.submit(final("bad")), scheduler.submit(final("b"))
        assert await code_of(bad) is ModelErrorCode.FAILED
        await good


async def test_close_fails_what_waits_and_lets_the_running_one_end() -> None:
    engine = FakeEngine(held=True)
    async with running(engine) as scheduler:
        runs, waits = scheduler.submit(final("a")), scheduler.submit(final("b"))
        await engine.wait_begun(1)
        scheduler.close()
        assert await code_of(waits) is ModelErrorCode.CLOSED
        assert await code_of(scheduler.submit(final("c"))) is ModelErrorCode.CLOSED
        await engine.let_go()
        await runs


async def test_closed_during_a_crash() -> None:
    engine = FakeEngine(held=True, script={1: ModelErrorCode.CRASHED})
    async with running(engine) as scheduler:
        runs = scheduler.submit(final())
        await engine.wait_begun(1)
        scheduler.close()
        await engine.let_go()
        assert await code_of(runs) is ModelErrorCode.CLOSED


async def test_cancelling_run_leaves_no_future_behind() -> None:
    engine = FakeEngine(held=True)
    scheduler = Scheduler(engine, clock=Hand())
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(scheduler.run())
        runs, waits = scheduler.submit(final("a")), scheduler.submit(final("b"))
        await engine.wait_begun(1)
        run.cancel()
    assert await code_of(runs) is ModelErrorCode.CLOSED
    assert await code_of(waits) is ModelErrorCode.CLOSED


async def test_what_came_before_run_is_served_by_it() -> None:
    engine = FakeEngine()
    scheduler = Scheduler(engine, clock=Hand())
    early = scheduler.submit(final())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(scheduler.run())
        await early
        scheduler.close()


async def test_an_id_in_use_is_refused() -> None:
    async with running(FakeEngine(held=True)) as scheduler:
        request = final()
        future = scheduler.submit(request)
        with pytest.raises(ValueError, match="in use"):
            scheduler.submit(request)
        future.cancel()


async def test_a_newer_interim_waits_for_the_one_that_runs() -> None:
    engine = FakeEngine(held=True, devices=2, shared=False)
    async with running(engine) as scheduler:
        older, newer = scheduler.submit(interim("a")), scheduler.submit(interim("b"))
        await engine.wait_begun(2)
        newest = scheduler.submit(interim("a"))
        await engine.release(1)
        await engine.wait_begun(3)
        assert older.done() or newer.done()
        await engine.let_go()
        await asyncio.gather(older, newer, newest)
        running_at_once = [request.stream_key for request in engine.begun[:2]]
        assert sorted(running_at_once) == ["a", "b"]


async def test_one_stream_has_one_interim_that_runs_however_many_lanes_there_are() -> None:
    engine = FakeEngine(held=True, devices=2, shared=False)
    async with running(engine) as scheduler:
        first = scheduler.submit(interim("a"))
        await engine.wait_begun(1)
        second = scheduler.submit(interim("a"))
        for _ in range(20):
            await asyncio.sleep(0)  # long enough for the other lane to take it, if it would
        assert len(engine.begun) == 1
        await engine.let_go()
        await asyncio.gather(first, second)


async def test_a_newer_interim_keeps_the_place_of_the_one_it_replaces() -> None:
    clock = Hand()
    engine = FakeEngine(held=True)
    async with running(engine, clock=clock) as scheduler:
        first = scheduler.submit(final("x"))
        await engine.wait_begun(1)
        scheduler.submit(interim("a"))
        clock.now = 1.0
        other = scheduler.submit(interim("b"))
        clock.now = 2.0
        newer = scheduler.submit(interim("a", ms=2000))
        await engine.let_go()
        await asyncio.gather(first, other, newer)
        assert [request.stream_key for request in engine.begun] == ["x", "a", "b"]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_final_on_trial_becomes_a_final_and_takes_its_streams_interims_away(waits: bool) -> None:
    engine = FakeEngine(held=True)
    async with running(engine) as scheduler:
        before = [scheduler.submit(final("x"))] if waits else []
        if before:
            await engine.wait_begun(1)
        trial = asks(DecodeKind.SPECULATIVE, "a")
        future = scheduler.submit(trial)
        other = scheduler.submit(asks(DecodeKind.SPECULATIVE, "b"))
        if not waits:
            await engine.wait_begun(1)
        shown = scheduler.submit(interim("a"))
        assert scheduler.promote(trial.request_id)
        assert shown.cancelled()
        await engine.let_go()
        await asyncio.gather(*before, future, other)
        assert not scheduler.promote(trial.request_id)
        assert [request.stream_key for request in engine.begun] == ["x"] * waits + ["a", "b"]


async def test_a_promoted_final_that_is_lost_is_tried_again_before_those_on_trial() -> None:
    engine = FakeEngine(held=True, script={1: ModelErrorCode.CRASHED})
    async with running(engine) as scheduler:
        trial = asks(DecodeKind.SPECULATIVE, "a")
        future = scheduler.submit(trial)
        await engine.wait_begun(1)
        others = [scheduler.submit(asks(DecodeKind.SPECULATIVE, stream)) for stream in "bc"]
        assert scheduler.promote(trial.request_id)
        await engine.let_go()
        await asyncio.gather(future, *others)
        assert [request.stream_key for request in engine.begun] == ["a", "a", "b", "c"]


async def test_the_level_follows_the_wait_of_a_new_final() -> None:
    clock = Hand()
    engine = FakeEngine(held=True)
    async with running(engine, clock=clock) as scheduler:
        levels = [scheduler.level]
        first = scheduler.submit(final())
        await engine.wait_begun(1)
        clock.now = 0.19
        await engine.release(1)
        await first
        futures = [scheduler.submit(final(stream)) for stream in "abc"]
        assert scheduler.predicted_wait(clock.now) == pytest.approx(0.57)
        levels.append(scheduler.level)
        futures += [scheduler.submit(interim(stream)) for stream in "abcdef"]
        levels.append(scheduler.level)  # as it was: interims do not stand in a final's way
        futures.append(scheduler.submit(asks(DecodeKind.SPECULATIVE, "d")))
        levels.append(scheduler.level)  # nor do those on trial
        futures.append(scheduler.submit(final("e")))
        levels.append(scheduler.level)
        assert levels == [Level.NORMAL, *[Level.ELEVATED] * 3, Level.CRITICAL]
        await engine.let_go()
        await asyncio.gather(*futures)


async def test_the_level_follows_the_interim_that_is_waited_for_longest() -> None:
    clock = Hand()
    engine = FakeEngine(held=True, shared=False)
    async with running(engine, clock=clock) as scheduler:
        shown = scheduler.submit(interim("a"))
        await engine.wait_begun(1)
        clock.now = 1.0
        scheduler.submit(interim("b"))
        clock.now = 1.5
        levels = [scheduler.level]
        clock.now = 1.6  # so long the one that runs has been waited for
        levels.append(scheduler.level)
        await engine.release(1)
        await shown
        clock.now = 2.0
        newer = scheduler.submit(interim("b"))  # in the place of the one that waits
        clock.now = 2.6
        levels.append(scheduler.level)
        await engine.let_go()
        await newer
        levels.append(scheduler.level)
        clock.now = 3.6
        levels.append(scheduler.level)
        assert "".join(level.name[0] for level in levels) == "NEEEN"


async def test_what_has_no_model_waits_for_as_long_as_it_is_away() -> None:
    clock = Hand()
    engine = FakeEngine()
    await engine.set_down(0)
    async with running(engine, clock=clock) as scheduler:
        for _ in range(5):
            await asyncio.sleep(0)  # the lanes find that they have to wait
        clock.now = 0.7
        assert scheduler.predicted_wait(clock.now) == pytest.approx(0.7)
        waits = scheduler.submit(final())
        assert scheduler.predicted_wait(clock.now) == pytest.approx(0.7)
        assert scheduler.level is Level.NORMAL  # it is no sign of too much work
        await engine.set_down()
        await waits
        assert scheduler.predicted_wait(clock.now) == 0.0


async def test_one_call_with_many_finals_is_no_reason_to_let_nobody_in() -> None:
    clock = Hand()
    engine = FakeEngine(held=True)
    async with running(engine, clock=clock) as scheduler:
        first = scheduler.submit(final())
        await engine.wait_begun(1)
        clock.now = 1.0  # so long for one
        await engine.release(1)
        await first
        futures = [scheduler.submit(final("many")) for _ in range(30)]
        assert scheduler.predicted_wait(clock.now) == pytest.approx(4.0)
        futures += [scheduler.submit(final(stream)) for stream in "abc"]
        assert scheduler.predicted_wait(clock.now) == pytest.approx(7.0)
        await engine.let_go()
        await asyncio.gather(*futures)


async def test_of_those_that_were_lost_one_is_decoded_at_a_time_however_many_lanes_there_are() -> None:
    engine = FakeEngine(held=True, devices=3, batch_size=3, script={1: ModelErrorCode.CRASHED})
    await engine.set_down(2, 4)
    async with running(engine) as scheduler:
        for _ in range(5):
            await asyncio.sleep(0)  # the lanes find that they have to wait
        futures = [scheduler.submit(final(stream)) for stream in "abc"]
        await engine.wait_begun(3)
        await engine.set_down()
        await engine.release(1)  # all three are lost
        for number in (4, 5, 6):
            await engine.wait_begun(number)
            for _ in range(20):
                await asyncio.sleep(0)  # long enough for the other lanes to take one, if they would
            assert (len(engine.begun), len(engine.busy)) == (number, 1)
            await engine.release(1)
        await asyncio.gather(*futures)


async def test_of_a_call_with_thousands_of_finals_a_lane_looks_at_the_first_alone() -> None:
    engine = FakeEngine(held=True, batch_size=4)
    async with running(engine, seconds=9e9) as scheduler:
        busy = scheduler.submit(final("busy"))
        await engine.wait_begun(1)
        futures = [scheduler.submit(final("many", ms=20)) for _ in range(3000)]
        futures += [scheduler.submit(final(stream, ms=20)) for stream in "abc"]
        assert len(list(scheduler.backlog.first(DecodeKind.FINAL, 4))) == 4 + 3
        futures[0].cancel()
        assert len(list(scheduler.backlog.first(DecodeKind.FINAL, 4))) == 4 + 3, "one that is cancelled hides no other"
        await engine.let_go()
        await asyncio.wait([busy, *futures])
    assert [request.stream_key for request in engine.begun].count("many") == 2999


async def test_a_disk_that_does_not_give_audio_back_fails_that_final_and_the_lane_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "FETCH_SECONDS", 0.05)
    engine, spool, gate = FakeEngine(held=True), Spool(lambda: tmp_path, 9 * CHUNK_BYTES), threading.Event()
    async with running(engine, seconds=2.0, spool=spool) as scheduler:
        busy = scheduler.submit(final())
        await engine.wait_begun(1)
        futures = [scheduler.submit(final(stream)) for stream in "bcd"]
        await spool.read(Slip((), 0))  # comes after what was to be written
        monkeypatch.setattr(os, "pread", lambda *_: bytes(gate.wait(20)))
        await engine.let_go()
        assert await code_of(futures[0]) is ModelErrorCode.FAILED
        await asyncio.gather(busy, *futures[1:])
        gate.set()


async def test_several_devices_decode_at_once() -> None:
    engine = FakeEngine(held=True, devices=2)
    async with running(engine) as scheduler:
        futures = [scheduler.submit(final(stream)) for stream in "abc"]
        await engine.wait_begun(2)
        assert (engine.busy, scheduler.backlog.waiting[DecodeKind.FINAL]) == ({0, 2}, 1)
        await engine.let_go()
        await asyncio.gather(*futures)


async def test_what_waits_is_shared_by_the_lanes_that_are_free() -> None:
    engine = FakeEngine(held=True, devices=4, batch_size=8)
    async with running(engine) as scheduler:
        futures = [scheduler.submit(final(str(number))) for number in range(8)]
        await engine.wait_begun(8)
        assert engine.busy == {0, 2, 4, 6}
        await engine.let_go()
        await asyncio.gather(*futures)


async def test_what_one_device_loses_another_decodes() -> None:
    engine = FakeEngine(held=True, devices=2, script={1: ModelErrorCode.CRASHED})
    async with running(engine) as scheduler:
        future = scheduler.submit(final())
        await engine.wait_begun(1)
        await engine.set_down(*engine.busy)
        await engine.let_go()
        assert (await future).text == "utterance of 1000 ms"


async def test_a_device_whose_models_are_not_there_takes_nothing() -> None:
    engine = FakeEngine(devices=2)
    await engine.set_down(0, 2)
    async with running(engine) as scheduler:
        waits = scheduler.submit(final())
        late = scheduler.submit(final(deadline=asyncio.get_running_loop().time()))
        assert await code_of(late) is ModelErrorCode.DEADLINE
        assert engine.begun == []
        await engine.set_down(0)
        await waits


async def test_a_batch_is_no_larger_than_there_is_memory_for() -> None:
    engine = FakeEngine(held=True, batch_size=4)
    async with running(engine) as scheduler:
        futures = [scheduler.submit(final(stream)) for stream in "abcd"]
        engine.batch_size = 2
        await engine.wait_begun(2)
        assert len(engine.begun) == 2
        await engine.let_go()
        await asyncio.gather(*futures)


@pytest.mark.parametrize(
    ("kind", "waiting", "taken"),
    [(DecodeKind.FINAL, 5, 3), (DecodeKind.FINAL, 8, 4), (DecodeKind.SPECULATIVE, 8, 4), (DecodeKind.INTERIM, 8, 3)],
)
async def test_a_batch_takes_no_longer_than_others_can_wait_or_half_of_many_finals(
    kind: DecodeKind, waiting: int, taken: int
) -> None:
    clock = Hand()
    engine = FakeEngine(held=True, batch_size=8)
    async with running(engine, clock=clock) as scheduler:
        first = scheduler.submit(final("x"))
        await engine.wait_begun(1)
        clock.now = 0.09  # so long for one
        futures = [scheduler.submit(asks(kind, str(number))) for number in range(waiting)]
        await engine.release(1)
        await first
        await engine.wait_begun(1 + taken)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(engine.begun) == 1 + taken
        await engine.let_go()
        await asyncio.gather(*futures)


async def test_engines_are_swapped_while_they_decode() -> None:
    before, after = FakeEngine(held=True), FakeEngine(shared=False, held=True, devices=2)
    async with running(before) as scheduler, asyncio.TaskGroup() as tasks:
        runs, waits, waits_too = [scheduler.submit(each) for each in (final("a"), final("b"), interim("c"))]
        await before.wait_begun(1)
        swap = tasks.create_task(scheduler.swap(after))
        await after.wait_begun(2)  # the new one does not wait for the old one
        assert (len(before.begun), swap.done()) == (1, False)
        await before.let_go()
        await swap
        assert (await runs).text == "utterance of 1000 ms"
        await after.let_go()
        await asyncio.gather(waits, waits_too)


async def test_what_an_engine_loses_as_it_leaves_the_next_one_decodes() -> None:
    before, after = FakeEngine(held=True, script={1: ModelErrorCode.CRASHED}), FakeEngine()
    async with running(before) as scheduler, asyncio.TaskGroup() as tasks:
        future = scheduler.submit(final())
        await before.wait_begun(1)
        tasks.create_task(scheduler.swap(after))
        await before.let_go()
        assert (await future).text == "utterance of 1000 ms"
        assert len(after.begun) == 1


async def test_an_interim_that_waits_for_a_cancelled_one_on_the_old_engine_is_decoded_by_the_new() -> None:
    before, after = FakeEngine(held=True), FakeEngine()
    async with running(before) as scheduler, asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        older = interim("a")
        future = scheduler.submit(older)
        await before.wait_begun(1)
        newer = scheduler.submit(interim("a"))
        swap = tasks.create_task(scheduler.swap(after))
        for _ in range(10):
            await asyncio.sleep(0)  # until the new engine's lanes have found nothing that they may take
        scheduler.cancel(older.request_id)
        await before.let_go()
        await swap
        assert (await newer).text == "utterance of 1000 ms"
        assert future.cancelled()


async def test_an_engine_that_is_down_or_idle_leaves_at_once() -> None:
    before, after = FakeEngine(devices=2), FakeEngine()
    await before.set_down(0)
    async with running(before) as scheduler:
        await scheduler.swap(after)
        await scheduler.submit(final())
        assert len(after.begun) == 1


async def test_an_engine_may_be_swapped_before_anything_runs() -> None:
    after = FakeEngine()
    scheduler = Scheduler(FakeEngine(), clock=Hand())
    await scheduler.swap(after)
    future = scheduler.submit(final())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(scheduler.run())
        await future
        scheduler.close()
    assert len(after.begun) == 1


class Trial:
    """One random schedule, and what must hold at every step of it."""

    LIMIT_MS = 6000
    TRACK_LIMIT_MS = 4000
    SPOOL_SECONDS = 5

    def __init__(
        self, tasks: asyncio.TaskGroup, *, shared: bool, script: dict[int, ModelErrorCode], batch_size: int
    ) -> None:
        self.clock = Hand()
        self.tasks = tasks
        self.engines: list[FakeEngine] = []
        self.batch_size = batch_size
        self.spool = Spool(lambda: Path(tempfile.gettempdir()), self.SPOOL_SECONDS * CHUNK_BYTES)
        self.scheduler = Scheduler(
            self.engine(shared=shared, script=script),
            clock=self.clock,
            limits=Limits(total=self.LIMIT_MS * BYTES_PER_MS, track=self.TRACK_LIMIT_MS * BYTES_PER_MS),
            spool=self.spool,
        )
        self.futures: dict[str, asyncio.Future[Hypothesis]] = {}
        self.requests: dict[str, DecodeRequest] = {}
        self.dropped: set[str] = set()
        self.overtaken: list[str] = []
        """Interims that were decoded although a final waited for the same lane."""

    def engine(self, *, shared: bool, script: dict[int, ModelErrorCode] | None = None, devices: int = 1) -> FakeEngine:
        engine = FakeEngine(shared=shared, held=True, script=script, devices=devices, batch_size=self.batch_size)
        engine.on_begin = lambda request: self._begins(request, shared=shared)
        self.engines.append(engine)
        return engine

    async def let_go(self) -> None:
        """Let every engine come to its end, with all its lanes."""
        for engine in self.engines:
            await engine.set_down()
            await engine.let_go()

    def _begins(self, request: DecodeRequest, *, shared: bool) -> None:
        assert request.audio == self.requests[request.request_id].audio, "however it waited"
        waiting_finals = [job for job in self.scheduler.backlog if job.request.kind is DecodeKind.FINAL]
        if shared and request.kind is DecodeKind.INTERIM and waiting_finals:
            self.overtaken.append(request.request_id)

    async def act(self, action: tuple[str, str, int]) -> None:  # noqa: C901  a table of what may happen
        what, stream, number = action
        match what:
            case "final" | "interim" | "supersede" | "speculative":
                kind = DecodeKind.FINAL if what == "supersede" else DecodeKind(what)
                deadline = self.clock.now + number if number % 3 == 0 else None
                request = asks(kind, stream, ms=number * 300, deadline=deadline, group=stream[0])
                self.requests[request.request_id] = request
                submit = self.scheduler.supersede if what == "supersede" else self.scheduler.submit
                self.futures[request.request_id] = submit(request)
            case "cancel" | "abandon" if self.futures:
                request_id = list(self.futures)[number % len(self.futures)]
                if what == "cancel":
                    self.scheduler.cancel(request_id)
                else:
                    self.futures[request_id].cancel()
                self.dropped.add(request_id)
            case "promote" if self.futures:
                self.scheduler.promote(list(self.futures)[number % len(self.futures)])
            case "release":
                for engine in self.engines:
                    await engine.release(number % 3)
            case "down":
                await self.engines[-1].set_down(*range(number % 4))
            case "swap":
                engine = self.engine(shared=number % 2 == 0, devices=1 + number % 3)
                self.tasks.create_task(self.scheduler.swap(engine))
            case "wait":
                self.clock.now += number
        self._check()
        for _ in range(number):
            await asyncio.sleep(0)
            self._check()

    def _check(self) -> None:
        jobs = list(self.scheduler.backlog)
        assert self.scheduler.backlog.audio_seconds * 1000 == sum(job.entry.audio_ms for job in jobs)
        in_memory = [job.entry for job in jobs if job.slip is None]
        assert self.scheduler.backlog.memory_bytes == sum(entry.size for entry in in_memory)
        new = [entry for entry in in_memory if not entry.lost]
        assert sum(entry.audio_ms for entry in new) <= self.LIMIT_MS
        finals = [entry for entry in new if entry.request.kind is DecodeKind.FINAL]
        of_track = Counter({entry.request.stream_key: 0 for entry in finals})
        for entry in finals:
            of_track[entry.request.stream_key] += entry.audio_ms
        assert max(of_track.values(), default=0) <= self.TRACK_LIMIT_MS
        slips = [job.slip for job in (*jobs, *self.scheduler._running.values()) if job.slip]
        chunks = [chunk for slip in slips for chunk in slip.chunks]
        assert len(chunks) == len(set(chunks)) <= self.SPOOL_SECONDS
        interims = [job.request.stream_key for job in jobs if job.request.kind is DecodeKind.INTERIM]
        assert len(interims) == len(set(interims))
        shown = [
            job.request.stream_key for job in self.scheduler._running.values() if job.request.kind is DecodeKind.INTERIM
        ]
        assert len(shown) == len(set(shown)), "one interim in flight"
        known = {*(job.request.request_id for job in self.scheduler.backlog), *self.scheduler._running}
        assert {key for key, future in self.futures.items() if not future.done()} <= known

    def check_end(self, *, closed: bool) -> None:
        assert not self.overtaken
        assert not list(self.scheduler.backlog)
        assert (self.scheduler.backlog.memory_bytes, self.spool.kept_bytes) == (0, 0)
        assert not self.scheduler._running
        for request_id, future in self.futures.items():
            request = self.requests[request_id]
            assert future.done()
            if future.cancelled():
                assert request.kind is not DecodeKind.FINAL or request_id in self.dropped
            elif error := future.exception():
                assert isinstance(error, ModelError)
                assert closed or error.code is not ModelErrorCode.CLOSED
                assert error.code is not ModelErrorCode.DEADLINE or request.deadline is not None
            else:
                assert future.result().text == f"utterance of {request.audio_ms} ms"
                begun = [each for engine in self.engines for each in engine.begun if each.request_id == request_id]
                assert 1 <= len(begun) <= 2


ELSE = ("cancel", "abandon", "wait", "down", "swap")
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *["final", "interim", "release", "speculative"] * 2,
                "promote",
                "supersede",
                "cancel",
                "abandon",
                "wait",
                "down",
                "swap",
            ]
        ),
        st.sampled_from(["a1", "a2", "b1", "c1"]),
        st.integers(1, 8),
    ),
    max_size=40,
)
SCRIPT = st.dictionaries(
    st.integers(1, 12), st.sampled_from([ModelErrorCode.CRASHED, ModelErrorCode.FAILED]), max_size=6
)


# A schedule that does not come to its end takes ten seconds: it is told as it was found, and not made smaller.
@settings(max_examples=150, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(ACTIONS, SCRIPT, st.booleans(), st.booleans(), st.integers(1, 3))
def test_random_schedules(
    actions: list[tuple[str, str, int]],
    script: dict[int, ModelErrorCode],
    shared: bool,
    close_early: bool,
    batch_size: int,
) -> None:
    async def schedule() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            trial = Trial(tasks, shared=shared, script=script, batch_size=batch_size)
            tasks.create_task(trial.scheduler.run())
            for action in actions:
                await trial.act(action)
            if close_early:
                trial.scheduler.close()
            await trial.let_go()
            if trial.futures:
                await asyncio.wait(trial.futures.values())
            trial.scheduler.close()
        trial.check_end(closed=close_early)

    with asyncio.Runner(debug=True) as runner:
        runner.run(schedule())
