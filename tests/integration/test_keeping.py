"""What the event store forgets, and what it never does."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from config.delivery import Delivery as DeliverySettings
from gateway.delivery import keeping
from gateway.delivery.database import FILE_NAME
from gateway.delivery.keeping import Keeper
from gateway.delivery.outbox import Outbox
from gateway.delivery.retry import Delivered, GiveUp, RetryAt
from gateway.events import StoredEvent
from tests.recipients import to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

START = 1_760_000_000.0
HOUR = 3600.0
KEEP, KEEP_DEAD = 10.0, 100.0
"""Hours."""


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class House:
    """A store and its keeper."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = Clock()
        self.outbox = Outbox(directory, clock=self.clock)

    def keeper(self, *, most_store_mib: int = 4096) -> Keeper:
        limits = DeliverySettings(keep_hours=KEEP, keep_dead_hours=KEEP_DEAD, most_store_mib=most_store_mib)
        return Keeper(self.outbox, self.directory, limits, self.clock)

    async def call(self, call_id: str, *, body: bytes = b"{}", events: int = 2, ended: bool = True) -> None:
        """Store a call for one endpoint; its last event for nobody, so that one delivery is all there is to it."""
        for sequence in range(1, events + 1):
            last = sequence == events
            kind = "call.ended" if last and ended else "transcript.final"
            event = StoredEvent(
                event_id=f"msg_{call_id}_{sequence}", call_id=call_id, sequence=sequence, type=kind, body=body
            )
            await self.outbox.append(event, to("crm") if sequence == 1 else [])

    async def settle(self, decision: Delivered | GiveUp | RetryAt, *, but: str = "") -> None:
        """Let all that is due come to an end, but for one call."""
        claimed = await self.outbox.claim("crm", 1000, 60.0, 600.0)
        for delivery in claimed.deliveries:
            if delivery.call_id != but:
                await self.outbox.settle(delivery, decision)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(self.directory / FILE_NAME)) as neighbour:
            return neighbour.execute(sql).fetchall()

    @property
    def calls(self) -> set[object]:
        return {call_id for (call_id,) in self.query("SELECT call_id FROM call")}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.outbox.start()
    yield made
    await made.outbox.close()


async def test_only_what_is_over_and_settled_and_old_is_forgotten(house: House) -> None:
    await house.call("delivered")
    await house.call("unended", ended=False)
    await house.settle(Delivered())
    await house.call("dead")
    await house.settle(GiveUp("HTTP 500 at attempt 8, the last"))
    await house.call("pending")
    house.clock.now += KEEP * HOUR
    await house.call("recent")
    house.clock.now += 1
    assert await house.keeper().tidy() == 2
    assert house.calls == {"unended", "dead", "pending", "recent"}
    assert house.query("SELECT count(*) FROM event WHERE call_id = 'delivered'") == [(0,)]
    assert await house.keeper().tidy() == 0


async def test_a_dead_letter_is_kept_for_longer_and_then_forgotten(house: House) -> None:
    await house.call("dead")
    house.clock.now += HOUR
    await house.settle(GiveUp("HTTP 500 at attempt 8, the last"))
    house.clock.now += KEEP_DEAD * HOUR - 1
    assert await house.keeper().tidy() == 0
    house.clock.now += 2
    assert await house.keeper().tidy() == 2
    assert house.calls == set()


async def test_what_nobody_takes_for_too_long_becomes_a_dead_letter(house: House) -> None:
    await house.call("pending")
    house.clock.now += KEEP_DEAD * HOUR
    await house.call("young")
    house.clock.now += 1
    with capture_logs() as logs:
        assert await house.keeper().tidy() == 0
    assert [(line["log_level"], line["deliveries"]) for line in logs] == [("error", 1)]
    assert house.query("SELECT call_id, reason FROM delivery WHERE outcome = 'given_up'") == [
        ("pending", "not delivered within 100 hours")
    ]
    assert await house.outbox.pending() == 1


async def test_giving_up_a_head_lets_its_line_go_on(house: House) -> None:
    old = StoredEvent(event_id="old", call_id="a", sequence=1, type="transcript.final", body=b"")
    await house.outbox.append(old, to("crm"))
    house.clock.now += KEEP_DEAD * HOUR + 1
    new = StoredEvent(event_id="new", call_id="a", sequence=2, type="transcript.final", body=b"")
    await house.outbox.append(new, to("crm"))
    await house.keeper().tidy()
    assert [each.event_id for each in (await house.outbox.claim("crm", 9, 60.0, 600.0)).deliveries] == ["new"]


async def test_what_is_being_tried_is_not_given_up(house: House) -> None:
    await house.call("a")
    house.clock.now += KEEP_DEAD * HOUR + 1
    (delivery,) = (await house.outbox.claim("crm", 9, 60.0, 600.0)).deliveries
    await house.keeper().tidy()
    await house.outbox.settle(delivery, Delivered())
    assert house.query("SELECT outcome FROM delivery") == [("delivered",)]


async def test_many_calls_and_long_ones_are_forgotten(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "LOOKED_UP", 50)
    await asyncio.gather(*(house.call(f"c{number}", events=1) for number in range(120)))
    await house.call("long", events=500)
    await house.settle(Delivered())
    house.clock.now += KEEP * HOUR + 1
    assert await house.keeper().tidy() == 620
    assert house.query("SELECT count(*) FROM event") == [(0,)]
    assert house.calls == set()


async def test_forgotten_words_are_overwritten(house: House) -> None:
    await house.call("a", body=b"my PIN is four seven one one", events=1)
    await house.settle(Delivered())
    house.clock.now += KEEP * HOUR + 1
    assert await house.keeper().tidy() == 1
    await house.outbox.close()  # the last to leave brings everything into the one file
    assert b"four seven" not in (house.directory / FILE_NAME).read_bytes()


async def _fill(house: House, prefix: str, mib: int) -> None:
    """Store so much in calls of a quarter of it, each a second after the other."""
    for number in range(4):
        house.clock.now += 1
        await house.call(f"{prefix}{number}", body=bytes(mib * keeping.MIB // 8))


async def test_a_store_that_is_too_large_forgets_the_oldest_that_was_delivered(house: House) -> None:
    await _fill(house, "delivered", 12)
    await house.settle(Delivered())
    await _fill(house, "pending", 8)
    with capture_logs() as logs:
        assert await house.keeper(most_store_mib=16).tidy() > 0
    assert [line["event"] for line in logs] == [
        "forgotten before its time: the store is full (delivery.most_store_mib)"
    ]
    left = house.calls
    assert {"pending0", "pending1", "pending2", "pending3", "delivered3"} <= left
    assert "delivered0" not in left
    assert (house.directory / FILE_NAME).stat().st_size < 21 * keeping.MIB


async def test_dead_letters_go_after_all_that_was_delivered(house: House) -> None:
    await _fill(house, "dead", 12)
    await house.settle(GiveUp("HTTP 500 at attempt 8, the last"))
    await _fill(house, "delivered", 12)
    await house.settle(Delivered())
    await house.keeper(most_store_mib=16).tidy()
    assert {"dead0", "dead1", "dead2", "dead3"} <= house.calls
    await _fill(house, "pending", 8)
    await house.keeper(most_store_mib=16).tidy()
    assert "dead0" not in house.calls
    assert {"dead3", "pending0"} <= house.calls


async def test_what_is_to_be_delivered_is_never_forgotten_for_want_of_room(house: House) -> None:
    await _fill(house, "pending", 20)
    keeper = house.keeper(most_store_mib=16)
    with capture_logs() as logs:
        for _ in range(2):
            assert await keeper.tidy() == 0
    (line,) = logs
    assert line["log_level"] == "error"
    assert "linescribe outbox" in line["event"]
    assert await house.outbox.pending() == 4


async def test_the_file_grows_smaller_when_much_was_forgotten(house: House) -> None:
    await _fill(house, "delivered", 40)
    await house.settle(Delivered())
    before = house.query("PRAGMA page_count")[0][0]
    house.clock.now += KEEP * HOUR + 10
    await house.keeper().tidy()
    after = house.query("PRAGMA page_count")[0][0]
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert before > 10_000
    assert after <= 1.5 * keeping.SPARE_PAGES
