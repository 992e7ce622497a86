"""The event store on a real disk, with real neighbours, crashes and full disks."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from gateway.delivery import writer
from gateway.delivery.database import FILE_NAME, MIGRATIONS, SQL
from gateway.delivery.outbox import Delivery, Outbox, OutboxError, UnfinishedCall
from gateway.delivery.retry import Delivered, GiveUp, RetryAt
from gateway.events import StoredEvent
from tests.recipients import to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

START = 1_760_000_000.0
LEASE = 75.0
HOLD_BACK = 600.0
ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Gate:
    """A probe that stops the writer before a commit until it is opened; counts commits."""

    def __init__(self) -> None:
        self.commits = 0
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, point: str) -> None:
        if point == "outbox.before_commit":
            self.commits += 1
            self.reached.set()
            assert self._open.wait(30)

    def open(self) -> None:
        self._open.set()


def event(call_id: str, sequence: int, kind: str = "transcript.final", body: bytes | None = None) -> StoredEvent:
    return StoredEvent(
        event_id=f"msg_{call_id}_{sequence}",
        call_id=call_id,
        sequence=sequence,
        type=kind,
        body=body or f'{{"type":"{kind}","data":{{"sequence":{sequence}}}}}'.encode(),
    )


def names(deliveries: list[Delivery]) -> list[tuple[str, int]]:
    return [(each.call_id, each.sequence) for each in deliveries]


def query(directory: Path, sql: str) -> list[tuple[object, ...]]:
    """Look into the store as a neighbour would: what is seen here is committed."""
    with contextlib.closing(sqlite3.connect(directory / FILE_NAME)) as neighbour:
        return neighbour.execute(sql).fetchall()


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[sqlite3.Connection]:
    """Hold the database's write lock, as a person with a shell might."""
    with contextlib.closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")
        yield neighbour


@contextlib.asynccontextmanager
async def running(work: Coroutine[object, object, None]) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.TaskGroup() as group:
        yield group.create_task(work)


async def until(flag: threading.Event) -> None:
    assert await asyncio.to_thread(flag.wait, 30)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def outbox(tmp_path: Path, clock: Clock) -> AsyncIterator[Outbox]:
    store = Outbox(tmp_path, clock=clock)
    await store.start()
    yield store
    await store.close()


async def claim(outbox: Outbox, endpoint: str = "crm", limit: int = 100) -> list[Delivery]:
    return (await outbox.claim(endpoint, limit, LEASE, HOLD_BACK)).deliveries


async def next_due(outbox: Outbox, endpoint: str = "crm") -> float | None:
    return (await outbox.claim(endpoint, 0, LEASE, HOLD_BACK)).next_due


# Appending


async def test_an_appended_event_is_on_disk(outbox: Outbox, tmp_path: Path) -> None:
    await outbox.append(event("a", 1), to("crm", "archive"))
    assert query(tmp_path, "SELECT event_id, sequence FROM event") == [("msg_a_1", 1)]
    assert query(tmp_path, "SELECT endpoint FROM delivery ORDER BY endpoint") == [("archive",), ("crm",)]
    assert query(tmp_path, "PRAGMA journal_mode") == [("wal",)]


async def test_appending_again_changes_nothing(outbox: Outbox) -> None:
    await outbox.append(event("a", 1, body=b"first"), to("crm"))
    await outbox.append(event("a", 1, body=b"second"), to("crm", "archive"))
    assert await outbox.pending() == 1
    (delivery,) = await claim(outbox)
    await outbox.settle(delivery, Delivered())
    await outbox.append(event("a", 1), to("crm"))
    assert await claim(outbox) == []


async def test_what_waits_during_a_commit_goes_into_the_next(tmp_path: Path, clock: Clock) -> None:
    gate = Gate()
    outbox = Outbox(tmp_path, clock=clock, probe=gate)
    await outbox.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.append(event("a", 1), to()))
        await until(gate.reached)
        for sequence in range(2, 40):
            group.create_task(outbox.append(event("a", sequence), to("crm")))
        await asyncio.sleep(0)  # each runs as far as the queue
        gate.open()
    assert gate.commits == 2
    assert await outbox.pending() == 38
    await outbox.close()


async def test_what_is_new_does_not_wait_behind_a_storm_of_deliveries(tmp_path: Path, clock: Clock) -> None:
    gate = Gate()
    outbox = Outbox(tmp_path, clock=clock, probe=gate)
    await outbox.start()
    done: list[str] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.append(event("a", 1), to("crm")))
        await until(gate.reached)
        for _ in range(3 * writer.MOST_OTHERS):
            claiming = group.create_task(claim(outbox, "other"))
            claiming.add_done_callback(lambda _: done.append("claim"))
        await asyncio.sleep(0)
        append = group.create_task(outbox.append(event("b", 1), to("crm")))
        append.add_done_callback(lambda _: done.append("append"))
        await asyncio.sleep(0)
        gate.open()
    assert done.index("append") <= writer.MOST_OTHERS
    assert len(done) == 3 * writer.MOST_OTHERS + 1
    await outbox.close()


async def test_nothing_is_reported_before_its_commit(tmp_path: Path, clock: Clock) -> None:
    gate = Gate()
    outbox = Outbox(tmp_path, clock=clock, probe=gate)
    await outbox.start()
    async with running(outbox.append(event("a", 1), to("crm"))) as append:
        await until(gate.reached)
        assert query(tmp_path, "SELECT count(*) FROM event") == [(0,)]
        assert not append.done()
        gate.open()
    assert query(tmp_path, "SELECT count(*) FROM event") == [(1,)]
    await outbox.close()


async def test_a_job_that_fails_does_not_undo_its_neighbours(tmp_path: Path, clock: Clock) -> None:
    gate = Gate()
    outbox = Outbox(tmp_path, clock=clock, probe=gate)
    await outbox.start()
    same_sequence = StoredEvent(event_id="other", call_id="a", sequence=2, type="call.digit", body=b"{}")
    twice_the_same = to("crm", "crm")  # fails when half of it is done
    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.append(event("a", 1), to("crm")))
        await until(gate.reached)
        before = group.create_task(outbox.append(event("a", 2), to("crm")))
        refused = [
            group.create_task(_error_of(outbox.append(same_sequence, to("crm")))),
            group.create_task(_error_of(outbox.append(event("b", 1), twice_the_same))),
        ]
        after = group.create_task(outbox.append(event("a", 3), to("crm")))
        await asyncio.sleep(0)
        gate.open()
    assert all("UNIQUE" in error.result() for error in refused)
    assert before.done()
    assert after.done()
    assert gate.commits == 2
    assert query(tmp_path, "SELECT event_id FROM event ORDER BY id") == [("msg_a_1",), ("msg_a_2",), ("msg_a_3",)]
    await outbox.close()


async def _error_of(work: Coroutine[object, object, None]) -> str:
    with pytest.raises(OutboxError) as error:
        await work
    return str(error.value)


async def test_a_full_queue_lets_those_wait_who_come_next(tmp_path: Path, clock: Clock) -> None:
    gate = Gate()
    outbox = Outbox(tmp_path, clock=clock, probe=gate, queue_limit=3)
    await outbox.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.append(event("a", 1), to("crm")))
        await until(gate.reached)
        for sequence in (2, 3):
            group.create_task(outbox.append(event("a", sequence), to("crm")))
        await asyncio.sleep(0)
        waiting = group.create_task(outbox.append(event("a", 4), to("crm")))
        await asyncio.sleep(0)
        assert (outbox.full, outbox.accepting) == (True, 3)
        # What takes nothing in need not wait for room, or nothing could ever be settled.
        count = group.create_task(outbox.pending())
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.open()
    assert count.result() in {3, 4}  # the one that waited may have come in just before
    assert (outbox.full, outbox.accepting) == (False, 0)
    assert await outbox.pending() == 4
    await outbox.close()


async def test_a_cancelled_caller_does_not_take_its_event_back(tmp_path: Path, clock: Clock) -> None:
    gate = Gate()
    outbox = Outbox(tmp_path, clock=clock, probe=gate)
    await outbox.start()
    async with running(outbox.append(event("a", 1), to("crm"))) as append:
        await until(gate.reached)
        append.cancel()
    gate.open()
    assert await outbox.pending() == 1
    await outbox.close()


# Trouble with the disk


async def test_a_locked_database_delays_and_loses_nothing(outbox: Outbox, tmp_path: Path) -> None:
    with capture_logs() as logs:
        with locked(tmp_path) as neighbour:
            append = asyncio.gather(*(outbox.append(event("a", n), to("crm")) for n in range(1, 4)))
            done, _ = await asyncio.wait([append], timeout=1.5)  # long enough to try twice
            assert not done
            neighbour.execute("ROLLBACK")
        await append
        await outbox.append(event("a", 4), to("crm"))
    assert [line["event"] for line in logs] == [
        "the event store cannot be written to; trying again every second, and events wait in memory",
        "the event store can be written to again",
    ]
    assert logs[0]["error"] == "database is locked"
    assert await outbox.pending() == 4


async def test_whoever_cannot_wait_for_the_disk_is_told_so(outbox: Outbox, tmp_path: Path) -> None:
    with locked(tmp_path):
        stored = await outbox.take(event("a", 1), to("crm"))
        assert not await outbox.committed(stored)
        assert not outbox.writable
        second = await outbox.take(event("a", 2), to("crm"))
        assert not await outbox.committed(second), "at once: the trouble is known"
    await stored
    assert await outbox.committed(second)
    assert names(await claim(outbox)) == [("a", 1)]
    assert outbox.writable


@pytest.mark.parametrize("size", [200_000, 6_000_000], ids=["at the commit", "in the middle of a job"])
async def test_a_full_disk_delays_and_loses_nothing(outbox: Outbox, tmp_path: Path, size: int) -> None:
    await outbox.append(event("a", 1, body=bytes(500_000)), to("crm"))
    with capture_logs() as logs:
        with _files_no_longer_than(600_000):
            append = asyncio.gather(*(outbox.append(event("b", n, body=bytes(size)), to("crm")) for n in (1, 2)))
            done, _ = await asyncio.wait([append], timeout=0.5)
            assert not done
        await append
        await outbox.pending()  # by the end of another round it has said that it goes on
    assert [line["log_level"] for line in logs] == ["error", "warning"]
    assert query(tmp_path, "SELECT call_id, length(body) FROM event ORDER BY id") == [
        ("a", 500_000),
        ("b", size),
        ("b", size),
    ]


@contextlib.contextmanager
def _files_no_longer_than(size: int) -> Iterator[None]:
    """Let every write beyond `size` fail, which SQLite takes for a disk in trouble."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_an_unforeseen_error_fails_the_batch_and_leaves_the_store_usable(tmp_path: Path, clock: Clock) -> None:
    errors = iter([RuntimeError("a bug")])

    def probe(point: str) -> None:
        if point == "outbox.before_commit" and (error := next(errors, None)):
            raise error

    outbox = Outbox(tmp_path, clock=clock, probe=probe)
    await outbox.start()
    with pytest.raises(OutboxError, match="The event store failed: a bug"):
        await outbox.append(event("a", 1), to("crm"))
    assert await outbox.pending() == 0
    await outbox.append(event("a", 1), to("crm"))
    assert await outbox.pending() == 1
    await outbox.close()


async def test_those_who_wait_hear_of_a_thread_that_stopped() -> None:
    def fail() -> contextlib.AbstractContextManager[sqlite3.Connection]:
        raise RuntimeError("a bug")

    broken = writer.Writer(fail)
    with capture_logs() as logs, pytest.raises(OutboxError, match="The event store stopped: RuntimeError"):
        await broken.start()
    assert [line["event"] for line in logs] == ["the event store stopped"]
    await broken.close(10)


async def test_closing_does_not_wait_for_ever(outbox: Outbox, tmp_path: Path) -> None:
    await outbox.append(event("a", 1), to("crm"))
    with locked(tmp_path):
        append = asyncio.gather(*(outbox.append(event("a", n), to("crm")) for n in (2, 3)), return_exceptions=True)
        await asyncio.sleep(0)
        await outbox.close(timeout_seconds=0.2)
        results = await append
    assert [str(result) for result in results] == ["The event store was closed before this could be stored"] * 2
    assert query(tmp_path, "SELECT event_id FROM event") == [("msg_a_1",)]


async def test_closing_finishes_what_waits(tmp_path: Path, clock: Clock) -> None:
    gate = Gate()
    outbox = Outbox(tmp_path, clock=clock, probe=gate)
    await outbox.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.append(event("a", 1), to("crm")))
        await until(gate.reached)
        group.create_task(outbox.append(event("a", 2), to("crm")))
        await asyncio.sleep(0)
        group.create_task(outbox.close())
        await asyncio.sleep(0)
        gate.open()
    assert query(tmp_path, "SELECT sequence FROM event") == [(1,), (2,)]


def test_a_commit_may_outlive_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that fails is a failure here: pytest hears of it."""
    monkeypatch.setattr(writer, "ABANDON_SECONDS", 0.05)
    gate = Gate()

    async def leave_with_a_commit_in_progress() -> threading.Thread:
        before = set(threading.enumerate())  # another test's may be on its way out
        outbox = Outbox(tmp_path, clock=Clock(), probe=gate)
        await outbox.start()
        (thread,) = (each for each in set(threading.enumerate()) - before if each.name == "outbox")
        async with running(_expect_error(outbox.append(event("a", 1), to("crm")))):
            await until(gate.reached)
            await outbox.close(timeout_seconds=0.05)
        return thread

    thread = asyncio.run(leave_with_a_commit_in_progress())
    gate.open()
    thread.join(30)
    assert not thread.is_alive()
    assert query(tmp_path, "SELECT event_id FROM event") == [("msg_a_1",)]


async def _expect_error(work: Coroutine[object, object, None]) -> None:
    with pytest.raises(OutboxError):
        await work


async def test_a_store_that_is_not_open_says_so(tmp_path: Path, clock: Clock) -> None:
    outbox = Outbox(tmp_path, clock=clock)
    await outbox.close()
    with pytest.raises(OutboxError, match="not open"):
        await outbox.pending()
    await outbox.start()
    await outbox.close()
    await outbox.close()
    with pytest.raises(OutboxError, match="not open"):
        await outbox.append(event("a", 1), to())


# Claiming and settling


async def test_a_claim_hands_over_what_was_appended(outbox: Outbox) -> None:
    await outbox.append(event("a", 1, body=b'{"type":"call.started"}'), to("crm"))
    assert await claim(outbox) == [
        Delivery(
            endpoint="crm",
            event_id="msg_a_1",
            call_id="a",
            sequence=1,
            url=None,
            body=b'{"type":"call.started"}',
            attempt=1,
        )
    ]


async def test_a_call_is_sent_in_turn_and_calls_side_by_side(outbox: Outbox) -> None:
    for sequence in (1, 2, 3):
        for call_id in ("a", "b"):
            await outbox.append(event(call_id, sequence), to("crm"))
    first = await claim(outbox)
    assert names(first) == [("a", 1), ("b", 1)]
    assert await claim(outbox) == []
    await outbox.settle(first[1], Delivered())
    assert names(await claim(outbox)) == [("b", 2)]
    await outbox.settle(first[0], GiveUp("HTTP 410"))
    assert names(await claim(outbox)) == [("a", 2)]


async def test_endpoints_do_not_wait_for_one_another(outbox: Outbox) -> None:
    for sequence in (1, 2):
        await outbox.append(event("a", sequence), to("crm", "archive", "gone"))
    (crm,) = await claim(outbox, "crm")
    (archive,) = await claim(outbox, "archive")
    await outbox.settle(archive, Delivered())
    assert names(await claim(outbox, "archive")) == [("a", 2)]
    await outbox.settle(crm, RetryAt(START + 5, "HTTP 503"))
    assert await claim(outbox, "crm") == []
    assert await claim(outbox, "unheard-of") == []
    assert await outbox.pending() == 5  # two of them for an endpoint that nobody asks for


async def test_the_longest_due_comes_first_up_to_the_limit(outbox: Outbox, clock: Clock) -> None:
    for call_id in ("c", "a", "b"):
        await outbox.append(event(call_id, 1), to("crm"))
        clock.now += 1
    assert names(await claim(outbox, limit=2)) == [("c", 1), ("a", 1)]
    assert names(await claim(outbox, limit=2)) == [("b", 1)]


async def test_a_retry_waits_for_its_time(outbox: Outbox, clock: Clock) -> None:
    await outbox.append(event("a", 1), to("crm"))
    (first,) = await claim(outbox)
    await outbox.settle(first, RetryAt(START + 300, "HTTP 503"))
    assert await next_due(outbox) == START + 300
    clock.now = START + 299.9
    assert await claim(outbox) == []
    clock.now = START + 300
    (second,) = await claim(outbox)
    assert (second.event_id, second.attempt) == (first.event_id, 2)


async def test_a_lease_runs_out(outbox: Outbox, clock: Clock) -> None:
    await outbox.append(event("a", 1), to("crm"))
    (lost,) = await claim(outbox)
    clock.now += LEASE - 0.1
    assert await claim(outbox) == []
    clock.now += 0.1
    assert await claim(outbox) == [lost]


async def test_an_attempt_that_was_overtaken_changes_nothing(outbox: Outbox, clock: Clock) -> None:
    await outbox.append(event("a", 1), to("crm"))
    (slow,) = await claim(outbox)
    clock.now += LEASE
    (fast,) = await claim(outbox)
    await outbox.settle(fast, RetryAt(clock.now + 5, "HTTP 503"))
    await outbox.settle(slow, GiveUp("HTTP 500"))
    await outbox.settle(slow, RetryAt(clock.now + 9999, "HTTP 503"))
    assert await next_due(outbox) == clock.now + 5
    clock.now += 5
    (third,) = await claim(outbox)
    assert third.attempt == 2
    await outbox.settle(slow, Delivered())
    await outbox.settle(third, RetryAt(clock.now, "HTTP 503"))
    assert await outbox.pending() == 0
    assert await claim(outbox) == []


async def test_a_stuck_event_holds_its_call_back_for_so_long(outbox: Outbox, clock: Clock) -> None:
    for sequence in (1, 2, 3):
        await outbox.append(event("a", sequence), to("crm"))
    (stuck,) = await claim(outbox)
    await outbox.settle(stuck, RetryAt(START + 36_000, "HTTP 503"))
    clock.now = START + HOLD_BACK - 0.1
    assert await claim(outbox) == []
    assert await next_due(outbox) == START + HOLD_BACK
    clock.now = START + HOLD_BACK
    (passing,) = await claim(outbox)
    assert passing.sequence == 2
    await outbox.settle(passing, Delivered())
    assert names(await claim(outbox)) == [("a", 3)]
    clock.now = START + 36_000
    assert ("a", 1) in names(await claim(outbox))


async def test_trying_again_does_not_hold_back_for_longer(outbox: Outbox, clock: Clock) -> None:
    for sequence in (1, 2):
        await outbox.append(event("a", sequence), to("crm"))
    for _ in range(3):
        (stuck,) = await claim(outbox)
        await outbox.settle(stuck, RetryAt(clock.now + HOLD_BACK / 3, "HTTP 503"))
        clock.now += HOLD_BACK / 3
    assert names(await claim(outbox)) == [("a", 1), ("a", 2)]


async def test_waiting_untried_is_not_holding_back(outbox: Outbox, clock: Clock) -> None:
    """After hours without a gateway, the events of a call are still sent in turn."""
    for sequence in (1, 2):
        await outbox.append(event("a", sequence), to("crm"))
    clock.now += 100 * HOLD_BACK
    assert names(await claim(outbox)) == [("a", 1)]
    assert await claim(outbox) == []


async def test_next_due(outbox: Outbox, clock: Clock) -> None:
    assert await next_due(outbox) is None
    await outbox.append(event("a", 1), to("crm"))
    assert await next_due(outbox) == START
    assert await next_due(outbox, "archive") is None
    clock.now += 10
    (delivery,) = await claim(outbox)
    assert await next_due(outbox) == START + 10 + LEASE
    await outbox.settle(delivery, Delivered())
    assert await next_due(outbox) is None


@pytest.mark.parametrize(
    "name",
    [
        "disabled_since",
        "overdue_fronts",
        "advance_line",
        "due_deliveries",
        "lease",
        "settle_delivered",
        "settle_retry",
        "next_due",
        "hasten",
        "pending",
        "append_delivery",
        "forget_events",
    ],
)
async def test_no_frequent_statement_looks_through_everything(outbox: Outbox, name: str) -> None:
    """That is what keeps them quick with a hundred thousand events; sqlite.org/eqp.html."""
    words = "now endpoint call_id event event_id attempt limit lease_until holds_until due_at reason sequence url"
    values = dict.fromkeys([*words.split(), "most_attempts"], 1)
    plan = await outbox.run(lambda db: db.execute("EXPLAIN QUERY PLAN " + SQL[name], values).fetchall())
    steps = [step for *_, step in plan]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    scans = [step for step in steps if step.startswith(("SCAN delivery", "SCAN event"))]
    assert scans == (["SCAN delivery USING COVERING INDEX delivery_line"] if name == "pending" else [])


# The life of calls


async def test_calls_without_an_end_are_found(outbox: Outbox) -> None:
    assert await outbox.unfinished_calls() == []
    await outbox.append(event("a", 1, "call.started", b'{"started":1}'), to("crm"))
    await outbox.append(event("a", 2), to("crm"))
    await outbox.append(event("a", 3), to())
    await outbox.append(event("a", 4, "transcript.failed"), to("crm"))
    await outbox.append(event("b", 1, "call.started"), to("crm"))
    await outbox.append(event("b", 2, "call.ended"), to("crm"))
    await outbox.append(event("c", 7, "call.digit"), to())
    found = sorted(await outbox.unfinished_calls(), key=lambda call: call.call_id)
    assert found == [
        UnfinishedCall(
            call_id="a", started_body=b'{"started":1}', last_sequence=4, finals=2, failed=1, recipients=to("crm")
        ),
        UnfinishedCall(call_id="c", started_body=None, last_sequence=7, finals=0, failed=0, recipients=()),
    ]
    await outbox.append(event("a", 5, "call.ended"), to())
    assert [call.call_id for call in await outbox.unfinished_calls()] == ["c"]


# The file


async def test_only_its_user_may_read_it(tmp_path: Path, clock: Clock) -> None:
    directory = tmp_path / "var" / "linescribe"
    outbox = Outbox(directory, clock=clock)
    await outbox.start()
    await outbox.append(event("a", 1), to("crm"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    await outbox.close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {FILE_NAME, FILE_NAME + "-wal", FILE_NAME + "-shm"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_what_was_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / FILE_NAME).touch(mode=0o644)
    asyncio.run(_open_and_close(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


async def test_one_gateway_at_a_time(outbox: Outbox, tmp_path: Path, clock: Clock) -> None:
    second = Outbox(tmp_path, clock=clock)
    with pytest.raises(OutboxError, match="another gateway uses this state directory"):
        await second.start()
    await outbox.append(event("a", 1), to())
    await outbox.close()
    third = Outbox(tmp_path, clock=clock)
    await third.start()
    await third.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    holder = f"""
import asyncio, pathlib
from gateway.delivery.outbox import Outbox
async def main():
    outbox = Outbox(pathlib.Path({str(tmp_path)!r}), clock=lambda: 0.0)
    await outbox.start()
    print("open", flush=True)
    await asyncio.to_thread(input)
    await outbox.close()
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        with pytest.raises(OutboxError, match="set another state_dir"):
            asyncio.run(Outbox(tmp_path, clock=Clock()).start())
        process.communicate("\n", timeout=30)
    assert process.returncode == 0


async def test_a_newer_schema_is_left_alone(tmp_path: Path, clock: Clock) -> None:
    newer = len(MIGRATIONS) + 1
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as future:
        future.execute(f"PRAGMA user_version = {newer}")
    with pytest.raises(OutboxError, match=rf"newer Linescribe \(schema {newer}, this one knows {newer - 1}\); install"):
        await Outbox(tmp_path, clock=clock).start()
    assert query(tmp_path, "SELECT count(*) FROM sqlite_master") == [(0,)]


async def test_something_else_is_left_alone(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / FILE_NAME).write_text("Dear diary, " * 100)
    with pytest.raises(OutboxError, match=r"expected an event store of Linescribe: .* move the file away"):
        await Outbox(tmp_path, clock=clock).start()
    assert (tmp_path / FILE_NAME).read_text().startswith("Dear diary")


async def test_a_migration_is_whole_or_not_at_all(tmp_path: Path, clock: Clock) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as foreign:
        foreign.execute("CREATE TABLE delivery (what TEXT)")
    with pytest.raises(OutboxError, match="could not be brought to schema 1: table delivery already exists"):
        await Outbox(tmp_path, clock=clock).start()
    assert query(tmp_path, "SELECT name FROM sqlite_master") == [("delivery",)]
    assert query(tmp_path, "PRAGMA user_version") == [(0,)]


async def test_a_store_of_the_first_schema_is_brought_up(tmp_path: Path, clock: Clock) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        old.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1")
        old.execute("INSERT INTO call VALUES ('a', NULL), ('b', 1000.0)")
        old.execute("INSERT INTO event VALUES (1, 'msg_a_1', 'a', 1, 'call.started', x'78')")
        old.execute("INSERT INTO event VALUES (2, 'msg_b_1', 'b', 1, 'call.ended', 'y')")
        for event_id, endpoint, call_id, place, due_at, attempts, outcome in (
            (1, "crm", "a", "front", 1000.0, 2, None),
            (1, "archive", "a", "front", 1000.0, 0, None),
            (2, "crm", "b", None, None, 1, "delivered"),
        ):
            old.execute(
                "INSERT INTO delivery (event, endpoint, call_id, sequence, place, due_at, attempts, outcome)"
                " VALUES (?, ?, ?, 1, ?, ?, ?, ?)",
                (event_id, endpoint, call_id, place, due_at, attempts, outcome),
            )
        old.commit()
    outbox = Outbox(tmp_path, clock=clock)
    await outbox.start()
    (unfinished,) = await outbox.unfinished_calls()
    assert set(unfinished.recipients) == set(to("crm", "archive"))
    (delivery,) = await claim(outbox)
    assert (delivery.event_id, delivery.attempt, delivery.body) == ("msg_a_1", 3, b"x")
    assert query(tmp_path, "SELECT stored_at FROM event WHERE id = 2") == [(1000.0,)]
    assert query(tmp_path, "PRAGMA auto_vacuum") == [(2,)], "it can give pages back from now on"
    await outbox.close()


async def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutboxError, match=r"file/state/.*expected a place this user may write to"):
        await Outbox(tmp_path / "file" / "state", clock=clock).start()


# Crashes


def test_a_crash_before_the_commit_leaves_nothing_and_after_it_everything(tmp_path: Path) -> None:
    for point, stored in (("outbox.before_commit", []), ("outbox.after_commit", [("msg_a_1",)])):
        directory = tmp_path / point
        died = _append_and_die(directory, point)
        assert died.returncode == -signal.SIGKILL
        assert died.stdout == ""
        asyncio.run(_open_and_close(directory))
        assert query(directory, "SELECT event_id FROM event") == stored


def _append_and_die(directory: Path, point: str) -> subprocess.CompletedProcess[str]:
    program = f"""
import asyncio, os, pathlib, signal
from gateway.delivery.outbox import Outbox
from gateway.delivery.recipients import Recipient
from gateway.events import StoredEvent
def probe(point):
    if point == {point!r}:
        os.kill(os.getpid(), signal.SIGKILL)
async def main():
    outbox = Outbox(pathlib.Path({str(directory)!r}), clock=lambda: 1.0, probe=probe)
    await outbox.start()
    event = StoredEvent(event_id="msg_a_1", call_id="a", sequence=1, type="call.started", body=b"hello")
    await outbox.append(event, [Recipient("crm")])
    print("appended")
asyncio.run(main())
"""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )


async def _open_and_close(directory: Path) -> None:
    outbox = Outbox(directory, clock=Clock())
    await outbox.start()
    await outbox.close()


async def test_a_restart_takes_back_what_was_claimed(tmp_path: Path, clock: Clock) -> None:
    first = Outbox(tmp_path, clock=clock)
    await first.start()
    for call_id in ("a", "b", "c"):
        await first.append(event(call_id, 1), to("crm"))
    a, b, _lost = await claim(first)
    await first.settle(a, Delivered())
    await first.settle(b, RetryAt(START + 300, "HTTP 503"))
    await first.close()
    second = Outbox(tmp_path, clock=clock)
    await second.start()
    # What waited to be tried again is due as well: whoever restarts a gateway has often mended what was in the way.
    assert {(each.call_id, each.attempt) for each in await claim(second)} == {("c", 1), ("b", 2)}
    await second.close()
