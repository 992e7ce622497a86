"""What lies between an event and its receivers, as a whole: real store, real senders, real receivers."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from config import delivery as settings
from gateway.delivery import deliveries as module
from gateway.delivery.database import FILE_NAME
from gateway.delivery.deliveries import Deliveries
from gateway.delivery.outbox import OutboxError
from gateway.delivery.overview import UNKNOWN, State
from gateway.delivery.posting import new_sessions
from gateway.delivery.recipients import Recipient
from gateway.events import StoredEvent
from tests.recipients import to
from tests.sites import SECRETS, HeldSite, Site, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

clock, wall = time.monotonic, time.time  # noqa: TID251  tests live in real time


def event(call_id: str, sequence: int, kind: str = "transcript.final") -> StoredEvent:
    return StoredEvent(
        event_id=f"msg_{call_id}_{sequence}", call_id=call_id, sequence=sequence, type=kind, body=b'{"type":"x"}'
    )


def made(directory: Path, urls: dict[str, str], **changes: Any) -> Deliveries:
    endpoints = tuple(settings.Endpoint(name=name, url=url, secrets=SECRETS) for name, url in urls.items())
    options: dict[str, Any] = {"retry_seconds": (0.05,) * 20, "jitter": 0.0} | changes
    return Deliveries(
        settings.Delivery(endpoints=endpoints, **options), directory, clock=clock, wall=wall, random=lambda: 0.5
    )


@contextlib.asynccontextmanager
async def delivering(directory: Path, urls: dict[str, str], **changes: Any) -> AsyncIterator[Deliveries]:
    deliveries = made(directory, urls, **changes)
    await deliveries.open()
    async with new_sessions() as sessions, asyncio.TaskGroup() as group:
        running = group.create_task(deliveries.run(sessions))
        yield deliveries
        running.cancel()
    await deliveries.close(5)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells of: what a background look has found."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  nothing says when
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep the store from being written to, as a full disk does."""
    with contextlib.closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")
        yield


def write(directory: Path, sql: str) -> None:
    """Change something in the store beside its gateway, as an operator does."""
    with contextlib.closing(sqlite3.connect(directory / FILE_NAME, timeout=5)) as neighbour, neighbour:
        neighbour.execute(sql)


def can_store(deliveries: Deliveries) -> bool:
    return deliveries.writable


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)


async def test_a_receiver_that_hangs_delays_no_other(tmp_path: Path) -> None:
    dead, well = HeldSite(), Site()
    async with (
        serving(dead.handle) as dead_url,
        serving(well.handle) as url,
        delivering(tmp_path, {"dead": dead_url, "crm": url}) as deliveries,
    ):
        for sequence in range(1, 101):
            await deliveries.publish(event(f"call-{sequence % 20}", sequence), to("dead", "crm"))
        ids = {(await well.next())[0]["webhook-id"] for _ in range(100)}
        assert len(ids) == 100
        assert dead.answered == 0
        await until(lambda: [deliveries.lines[name].pending for name in ("dead", "crm")] == [100, 0])
        assert deliveries.attempts["crm", "delivered"] == 100
        dead.released.set()


async def test_an_endpoint_that_wants_no_more_waits_for_its_operator(tmp_path: Path) -> None:
    site = Site(410)
    async with serving(site.handle) as url, delivering(tmp_path, {"crm": url}) as deliveries:
        await deliveries.publish(event("a", 1), to("crm"))
        await until(lambda: deliveries.states["crm"] is State.DISABLED)
        await deliveries.publish(event("a", 2), to("crm"))
        assert await deliveries.finish(5) == 2
        assert site.requests.qsize() == 1
        write(tmp_path, "DELETE FROM disabled")
        await until(lambda: site.requests.qsize() == 3)
        await until(lambda: deliveries.states["crm"] is State.WELL)
        assert await deliveries.finish(5) == 0


async def test_what_an_operator_changes_is_seen_also_by_an_endpoint_that_rests(tmp_path: Path) -> None:
    site = Site(*[500] * 3)
    changes: dict[str, Any] = {"breaker_failures": 3, "concurrency": 1, "retry_seconds": (3600.0,) * 3}
    async with serving(site.handle) as url, delivering(tmp_path, {"crm": url}, **changes) as deliveries:
        for call_id in "abc":
            await deliveries.publish(event(call_id, 1), to("crm"))
        await until(lambda: deliveries.states["crm"] is State.RESTING)
        write(tmp_path, "UPDATE delivery SET due_at = 0 WHERE due_at IS NOT NULL")
        await until(lambda: site.requests.qsize() == 6)
        assert await deliveries.finish(5) == 0


async def test_events_for_nobody_in_the_settings_are_told_of_once(tmp_path: Path) -> None:
    first = made(tmp_path, {"gone": "http://127.0.0.1:1/"})
    await first.open()
    await first.publish(event("a", 1), to("gone"))
    await first.close(5)
    with capture_logs() as logs:
        async with delivering(tmp_path, {"crm": "http://127.0.0.1:1/"}) as deliveries:
            await deliveries.publish(event("a", 2), to("gone"))
            await until(lambda: UNKNOWN in deliveries.lines)
            assert deliveries.lines[UNKNOWN].pending == 1, "what is new is for nobody"
            await until(lambda: any("not in the settings" in line["event"] for line in logs))
            looks = deliveries.overview
            await until(lambda: deliveries.overview is not looks)
    (told,) = (line for line in logs if "not in the settings" in line["event"])
    assert (told["endpoint"], told["deliveries"]) == ("gone", 1)


async def test_hosts_that_calls_bring_and_that_are_dead_take_no_place_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: dict[str, Any] = {"url_parameter": "webhook", "allowed_hosts": ("127.0.0.1",), "addresses": "any"}
    theirs = settings.Endpoint(name="theirs", secrets=SECRETS, allow_plain_http=True, **brought)
    delivery = settings.Delivery(endpoints=(theirs,), breaker_failures=1, retry_seconds=(3600.0,) * 3)
    deliveries = Deliveries(delivery, tmp_path, clock=clock, wall=wall, random=lambda: 0.5)
    monkeypatch.setattr("gateway.delivery.deliveries.MOST_SENDERS", 1)
    site = Site()
    await deliveries.open()
    async with serving(site.handle) as url, new_sessions() as sessions, asyncio.TaskGroup() as group:
        running = group.create_task(deliveries.run(sessions))
        for port in range(1, 5):  # nobody listens there
            await deliveries.publish(event(f"dead-{port}", 1), [Recipient("theirs", f"http://127.0.0.1:{port}/")])
        for sequence in (1, 2):
            await deliveries.publish(event("a", sequence), [Recipient("theirs", url)])
        assert [(await site.next())[0]["webhook-id"] for _ in range(2)] == ["msg_a_1", "msg_a_2"]
        await until(lambda: deliveries.lines["theirs"].pending == 4)
        await until(lambda: deliveries.attempts["theirs", "unanswered"] >= 4)
        assert len(deliveries._senders) <= 2
        running.cancel()
    await deliveries.close(5)


def _looked(deliveries: Deliveries) -> bool:
    return deliveries.overview.used_bytes > 0


def _has(site: Site, requests: int) -> bool:
    return site.requests.qsize() == requests


async def test_what_is_stored_when_nothing_is_sent_any_more_is_for_the_next_start(tmp_path: Path) -> None:
    brought: dict[str, Any] = {"url_parameter": "webhook", "allowed_hosts": ("127.0.0.1",), "addresses": "any"}
    theirs = settings.Endpoint(name="theirs", secrets=SECRETS, allow_plain_http=True, **brought)
    site = Site()
    async with serving(site.handle) as url, new_sessions() as sessions:
        for sent in (0, 1):
            deliveries = Deliveries(
                settings.Delivery(endpoints=(theirs,)), tmp_path, clock=clock, wall=wall, random=lambda: 0.5
            )
            await deliveries.open()
            async with asyncio.TaskGroup() as group:
                running = group.create_task(deliveries.run(sessions))
                await until(partial(_looked, deliveries))
                await until(partial(_has, site, sent))
                running.cancel()
            await deliveries.publish(event("a", sent + 1), [Recipient("theirs", url)])
            await deliveries.close(5)
    assert site.requests.qsize() == 1


async def test_a_sender_that_nobody_needs_is_stopped(tmp_path: Path) -> None:
    brought: dict[str, Any] = {"url_parameter": "webhook", "allowed_hosts": ("127.0.0.1",), "addresses": "any"}
    theirs = settings.Endpoint(name="theirs", secrets=SECRETS, allow_plain_http=True, **brought)
    deliveries = Deliveries(
        settings.Delivery(endpoints=(theirs,)), tmp_path, clock=clock, wall=wall, random=lambda: 0.5
    )
    site = Site()
    await deliveries.open()
    async with serving(site.handle) as url, new_sessions() as sessions, asyncio.TaskGroup() as group:
        running = group.create_task(deliveries.run(sessions))
        for sequence in (1, 2):
            await deliveries.publish(event("a", sequence), [Recipient("theirs", url)])
            await site.next()
            await until(lambda: not deliveries._senders)
        running.cancel()
    await deliveries.close(5)


async def test_while_the_disk_takes_nothing_calls_go_on_and_nothing_is_lost(tmp_path: Path) -> None:
    site = Site()
    async with serving(site.handle) as url, delivering(tmp_path, {"crm": url}) as deliveries:
        await deliveries.publish(event("a", 1), to("crm"))
        with locked(tmp_path):
            async with asyncio.timeout(5):  # far less than the lock is held for
                for sequence in range(2, 12):
                    await deliveries.publish(event("a", sequence), to("crm"))
            assert not can_store(deliveries)
            assert deliveries.accepting == 10
        ids = [(await site.next())[0]["webhook-id"] for _ in range(11)]
        assert ids == [f"msg_a_{sequence}" for sequence in range(1, 12)]
        assert can_store(deliveries)
        assert await deliveries.finish(5) == 0


async def test_when_much_waits_in_memory_there_is_no_room_for_more_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ACCEPTING", 3)
    deliveries = made(tmp_path, {})
    await deliveries.open()
    with locked(tmp_path):
        room = []
        for sequence in range(1, 5):
            await deliveries.publish(event("a", sequence), ())
            room.append(deliveries.storable)
    assert room == [True, True, False, False]
    await until(lambda: deliveries.storable)
    await deliveries.close(5)


async def test_what_cannot_be_stored_to_the_end_is_named(tmp_path: Path) -> None:
    deliveries = made(tmp_path, {})
    await deliveries.open()
    await deliveries.publish(event("a", 1), ())
    with capture_logs() as logs, locked(tmp_path):
        await deliveries.publish(event("a", 2), ())
        await deliveries.close(0.1)
        with pytest.raises(OutboxError):
            await deliveries.publish(event("a", 3), ())
    lost = [(line["event_id"], line["call_id"]) for line in logs if "lost" in line["event"]]
    assert lost == [("msg_a_2", "a")]


async def test_a_store_that_has_stopped_takes_neither_calls_nor_the_gateway_with_it(tmp_path: Path) -> None:
    site = Site()
    async with serving(site.handle) as url, delivering(tmp_path, {"crm": url}) as deliveries:
        await deliveries.publish(event("a", 1), to("crm"))
        assert await deliveries.finish(5) == 0
        with capture_logs() as logs:
            await deliveries.outbox.close()
            assert not can_store(deliveries)
            await until(lambda: any(line["event"] == "cannot look into the event store" for line in logs))
        with pytest.raises(OutboxError):
            await deliveries.publish(event("a", 2), to("crm"))


async def test_finishing_does_not_wait_for_what_cannot_be_sent_now(tmp_path: Path) -> None:
    site = Site(500)
    async with (
        serving(site.handle) as url,
        delivering(tmp_path, {"crm": url}, retry_seconds=(3600.0,)) as deliveries,
    ):
        await deliveries.publish(event("a", 1), to("crm"))
        await deliveries.publish(event("b", 1), to("crm"))
        assert await deliveries.finish(5) == 1
