from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

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
from config.delivery import Delivery, Endpoint
from config.routes import Match, Route
from config.secret import Secret
from config.settings import Calls, Settings
from gateway.finding import AmbiguousCallError, UnknownCallError
from gateway.means import Means
from gateway.registrations import Registration, RegistrationConflictError, RegistrationsFullError
from gateway.registry import MOST_TRACKS, Registry
from gateway.routes import Routes
from gateway.session import CallSession
from tests.backlog import Desk
from tests.fakes import Telephone
from tests.gateway_under_test import WHSEC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.delivery.recipients import Recipient
    from gateway.events import StoredEvent


class Line(Telephone):
    """One stream that was admitted."""

    def __init__(self, world: World, offer: StreamOffer) -> None:
        super().__init__()
        self.world = world
        self.sink = world.registry.admit(offer, self, world.now)
        self.sink.handle(offer.started, world.now)

    @property
    def call_id(self) -> str:
        return self.sink.log_context["call_id"]

    def hang_up(self) -> None:
        self.sink.handle(StreamEnded(StreamEnd.HANGUP), self.world.now)


class World:
    """A registry whose store can be broken."""

    def __init__(self, routes: tuple[Route, ...] = ()) -> None:
        self.now = 0.0
        self.stored: list[StoredEvent] = []
        self.broken = False
        self._numbers = count(1)
        endpoints = tuple(
            Endpoint(name=name, url="https://x.example/", secrets=(Secret(WHSEC),)) for name in ("crm", "archive")
        )
        settings = Settings(
            calls=Calls(max_calls=3, max_streams=2, max_registrations=2, linger_seconds=1.0),
            delivery=Delivery(endpoints=endpoints),
            routes=routes,
        )
        self.desk = Desk(lambda: self.now, self.advance)
        means = Means(
            settings=settings,
            decoder=self.desk.scheduler,
            publish=self._publish,
            clock=lambda: self.now,
            wall=lambda: 1_700_000_000 + self.now,
        )
        self.registry = Registry(means, Routes(settings), lambda size: bytes([next(self._numbers)] * size))
        self.sent: list[tuple[str, ...]] = []

    async def _publish(self, event: StoredEvent, recipients: Sequence[Recipient]) -> None:
        if self.broken:
            raise RuntimeError("the store is broken")
        self.stored.append(event)
        self.sent.append(tuple(each.queue for each in recipients))
        await asyncio.sleep(0)

    async def left(self, calls: int) -> None:
        """Wait until so many calls are left."""
        while self.registry.calls > calls:  # noqa: ASYNC110  the registry tells nobody but its own `run`
            await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def linger(self) -> None:
        self.now += 1.1
        self.registry.tick(self.now)

    def counts(self) -> dict[RefusalReason, int]:
        """Tell of the refusals so far, as far as there are any."""
        return {reason: count for reason, count in self.registry.door.refused.items() if count}

    def offer(self, stream: str | None, *, role: TrackRole = TrackRole.INBOUND, **listener: Any) -> StreamOffer:
        return StreamOffer(
            listener=Listener(**({"kind": "test", "name": "port"} | listener)),
            address="192.0.2.1:5",
            started=StreamStarted(
                stream_id=stream or "s", external_call_id=stream, tracks=(Track(id=role, role=role),)
            ),
        )

    def admit(self, stream: str | None = None, **offer: Any) -> Line:
        return Line(self, self.offer(stream, **offer))

    def refusal(self, stream: str | None = None, **offer: Any) -> RefusalReason:
        with pytest.raises(Refusal) as caught:
            self.admit(stream, **offer)
        return caught.value.reason

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(event.body)["data"] for event in self.stored if event.type == kind]


def announced(name: str = "u-1", *, call: str = "call-1", account: str = "pbx", **more: Any) -> Registration:
    return Registration(stream_id=name, external_call_id=call, account=account, **more)


@asynccontextmanager
async def running(routes: tuple[Route, ...] = ()) -> AsyncIterator[World]:
    world = World(routes)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(world.registry.run())
        await asyncio.sleep(0)
        yield world
        world.registry.drain()
        world.registry.end_all(StreamEnd.SHUTDOWN, 1.0)


async def test_before_it_runs_nobody_is_admitted() -> None:
    assert World().refusal() is RefusalReason.DRAINING


async def test_more_calls_than_the_setting_are_refused_until_one_has_ended() -> None:
    async with running() as world:
        first, *_ = world.admit(), world.admit(), world.admit()
        assert world.refusal() is RefusalReason.FULL
        first.hang_up()
        world.linger()
        await world.left(2)
        world.admit()


async def test_draining_waits_for_the_calls_in_progress_and_lets_their_streams_join() -> None:
    world = World()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        serving = group.create_task(world.registry.run())
        await asyncio.sleep(0)
        first = world.admit("call-1", account="pbx")
        world.registry.drain()
        assert world.refusal("b") is RefusalReason.DRAINING
        with pytest.raises(Refusal):
            world.registry.register(announced(call="call-2"), 10)
        assert world.registry.register(announced(role="outbound"), 10) is True
        assert world.registry.register(announced(role="outbound"), 10) is False, "what is known may be said again"
        second = world.admit("u-1", registered_only=True)
        assert second.call_id == first.call_id
        first.hang_up()
        world.linger()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not serving.done()
        second.hang_up()
        world.linger()
        await serving
    assert [event.type for event in world.stored] == ["call.started", "track.started", "track.started", "call.ended"]


async def test_a_connection_that_cannot_be_closed_keeps_nobody_from_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as world:
        bad, good = world.admit(), world.admit()

        def broken() -> None:
            raise RuntimeError("a bug of ours")

        monkeypatch.setattr(bad, "close", broken)
        world.registry.end_all(StreamEnd.SHUTDOWN, 1.0)
        await world.left(0)
    assert good.closed
    assert [event.type for event in world.stored].count("call.ended") == 2


async def test_a_call_whose_events_cannot_be_stored_takes_no_other_with_it() -> None:
    async with running() as world:
        world.broken = True
        assert world.admit().closed is False
        await world.left(0)
        world.broken = False
        world.admit().hang_up()
        world.linger()
        await world.left(0)
    assert [event.type for event in world.stored] == ["call.started", "track.started", "call.ended"]


async def test_a_bug_in_one_calls_clock_stops_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as world:
        bad, good = world.admit(), world.admit()

        def broken(_now: float) -> None:
            raise RuntimeError("a bug of ours")

        monkeypatch.setattr(world.registry.find(bad.call_id, "pbx"), "tick", broken)
        good.hang_up()
        world.linger()
        await world.left(0)
    assert (bad.closed, good.closed) == (True, False)
    assert [event.type for event in world.stored].count("call.ended") == 2


@pytest.mark.parametrize(
    ("one", "other", "joins"),
    [
        ({}, {}, False),
        ({"account": "pbx"}, {"account": "pbx"}, True),
        ({"account": "pbx"}, {"account": "pbx", "name": "other port"}, True),
        ({"account": "pbx"}, {"account": "other"}, False),
        ({"account": "port"}, {"name": "port"}, False),
    ],
)
async def test_streams_join_by_who_vouches_for_them_and_their_call(
    one: dict[str, str], other: dict[str, str], *, joins: bool
) -> None:
    async with running() as world:
        first, second = world.admit("a", **one), world.admit("a", role=TrackRole.OUTBOUND, **other)
        assert (first.call_id == second.call_id) is joins


async def test_streams_without_a_name_join_nothing() -> None:
    async with running() as world:
        assert world.admit(None).call_id != world.admit(None).call_id


async def test_a_call_takes_so_many_streams_at_a_time() -> None:
    async with running() as world:
        first = world.admit("a", account="pbx")
        world.admit("a", account="pbx", role=TrackRole.OUTBOUND)
        assert world.refusal("a", account="pbx", role=TrackRole.OTHER) is RefusalReason.FULL
        first.hang_up()
        world.admit("a", account="pbx", role=TrackRole.OTHER)


async def test_a_call_takes_so_many_streams_in_all() -> None:
    async with running() as world:
        for _ in range(MOST_TRACKS):
            world.admit("a", account="pbx").hang_up()
        assert world.refusal("a", account="pbx") is RefusalReason.FULL


async def test_a_call_that_is_over_is_not_joined() -> None:
    async with running() as world:
        first = world.admit("a", account="pbx")
        first.hang_up()
        world.linger()
        second = world.admit("a", account="pbx")
        assert second.call_id != first.call_id
        await world.left(1)
        third = world.admit("a", account="pbx", role=TrackRole.OTHER)
        assert third.call_id == second.call_id, "the first one's end takes nothing away"


async def test_a_route_decides_for_its_calls() -> None:
    route = Route(
        name="support", match=Match(listener="port"), endpoints=("crm",), max_calls=1, labels={"inbound": "customer"}
    )
    async with running((route,)) as world:
        world.admit("a").hang_up()
        assert world.refusal("b") is RefusalReason.FULL
        world.admit("c", name="elsewhere").hang_up()
        world.linger()
        await world.left(0)
    assert set(world.sent) == {("crm",), ("crm", "archive")}
    assert [each["label"] for each in world.bodies("track.started")] == ["customer", None]


async def test_what_was_registered_names_the_speaker_before_a_route_does() -> None:
    route = Route(name="support", labels={"inbound": "customer"})
    async with running((route,)) as world:
        world.registry.register(announced("u-1", label="caller", call="a"), 10)
        world.registry.register(announced("u-2", call="b"), 10)
        world.admit("u-1")
        world.admit("u-2")
    assert sorted(each["label"] for each in world.bodies("track.started")) == ["caller", "customer"]


async def test_one_uuid_registered_for_both_speakers_is_one_call() -> None:
    async with running() as world:
        world.registry.register(announced("u-1", label="vip"), 10)
        first = world.admit("u-1", account="pbx", registered_only=True)
        second = world.admit("u-1", account="pbx", registered_only=True, role=TrackRole.OUTBOUND, name="other port")
        assert first.call_id == second.call_id
    assert [(each["track"], each["duplicate"]) for each in world.bodies("track.started")] == [
        ("inbound", False),
        ("outbound", False),
    ]


async def test_a_registered_stream_is_what_was_said_of_it() -> None:
    async with running() as world:
        registration = announced(
            role="outbound", label="agent", endpoints=("archive",), parameters={"called": "700", "queue": "support"}
        )
        assert world.registry.register(registration, 10) is True
        assert world.registry.register(registration, 10) is False
        world.admit("u-1").hang_up()
        assert world.registry.register(registration, 10) is world.registry.find("u-1", "pbx"), "it has come"
        world.linger()
        await world.left(0)
        assert world.registry.register(registration, 10) is True, "it may come again, as another call"
    (started,), (track,) = world.bodies("call.started"), world.bodies("track.started")
    assert started["parameters"] == {"called": "700", "queue": "support"}
    assert (track["role"], track["label"]) == ("outbound", "agent")
    assert track["source"] == {
        "kind": "test",
        "listener": "port",
        "call_id": "call-1",
        "stream_id": "u-1",
        "account_id": "pbx",
    }
    assert set(world.sent) == {("archive",)}


async def test_streams_registered_for_one_call_join_by_whatever_port_they_come() -> None:
    async with running() as world:
        world.registry.register(announced("u-1", role="inbound"), 10)
        world.registry.register(announced("u-2", role="outbound"), 10)
        first, second = world.admit("u-1"), world.admit("u-2", name="other port")
        assert first.call_id == second.call_id
        found = [world.registry.find(name, "pbx") for name in ("call-1", "u-2", first.call_id)]
        assert found == world.registry.sessions("pbx")[:1] * 3
        with pytest.raises(UnknownCallError):
            world.registry.find("nobody", "pbx")


async def test_an_account_sees_its_own_calls_and_those_that_are_nobodys() -> None:
    async with running() as world:
        world.registry.register(announced("u-1", account="one"), 10)
        world.registry.register(announced("u-2", account="two"), 10)
        one, two, nobody = world.admit("u-1"), world.admit("u-2"), world.admit("call-1")
        assert one.call_id != two.call_id, "another account's call of the same name"
        for account, line in (("one", one), ("two", two), ("three", nobody)):
            assert world.registry.find("call-1", account).call_id == line.call_id
        assert [session.call_id for session in world.registry.sessions("two")] == [two.call_id, nobody.call_id]
        for name in (two.call_id, "u-2"):
            with pytest.raises(UnknownCallError):
                world.registry.find(name, "one")


async def test_a_name_of_two_calls_that_are_nobodys_is_ambiguous() -> None:
    async with running() as world:
        first, second = world.admit("a"), world.admit("a")
        with pytest.raises(AmbiguousCallError):
            world.registry.find("a", "pbx")
        world.registry.find(first.call_id, "pbx").end(StreamEnd.ADMIN)
        assert world.registry.find("a", "pbx").call_id == second.call_id, "one that still takes streams is meant"


async def test_who_must_be_registered_and_is_not_is_refused() -> None:
    async with running() as world:
        assert world.refusal("u-1", registered_only=True) is RefusalReason.UNREGISTERED
        world.registry.register(announced(), 10)
        with capture_logs() as logs:
            assert world.refusal("u-1", registered_only=True, account="other") is RefusalReason.UNREGISTERED
        assert [each["wanted"] for each in logs if each["log_level"] == "warning"] == ["other"]
        world.now += 10
        assert world.refusal("u-1", registered_only=True) is RefusalReason.UNREGISTERED
        world.registry.register(announced(), 10)
        line = world.admit("u-1", registered_only=True)
        line.hang_up()
        world.linger()
        assert world.refusal("u-1", registered_only=True) is RefusalReason.UNREGISTERED, "once is once"


async def test_a_registered_stream_that_breaks_off_comes_back_to_its_call() -> None:
    async with running() as world:
        registration = announced(role="outbound", endpoints=("crm",))
        world.registry.register(registration, 10)
        first = world.admit("u-1", registered_only=True)
        world.registry.find("u-1", "pbx").pause(None, world.now)
        first.hang_up()
        session = world.registry.register(registration, 10)
        assert isinstance(session, CallSession)
        second = world.admit("u-1", registered_only=True)
        assert second.call_id == first.call_id == session.call_id
        assert session.paused
        assert list(session.tracks) == ["outbound", "outbound-2"]


async def test_who_comes_again_when_the_call_is_over_must_be_registered_again() -> None:
    async with running() as world:
        registration = announced()
        world.registry.register(registration, 10)
        world.admit("u-1")
        world.registry.find("u-1", "pbx").end(StreamEnd.ADMIN)
        assert world.registry.register(registration, 10) is True
        assert world.admit("u-1", registered_only=True)


async def test_a_refused_stream_may_come_again_under_its_registration() -> None:
    async with running() as world:
        lines = [world.admit() for _ in range(3)]
        world.registry.register(announced(), 100)
        assert world.refusal("u-1") is RefusalReason.FULL
        lines[0].hang_up()
        world.linger()
        await world.left(2)
        assert world.registry.registered("u-1", "pbx")
        world.admit("u-1")
        assert not world.registry.registered("u-1", "pbx")


async def test_what_was_registered_otherwise_is_a_conflict() -> None:
    async with running() as world:
        world.registry.register(announced(), 10)
        for _ in range(2):
            with pytest.raises(RegistrationConflictError):
                world.registry.register(announced(label="other"), 10)
            if world.registry.registered("u-1", "pbx"):
                world.admit("u-1")


async def test_registrations_are_bounded_and_forgotten_in_time() -> None:
    async with running() as world:
        world.registry.register(announced("u-1"), 10)
        world.registry.register(announced("u-2"), 20)
        with pytest.raises(RegistrationsFullError):
            world.registry.register(announced("u-3"), 10)
        assert world.counts() == {RefusalReason.FULL: 1}
        world.now += 10
        with capture_logs() as logs:
            world.registry.tick(world.now)
        assert [each["stream_id"] for each in logs if each["event"] == "registered stream never came"] == ["u-1"]
        world.registry.register(announced("u-3"), 10)


async def test_while_finals_wait_too_long_only_calls_in_progress_grow() -> None:
    async with running() as world, world.desk.working():
        first = world.admit("call-1", account="pbx")
        waiting = await world.desk.fall_behind()
        world.admit("a").hang_up()
        with capture_logs() as logs:
            for _ in range(4):
                world.linger()
        assert world.registry.calls == 2
        assert [each["calls"] for each in logs if "new calls" in each["event"]] == [1], "the other one is over"
        assert world.refusal("b") is RefusalReason.OVERLOADED
        with pytest.raises(Refusal) as caught:
            world.registry.register(announced(call="call-2"), 10)
        assert caught.value.reason is RefusalReason.OVERLOADED
        assert world.registry.register(announced(role="outbound"), 10) is True
        assert world.admit("u-1").call_id == first.call_id
        await world.desk.catch_up(waiting)
        for _ in range(4):
            world.linger()
        assert world.registry.admitting
        assert world.admit("b").call_id != first.call_id
    assert world.counts() == {RefusalReason.OVERLOADED: 2}


async def test_what_is_told_of_the_registry() -> None:
    world = World()
    assert world.refusal() is RefusalReason.DRAINING
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(world.registry.run())
        await asyncio.sleep(0)
        first = world.admit("a", account="pbx")
        world.admit("a", account="pbx", role=TrackRole.OUTBOUND)
        world.admit("b")
        assert (world.registry.calls, world.registry.streams, world.registry.admitting) == (2, 3, True)
        first.hang_up()
        world.admit("c")
        assert (world.registry.calls, world.registry.streams, world.registry.admitting) == (3, 3, False)
        assert world.refusal("d") is RefusalReason.FULL
        assert world.refusal("u-1", registered_only=True) is RefusalReason.UNREGISTERED
        world.registry.drain()
        with pytest.raises(Refusal):
            world.registry.register(announced(call="call-2"), 10)
        world.registry.end_all(StreamEnd.SHUTDOWN, 1.0)
        await world.left(0)
        assert not world.registry.admitting
    assert world.counts() == {RefusalReason.DRAINING: 2, RefusalReason.FULL: 1, RefusalReason.UNREGISTERED: 1}


Happening = st.tuples(
    st.sampled_from(["come", "go", "wait", "announce", "pause", "resume"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(list(TrackRole)),
)


@settings(max_examples=60)
@given(happenings=st.lists(Happening, max_size=25))
async def test_whatever_comes_and_goes_every_call_is_whole(happenings: list[tuple[str, str, TrackRole]]) -> None:
    async with running() as world:
        lines: list[Line] = []
        for what, name, role in happenings:
            match what:
                case "come":
                    with suppress(Refusal):
                        lines.append(world.admit(name, role=role, account="pbx"))
                case "go" if lines:
                    lines.pop(0).hang_up()
                case "wait":
                    world.linger()
                    await asyncio.sleep(0)
                case "announce":
                    with suppress(RegistrationConflictError, RegistrationsFullError):
                        world.registry.register(announced(name, call=name, role=role), 3)
                case "pause" | "resume":
                    for session in world.registry.sessions("pbx"):
                        session.pause(None, world.now) if what == "pause" else session.resume(world.now)
            assert world.registry.calls <= 3
            assert all(len(session.streams) <= 2 for session in world.registry.sessions("pbx"))
    calls: dict[str, list[StoredEvent]] = {}
    for event in world.stored:
        calls.setdefault(event.call_id, []).append(event)
    for events in calls.values():
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert (events[0].type, events[-1].type) == ("call.started", "call.ended")
        assert [event.type for event in events].count("call.ended") == 1
        tracks = [msgspec.json.decode(event.body)["data"] for event in events if event.type == "track.started"]
        assert len({track["track"] for track in tracks}) == len(tracks)
        assert msgspec.json.decode(events[-1].body)["data"]["audio_ms"].keys() == {track["track"] for track in tracks}
        marks = [event.type for event in events if event.type in {"call.paused", "call.resumed"}]
        assert marks == ["call.paused", "call.resumed"] * (len(marks) // 2) + ["call.paused"] * (len(marks) % 2)


# What is told before a stream is there.


def foreseen(world: World, call: str | None = None, account: str | None = None) -> RefusalReason | None:
    try:
        world.registry.foresee(Listener(kind="test", name="port", account=account), call, world.now)
    except Refusal as refusal:
        return refusal.reason
    return None


async def test_it_is_foreseen_that_there_is_no_room() -> None:
    async with running() as world:
        assert foreseen(world) is None
        for _ in range(3):
            world.admit()
        assert foreseen(world) is RefusalReason.FULL
        assert foreseen(world, "c") is RefusalReason.FULL
        assert world.counts() == {RefusalReason.FULL: 2}


async def test_it_is_foreseen_that_no_more_calls_are_taken() -> None:
    async with running() as world:
        line = world.admit()
        world.registry.drain()
        assert foreseen(world) is RefusalReason.DRAINING
        line.hang_up()


async def test_a_stream_that_may_be_of_a_call_in_progress_is_given_the_chance() -> None:
    async with running() as world:
        for number in range(3):
            world.admit(f"call-{number}", account="pbx")
        assert foreseen(world, "call-1", "pbx") is None
        assert foreseen(world, None, "pbx") is None, "its metadata may name one"
        assert foreseen(world, "call-7", "pbx") is RefusalReason.FULL
        assert foreseen(world, "call-1", "other") is RefusalReason.FULL
        assert foreseen(world, None, "other") is RefusalReason.FULL
        assert foreseen(world, "call-1") is RefusalReason.FULL
        assert foreseen(world) is RefusalReason.FULL


@pytest.mark.parametrize("came", [False, True])
async def test_so_is_one_that_was_announced_for_one_also_when_it_comes_again(came: bool) -> None:
    async with running() as world:
        for number in range(2 if came else 3):
            world.admit(f"call-{number}", account="pbx")
        world.registry.register(announced("u-1", call="call-1"), 10)
        if came:
            first = world.admit("u-1", account="pbx")
            world.admit("call-2", account="pbx")
            first.hang_up()
        assert foreseen(world, "u-1", "pbx") is None
        assert foreseen(world, "u-2", "pbx") is RefusalReason.FULL
        assert foreseen(world, "u-1", "other") is RefusalReason.FULL


async def test_where_clients_choose_names_nothing_that_was_announced_is_theirs() -> None:
    async with running() as world:
        world.registry.register(announced("u-1", call="call-1"), 10)
        line = world.admit("u-1", takes_announced=False)
        (session,) = world.registry.sessions("pbx")
        assert (session.call_id, session.account) == (line.call_id, None)
        assert [each.stream_id for each in world.registry.registered("u-1", "pbx")] == ["u-1"]


# What a stream asks for itself.


def wishing(world: World, **wishes: Any) -> CallSession:
    offer = world.offer(None)
    line = Line(world, msgspec.structs.replace(offer, started=msgspec.structs.replace(offer.started, wishes=wishes)))
    return next(session for session in world.registry.sessions("") if session.call_id == line.call_id)


async def test_what_a_stream_asks_for_goes_before_its_route() -> None:
    async with running((Route(name="all", language="fr", words=False),)) as world:
        settings = wishing(world, language="de", options={"words": True}).settings
        assert (settings.route, settings.language, settings.transcripts.words) == ("all", "de", True)


async def test_a_label_of_its_own_goes_before_the_routes() -> None:
    async with running((Route(name="all", labels={"inbound": "customer"}),)) as world:
        assert wishing(world, label="vip").settings.labels == {}
        assert wishing(world, language="de").settings.labels == {"inbound": "customer"}


async def test_what_cannot_be_had_is_left_aside_and_told() -> None:
    async with running((Route(name="all", language="fr"),)) as world:
        with capture_logs() as logs:
            settings = wishing(world, language="de-DE", options={"words": True}).settings
        assert (settings.language, settings.transcripts.words) == ("fr", True)
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert "left aside" in warning["event"]
    assert any("language code" in error for error in warning["errors"])
