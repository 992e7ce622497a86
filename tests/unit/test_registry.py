from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest

from adapters.stream import (
    Listener,
    Refusal,
    RefusalReason,
    StreamEnd,
    StreamEnded,
    StreamOffer,
    StreamStarted,
    Track,
    TrackRole,
)
from asr.scheduler import Scheduler
from config.settings import Calls, Settings
from gateway.record import Means
from gateway.registry import Registry
from tests.fakes import FakeEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.events import StoredEvent
    from gateway.session import CallSession


class World:
    """A registry whose store can be broken."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stored: list[StoredEvent] = []
        self.broken = False
        self.closed = 0
        self._numbers = count(1)
        means = Means(
            settings=Settings(calls=Calls(max_calls=2, linger_seconds=0.0)),
            decoder=Scheduler(FakeEngine(), clock=lambda: self.now, waiting_audio_seconds=60),
            publish=self._publish,
            clock=lambda: self.now,
            wall=lambda: 1_700_000_000 + self.now,
        )
        self.registry = Registry(means, lambda size: bytes([next(self._numbers)] * size))
        self.offer = StreamOffer(
            listener=Listener(kind="test", name="port"),
            address="192.0.2.1:5",
            started=StreamStarted(stream_id="s", external_call_id="c", tracks=(Track(id="x", role=TrackRole.INBOUND),)),
        )

    async def _publish(self, event: StoredEvent) -> None:
        if self.broken:
            raise RuntimeError("the store is broken")
        self.stored.append(event)
        await asyncio.sleep(0)

    async def left(self, calls: int) -> None:
        """Wait until so many calls are left."""
        while self.registry.calls > calls:  # noqa: ASYNC110  the registry tells nobody but its own `run`
            await asyncio.sleep(0)

    def close(self) -> None:
        self.closed += 1

    def admit(self) -> CallSession:
        session = self.registry.admit(self.offer, self, self.now)
        session.handle(self.offer.started, self.now)
        return session


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(world.registry.run())
        await asyncio.sleep(0)
        yield world
        world.registry.drain()
        world.registry.end_all(StreamEnd.SHUTDOWN, 1.0)


async def test_before_it_runs_nobody_is_admitted() -> None:
    with pytest.raises(Refusal) as caught:
        World().admit()
    assert caught.value.reason is RefusalReason.DRAINING


async def test_more_calls_than_the_setting_are_refused_until_one_has_ended() -> None:
    async with running() as world:
        first, _ = world.admit(), world.admit()
        with pytest.raises(Refusal) as caught:
            world.admit()
        assert caught.value.reason is RefusalReason.FULL
        first.handle(StreamEnded(StreamEnd.HANGUP), world.now)
        world.registry.tick(world.now)
        await world.left(1)
        world.admit()


async def test_draining_waits_for_the_calls_in_progress() -> None:
    world = World()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        serving = group.create_task(world.registry.run())
        await asyncio.sleep(0)
        session = world.admit()
        world.registry.drain()
        with pytest.raises(Refusal):
            world.admit()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not serving.done()
        session.handle(StreamEnded(StreamEnd.HANGUP), world.now)
        world.registry.tick(world.now)
        await serving
    assert [event.type for event in world.stored] == ["call.started", "track.started", "call.ended"]


async def test_a_call_whose_events_cannot_be_stored_takes_no_other_with_it() -> None:
    async with running() as world:
        world.broken = True
        world.admit()
        await world.left(0)
        world.broken = False
        session = world.admit()
        session.handle(StreamEnded(StreamEnd.HANGUP), world.now)
        world.registry.tick(world.now)
        await world.left(0)
    assert [event.type for event in world.stored] == ["call.started", "track.started", "call.ended"]


async def test_a_bug_in_one_calls_clock_stops_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as world:
        bad, good = world.admit(), world.admit()

        def broken(_now: float) -> None:
            raise RuntimeError("a bug of ours")

        monkeypatch.setattr(bad, "tick", broken)
        good.handle(StreamEnded(StreamEnd.HANGUP), world.now)
        world.registry.tick(world.now)
        await world.left(0)
    assert world.closed == 1
    assert [event.type for event in world.stored].count("call.ended") == 2
