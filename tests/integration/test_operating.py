"""What an operator does to a store, in any order with what its gateway does, keeps what the store promises."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery import operating
from gateway.delivery.database import OutboxError, open_beside
from gateway.delivery.operating import DEAD, DELIVERED, DISCARDED, PENDING, Selection, Step
from gateway.delivery.outbox import Outbox
from gateway.delivery.retry import Delivered, GiveUp, RetryAt
from gateway.events import StoredEvent
from tests.recipients import to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from gateway.delivery.outbox import Delivery

START = 1_760_000_000.0


class Shop:
    """A store that its gateway uses, an operator beside it, and a clock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = START
        self.outbox = Outbox(directory, clock=lambda: self.now)
        self.sequences: dict[str, int] = defaultdict(int)
        self.claimed: list[Delivery] = []

    async def append(self, call_id: str, *endpoints: str) -> None:
        self.sequences[call_id] += 1
        number = self.sequences[call_id]
        event = StoredEvent(
            event_id=f"msg_{call_id}_{number}", call_id=call_id, sequence=number, type="call.digit", body=b'{"n":1}'
        )
        await self.outbox.append(event, to(*endpoints))

    async def claim(self, endpoint: str = "crm", limit: int = 1000) -> list[tuple[str, int]]:
        self.claimed = (await self.outbox.claim(endpoint, limit, 60.0, 600.0)).deliveries
        return [(each.call_id, each.sequence) for each in self.claimed]

    async def settle(self, decision: Delivered | GiveUp | RetryAt) -> None:
        for delivery in self.claimed:
            await self.outbox.settle(delivery, decision)

    async def deliver_all(self, endpoint: str = "crm") -> list[tuple[str, int]]:
        """Deliver until there is nothing left; tell what, in order."""
        sent = []
        while found := await self.claim(endpoint):
            sent += found
            await self.settle(Delivered())
        return sent

    def select(self, *states: str, **conditions: str | float) -> list[int]:
        with open_beside(self.directory) as db:
            return operating.select(db, Selection(**conditions), states=states)  # type: ignore[arg-type]

    def do(self, what: Callable[..., Iterator[Step]], events: list[int], **how: object) -> Step:
        with open_beside(self.directory, writing=True) as db:
            steps = list(what(db, events, **({"endpoint": None, "now": self.now} | how)))
        return steps[-1] if steps else Step(done=0, total=0, changed=0, skipped=0)

    def states(self, call_id: str) -> list[str]:
        with open_beside(self.directory) as db:
            events = operating.select(db, Selection(call_id=call_id))
            return [found.state for event in events for found in operating.describe(db, event)]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    made = Shop(tmp_path)
    await made.outbox.start()
    yield made
    await made.outbox.close()


async def filled(shop: Shop, events: int = 3) -> None:
    for _ in range(events):
        for call_id in ("a", "b"):
            await shop.append(call_id, "crm", "archive")
            shop.now += 1


async def test_events_are_found_by_what_is_known_of_them(shop: Shop) -> None:
    await filled(shop)
    await shop.deliver_all("archive")
    await shop.claim("crm", 1)
    await shop.settle(GiveUp("HTTP 500"))
    assert len(shop.select()) == 6
    assert len(shop.select(call_id="a")) == 3
    assert len(shop.select(event_id="msg_b_2")) == 1
    assert len(shop.select(since=START + 2)) == 4
    assert len(shop.select(since=START + 2, until=START + 4, call_id="b")) == 1
    assert len(shop.select(PENDING)) == 5
    assert shop.select(DEAD) == shop.select(event_id="msg_a_1")
    assert shop.select(DEAD, call_id="b") == []
    assert shop.select(call_id="nobody") == []


async def test_an_event_is_described(shop: Shop) -> None:
    await shop.append("a", "crm", "archive")
    await shop.claim("crm")
    await shop.settle(RetryAt(START + 300, "HTTP 503"))
    await shop.deliver_all("archive")
    (event,) = shop.select()
    with open_beside(shop.directory) as db:
        archive, crm = operating.describe(db, event)
        assert operating.describe(db, event, "crm") == [crm]
        assert operating.body(db, event) == b'{"n":1}'
        assert operating.describe(db, event + 1) == []
    assert (archive.state, archive.attempts, archive.settled_at) == (DELIVERED, 1, START)
    assert (crm.state, crm.place, crm.due_at, crm.reason) == (PENDING, "front", START + 300, "HTTP 503")
    assert (crm.event_id, crm.sequence, crm.type) == ("msg_a_1", 1, "call.digit")


async def test_what_waits_for_its_next_attempt_is_tried_now(shop: Shop) -> None:
    await filled(shop)
    await shop.claim()
    await shop.settle(RetryAt(START + 9999, "HTTP 503"))
    assert await shop.claim() == []
    step = shop.do(operating.retry, shop.select(PENDING), endpoint="crm", states=[PENDING])
    assert step.changed == 2, "the two heads; the others wait behind them"
    assert await shop.deliver_all() == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3), ("b", 3)]


async def test_dead_letters_are_tried_again_with_all_their_attempts(shop: Shop) -> None:
    await filled(shop)
    while await shop.claim():
        await shop.settle(GiveUp("HTTP 500"))
    assert shop.do(operating.retry, shop.select(DEAD), states=[PENDING]).changed == 0
    assert shop.do(operating.retry, shop.select(DEAD), states=[DEAD]).changed == 6
    assert await shop.claim() == [("a", 1), ("b", 1)]
    assert [delivery.attempt for delivery in shop.claimed] == [1, 1]
    await shop.settle(Delivered())
    assert await shop.deliver_all() == [("a", 2), ("b", 2), ("a", 3), ("b", 3)]


async def test_a_call_is_sent_again_in_order_before_what_comes_after_it(shop: Shop) -> None:
    await filled(shop)
    await shop.deliver_all()
    await shop.append("a", "crm")
    await shop.claim()
    assert shop.do(operating.redeliver, shop.select(call_id="a"), endpoint="crm", to=None).changed == 3
    await shop.append("a", "crm")
    await shop.settle(Delivered())
    assert await shop.deliver_all() == [("a", 1), ("a", 2), ("a", 3), ("a", 5)]


async def test_who_is_new_can_be_sent_what_was(shop: Shop) -> None:
    await filled(shop)
    await shop.deliver_all()
    step = shop.do(operating.redeliver, shop.select(since=START + 2), to="new")
    assert (step.done, step.total, step.changed) == (4, 4, 4)
    assert await shop.deliver_all("new") == [("a", 2), ("b", 2), ("a", 3), ("b", 3)]
    assert shop.do(operating.redeliver, shop.select(), to="new").changed == 6, "what it had, and what it had not"
    assert await shop.claim() == []


async def test_what_is_discarded_is_sent_to_nobody(shop: Shop) -> None:
    await filled(shop)
    step = shop.do(operating.discard, shop.select(PENDING, call_id="a"), endpoint="crm", dead=False, alone=False)
    assert step.changed == 3
    assert await shop.deliver_all() == [("b", 1), ("b", 2), ("b", 3)]
    assert shop.states("a").count(DISCARDED) == 3
    assert shop.states("a").count(PENDING) == 3, "those of the other endpoint"


async def test_what_is_being_tried_is_not_discarded_unless_nobody_tries(shop: Shop) -> None:
    await filled(shop)
    await shop.claim(limit=1)
    selected = shop.select(PENDING, call_id="a")
    step = shop.do(operating.discard, selected, endpoint="crm", dead=False, alone=False)
    assert (step.changed, step.skipped) == (2, 1)
    await shop.settle(Delivered())
    assert shop.states("a").count(DELIVERED) == 1
    await shop.claim(limit=1)
    step = shop.do(operating.discard, shop.select(PENDING, call_id="b"), endpoint="crm", dead=False, alone=True)
    assert (step.changed, step.skipped) == (3, 0)


async def test_dead_letters_are_discarded_where_that_is_meant(shop: Shop) -> None:
    await shop.append("a", "crm")
    await shop.claim()
    await shop.settle(GiveUp("HTTP 500"))
    assert shop.do(operating.discard, shop.select(), dead=False, alone=False).changed == 0
    assert shop.do(operating.discard, shop.select(), dead=True, alone=False).changed == 1
    assert shop.states("a") == [DISCARDED]


async def test_an_endpoint_can_be_left_alone(shop: Shop) -> None:
    await filled(shop)
    with open_beside(shop.directory, writing=True) as db:
        assert operating.disable(db, "crm", "maintenance", START)
        assert not operating.disable(db, "crm", "again", START)
    assert await shop.deliver_all() == []
    with open_beside(shop.directory, writing=True) as db:
        assert operating.enable(db, "crm")
        assert not operating.enable(db, "crm")
    assert len(await shop.deliver_all()) == 6


async def test_long_work_comes_in_steps_and_what_is_done_is_done(shop: Shop) -> None:
    await asyncio.gather(*(shop.append(f"call-{number}", "crm") for number in range(120)))
    events = shop.select(PENDING)
    with open_beside(shop.directory, writing=True) as db:
        steps = operating.discard(db, events, endpoint=None, dead=False, alone=False, now=START)
        first = next(steps)
        assert (first.done, first.total, first.changed) == (operating.STEP, 120, operating.STEP)
        await shop.append("live", "crm")  # between two steps the store is the gateway's
        assert [step.done for step in steps] == [2 * operating.STEP, 120]
    assert await shop.deliver_all() == [("live", 1)]


async def test_it_reads_without_writing_and_says_what_is_not_there(tmp_path: Path, shop: Shop) -> None:
    with pytest.raises(OutboxError, match="there is no event store"), open_beside(tmp_path / "nowhere"):
        pass
    with open_beside(shop.directory) as db, pytest.raises(Exception, match="readonly"):
        operating.enable(db, "crm")


# Any order


@dataclass(frozen=True)
class Move:
    what: Literal["append", "claim", "deliver", "fail", "give up", "retry", "redeliver", "discard", "later"]
    call: Literal["a", "b"]
    endpoint: Literal["crm", "archive"]


moves = st.builds(
    Move,
    st.sampled_from(["append"] * 3 + ["claim", "deliver", "fail", "give up", "retry", "redeliver", "discard", "later"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["crm", "archive"]),
)


async def _make(shop: Shop, move: Move) -> None:
    match move.what:
        case "append":
            await shop.append(move.call, move.endpoint)
        case "claim":
            await shop.claim(move.endpoint)
        case "deliver":
            await shop.settle(Delivered())
        case "fail":
            await shop.settle(RetryAt(shop.now + 300, "HTTP 503"))
        case "give up":
            await shop.settle(GiveUp("HTTP 500"))
        case "retry":
            shop.do(operating.retry, shop.select(), endpoint=move.endpoint, states=[PENDING, DEAD])
        case "redeliver":
            shop.do(operating.redeliver, shop.select(call_id=move.call), endpoint=move.endpoint, to=None)
        case "discard":
            events = shop.select(call_id=move.call)
            shop.do(operating.discard, events, endpoint=move.endpoint, dead=False, alone=False)
        case "later":
            shop.now += 200


@given(st.lists(moves, max_size=30))
@settings(max_examples=80)
async def test_lines_stay_lines_and_all_is_delivered_in_the_end(plan: list[Move]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        shop = Shop(Path(directory))
        await shop.outbox.start()
        try:
            for move in plan:
                await _make(shop, move)
                _check(shop)
            shop.now += 10_000
            for endpoint in ("crm", "archive"):
                await shop.deliver_all(endpoint)
            assert await shop.outbox.pending() == 0
        finally:
            await shop.outbox.close()


def _check(shop: Shop) -> None:
    """Of each line at most one is the front, and what is held waits for one."""
    with open_beside(shop.directory) as db:
        lines: dict[tuple[str, str], list[str]] = defaultdict(list)
        for call_id, endpoint, place in db.execute(
            "SELECT call_id, endpoint, place FROM delivery WHERE place IS NOT NULL"
        ):
            lines[call_id, endpoint].append(place)
        settled = db.execute("SELECT count(*) FROM delivery WHERE place IS NULL AND leased").fetchone()
    for places in lines.values():
        assert places.count("front") == (1 if {"front", "held"} & set(places) else 0)
    assert settled == (0,)


@given(st.lists(st.sampled_from(["delivered", "given up"]), min_size=1, max_size=8), st.integers(1, 3))
@settings(max_examples=30)
async def test_what_is_sent_again_comes_in_order(outcomes: list[str], calls: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        shop = Shop(Path(directory))
        await shop.outbox.start()
        try:
            for outcome in outcomes:
                for call in range(calls):
                    await shop.append(str(call), "crm")
                while await shop.claim():
                    await shop.settle(Delivered() if outcome == "delivered" else GiveUp("HTTP 500"))
            shop.do(operating.redeliver, shop.select(), to=None)
            sent = await shop.deliver_all()
        finally:
            await shop.outbox.close()
    for call in range(calls):
        assert [sequence for name, sequence in sent if name == str(call)] == list(range(1, len(outcomes) + 1))
