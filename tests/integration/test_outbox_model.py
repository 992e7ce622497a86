"""The event store against a plain model of what it promises, under any order of what can happen to it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery.outbox import Delivery, Outbox
from gateway.delivery.retry import Decision, Delivered, GiveUp, RetryAt
from gateway.events import StoredEvent
from tests.recipients import to

START = 1_760_000_000.0
HOLD_BACK = 30.0
LEASE = 50.0
"""Longer than the holding back, so that what is still in hand can be passed."""

Endpoint = Literal["crm", "archive"]
ENDPOINTS: tuple[Endpoint, ...] = ("crm", "archive")


@dataclass(frozen=True)
class Append:
    call: int
    endpoints: frozenset[Endpoint]


@dataclass(frozen=True)
class Claim:
    endpoint: Endpoint
    limit: int


@dataclass(frozen=True)
class Settle:
    which: int
    """Among all that was ever claimed, counted from the latest: what was overtaken too."""
    how: Literal["delivered", "given up"] | float
    """A number: retry after so many seconds."""


@dataclass(frozen=True)
class Advance:
    seconds: float


@dataclass(frozen=True)
class Restart:
    pass


Step = Append | Claim | Settle | Advance | Restart

endpoints = st.sampled_from(ENDPOINTS)
waits = st.sampled_from([0.0, 1.0, 10.0, 20.0, 30.0, 50.0])
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Append, st.integers(0, 2), st.frozensets(endpoints)),
    st.builds(Claim, endpoints, st.sampled_from([1, 2, 100])),
    st.builds(Settle, st.integers(0, 5), st.sampled_from(["delivered", "given up"])),
    st.builds(Settle, st.integers(0, 5), waits),
    st.builds(Advance, waits),
    st.just(Restart()),
)


@dataclass
class Item:
    """One delivery as the model sees it."""

    event_id: str
    sequence: int
    due_at: float = -1.0
    first_claimed_at: float | None = None
    attempts: int = 0
    leased: bool = False
    settled: bool = False

    def holds_back(self, now: float) -> bool:
        return not self.settled and (self.first_claimed_at is None or now < self.first_claimed_at + HOLD_BACK)


@dataclass
class Model:
    """What may be claimed, said as plainly as possible: by looking through every line each time."""

    now: float = START
    sequences: dict[str, int] = field(default_factory=dict)
    lines: dict[tuple[str, str], list[Item]] = field(default_factory=dict)
    claimed: list[Delivery] = field(default_factory=list)

    def items(self) -> list[Item]:
        return [item for line in self.lines.values() for item in line]

    def item(self, delivery: Delivery) -> Item:
        line = self.lines[delivery.endpoint, delivery.call_id]
        return next(item for item in line if item.event_id == delivery.event_id)

    def claimable(self, endpoint: str) -> set[str]:
        found = set()
        for (name, _), line in self.lines.items():
            for place, item in enumerate(line):
                blocked = any(earlier.holds_back(self.now) for earlier in line[:place])
                if name == endpoint and not blocked and not item.settled and item.due_at <= self.now:
                    found.add(item.event_id)
        return found


class Trial:
    """Does each step to the store and to the model, and compares."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.model = Model()
        self.outbox = Outbox(directory, clock=lambda: self.model.now)

    async def do(self, step: Step) -> None:
        match step:
            case Append(call, names):
                await self._append(f"call-{call}", names)
            case Claim(endpoint, limit):
                await self._claim(endpoint, limit)
            case Settle(which, how):
                if which < len(self.model.claimed):
                    await self._settle(self.model.claimed[-1 - which], how)
            case Advance(seconds):
                self.model.now += seconds
            case Restart():
                await self._restart()

    async def _append(self, call_id: str, names: frozenset[Endpoint]) -> None:
        sequence = self.model.sequences.get(call_id, 0) + 1
        self.model.sequences[call_id] = sequence
        event = StoredEvent(
            event_id=f"msg_{call_id}_{sequence}", call_id=call_id, sequence=sequence, type="call.digit", body=b"{}"
        )
        for _ in range(2):  # the second time it is already there
            await self.outbox.append(event, to(*sorted(names)))
        for name in names:
            self.model.lines.setdefault((name, call_id), []).append(Item(event.event_id, sequence))

    async def _claim(self, endpoint: str, limit: int) -> None:
        claimable = self.model.claimable(endpoint)
        claimed = (await self.outbox.claim(endpoint, limit, LEASE, HOLD_BACK)).deliveries
        found = {delivery.event_id for delivery in claimed}
        assert found <= claimable
        assert len(claimed) == len(found) == min(limit, len(claimable))
        for delivery in claimed:
            item = self.model.item(delivery)
            assert (delivery.endpoint, delivery.sequence) == (endpoint, item.sequence)
            assert delivery.attempt == item.attempts + 1
            item.leased, item.due_at = True, self.model.now + LEASE
            item.first_claimed_at = self.model.now if item.first_claimed_at is None else item.first_claimed_at
        self.model.claimed += claimed

    async def _settle(self, delivery: Delivery, how: Literal["delivered", "given up"] | float) -> None:
        item = self.model.item(delivery)
        overtaken = item.settled or item.attempts != delivery.attempt - 1
        decision: Decision
        match how:
            case "delivered":
                decision = Delivered()
                item.settled = True
            case "given up":
                decision = GiveUp("the model says so")
                item.settled = item.settled or not overtaken
            case seconds:
                decision = RetryAt(self.model.now + float(seconds), "HTTP 503")
                if not overtaken:
                    item.due_at, item.attempts, item.leased = decision.due_at, delivery.attempt, False
        await self.outbox.settle(delivery, decision)

    async def _restart(self) -> None:
        await self.outbox.close()
        self.outbox = Outbox(self.directory, clock=lambda: self.model.now)
        await self.outbox.start()
        for item in self.model.items():
            item.leased, item.due_at = False, min(item.due_at, self.model.now)

    async def check(self) -> None:
        unsettled = [item for item in self.model.items() if not item.settled]
        assert await self.outbox.pending() == len(unsettled)
        for endpoint in ENDPOINTS:
            due_at = (await self.outbox.claim(endpoint, 0, LEASE, HOLD_BACK)).next_due
            if self.model.claimable(endpoint):
                assert due_at is not None
                assert due_at <= self.model.now

    async def deliver_the_rest(self) -> None:
        """Whatever was left in whatever state, in the end all of it is delivered."""
        self.model.now += 1000
        while self.model.claimable("crm") or self.model.claimable("archive"):
            for endpoint in ENDPOINTS:
                before = len(self.model.claimed)
                await self._claim(endpoint, 100)
                for delivery in self.model.claimed[before:]:
                    await self._settle(delivery, "delivered")
        assert await self.outbox.pending() == 0
        assert [item for item in self.model.items() if not item.settled] == []


@given(st.lists(steps, max_size=40))
@settings(max_examples=60)
async def test_the_store_keeps_its_promises(plan: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        trial = Trial(Path(directory))
        await trial.outbox.start()
        try:
            for step in plan:
                await trial.do(step)
                await trial.check()
            await trial.deliver_the_rest()
        finally:
            await trial.outbox.close()


@given(st.permutations([(call, number) for call in "abc" for number in range(1, 5)]), st.integers(1, 5))
@settings(max_examples=20)
async def test_each_line_is_delivered_in_order(mixed: list[tuple[str, int]], limit: int) -> None:
    """However the calls are interleaved; each of them appends in order."""
    turns = [call for call, _ in mixed]
    with tempfile.TemporaryDirectory() as directory:
        outbox = Outbox(Path(directory), clock=lambda: START)
        await outbox.start()
        for place, call in enumerate(turns):
            number = turns[: place + 1].count(call)
            event = StoredEvent(event_id=f"{call}{number}", call_id=call, sequence=number, type="call.digit", body=b"")
            await outbox.append(event, to("crm"))
        sent: dict[str, list[int]] = {}
        while claimed := (await outbox.claim("crm", limit, LEASE, HOLD_BACK)).deliveries:
            for delivery in claimed:
                sent.setdefault(delivery.call_id, []).append(delivery.sequence)
                await outbox.settle(delivery, Delivered())
        await outbox.close()
    assert sent == {call: [1, 2, 3, 4] for call in "abc"}
