"""What is told to the peer that a stream came from, by the same socket, and when its connection is closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.stream import Hearing, StreamEnd, StreamEnded
from asr.types import ModelErrorCode
from tests.fakes import FakeEngine, Telephone
from tests.unit.test_auto_end import until
from tests.unit.test_record import HEARD, SILENCE
from tests.unit.test_record import World as RecordWorld
from tests.unit.test_session import SPEECH, World, of
from tests.utterances import spoken

if TYPE_CHECKING:
    from adapters.stream import Transcript

PAUSE = bytes(16_000)
STAYS = StreamEnded(StreamEnd.STOPPED, stays=True)


def told(peer: Telephone) -> list[dict[str, Any]]:
    return [msgspec.json.decode(transcript.data) for transcript in peer.sent]


class Order(Telephone):
    """A peer that notes down what happens to it, one after the other."""

    def __init__(self) -> None:
        super().__init__(Hearing.FINALS)
        self.happened: list[str] = []

    def send(self, transcript: Transcript) -> int:
        self.happened.append("final" if transcript.final else "interim")
        return 0

    def close(self) -> None:
        self.happened.append("close")


async def test_a_final_goes_back_as_the_public_has_it_and_nothing_else_does() -> None:
    world = World(hearing=Hearing.FINALS)
    world.stream.handle(world.started, world.now)
    world.say(SPEECH + PAUSE + SPEECH)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    world.wait(1.2)
    finals = of(await world.run(), "transcript.final")
    assert told(world.phone) == [{key: value for key, value in each.items() if key != "type"} for each in finals]
    assert [transcript.final for transcript in world.phone.sent] == [True, True]
    assert [transcript.utterance_id for transcript in world.phone.sent] == [each["utterance_id"] for each in finals]


@pytest.mark.parametrize("hearing", [Hearing.NOTHING, Hearing.FINALS])
async def test_a_peer_is_sent_what_it_wants_and_no_more(hearing: Hearing) -> None:
    world, peer = RecordWorld(), Telephone(hearing)
    await world.record.started({})
    said = spoken(peer=peer)
    assert world.record.interim(said, HEARD, revision=1, stable_chars=0), "the endpoint wants it"
    await world.record.final(said, HEARD)
    assert [transcript.final for transcript in peer.sent] == ([True] if hearing is Hearing.FINALS else [])


async def test_an_interim_goes_back_though_no_endpoint_wants_any() -> None:
    world, peer = RecordWorld(recipients=()), Telephone(Hearing.INTERIMS)
    peer.sheds = 1
    await world.record.started({})
    said = spoken(peer=peer)
    assert world.record.interim(said, HEARD, revision=1, stable_chars=3)
    assert world.record.interim(said, HEARD, revision=2, stable_chars=4)
    await world.record.final(said, HEARD)
    assert [(transcript.final, transcript.utterance_id) for transcript in peer.sent] == [
        (False, said.utterance_id),
        (False, said.utterance_id),
        (True, said.utterance_id),
    ]
    assert [each.get("stable_chars") for each in told(peer)] == [3, 4, None]
    assert (await world.end())["interims_shed"] == 3 + 3  # those of the endpoints are the screen's


async def test_what_is_late_or_empty_does_not_go_back() -> None:
    world, peer = RecordWorld(recipients=()), Telephone(Hearing.INTERIMS)
    said = spoken(peer=peer)
    assert not world.record.interim(said, HEARD, revision=1, stable_chars=0), "nobody knows of the call yet"
    await world.record.started({})
    await world.record.final(said, SILENCE)
    assert not world.record.interim(said, HEARD, revision=2, stable_chars=0), "it has come to nothing"
    assert not world.record.interim(spoken(number=3, peer=peer), SILENCE, revision=1, stable_chars=0)
    assert peer.sent == []


async def test_a_final_goes_back_before_it_is_stored() -> None:
    world, peer = RecordWorld(), Telephone(Hearing.FINALS)
    await world.record.started({})
    world.store_open.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(world.record.final(spoken(peer=peer), HEARD))
        await until(lambda: peer.sent)
        assert len(world.stored) == 1
        world.store_open.set()
    assert told(peer)[0]["sequence"] == world.last["sequence"] == 2


async def test_each_stream_is_told_of_its_own_tracks() -> None:
    world = World(hearing=Hearing.FINALS)
    world.stream.handle(world.started, world.now)
    other = world.join()
    other.hearing = Hearing.FINALS
    world.say(SPEECH)
    world.wait(1.0)
    other.say(SPEECH)
    world.session.end(StreamEnd.ADMIN)
    await world.run()
    assert [each["track"] for each in told(world.phone)] == ["inbound"]
    assert [each["track"] for each in told(other)] == ["outbound"]


async def test_a_peer_that_stays_is_closed_when_it_has_been_told_everything() -> None:
    world = World()
    world.session.join(world.offer(world.started), peer := Order(), world.settings, world.now)
    stream = next(each for each in world.session.streams if each.peer is peer)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    world.say(SPEECH + PAUSE + SPEECH, stream=stream)
    stream.handle(STAYS, world.now)
    assert peer.happened == []
    world.wait(1.2)
    events = await world.run()
    assert len(of(events, "transcript.final")) == 2
    assert peer.happened == ["final", "final", "close", "close"]  # to close twice is to close
    assert events[-1]["reason"] == "stopped"


async def test_one_that_stays_in_a_call_that_goes_on_is_closed_in_time() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.session.join(world.offer(world.started), peer := Order(), world.settings, world.now)
    stream = next(each for each in world.session.streams if each.peer is peer)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(world.run())
        world.say(SPEECH, stream=stream)
        stream.handle(STAYS, world.now)
        await until(lambda: "close" in peer.happened)
        assert peer.happened == ["close"], "it is a duplicate, of which there is nothing to tell"
        assert not running.done()
        world.session.end(StreamEnd.ADMIN)


@pytest.mark.parametrize("hearing", list(Hearing))
async def test_what_the_gateway_ends_is_closed_at_once_or_when_it_was_told(hearing: Hearing) -> None:
    world = World(hearing=hearing)
    world.stream.handle(world.started, world.now)
    world.say(SPEECH)
    world.session.end(StreamEnd.SHUTDOWN)
    assert world.closed == (hearing is Hearing.NOTHING)
    await world.run()
    assert world.closed
    assert len(told(world.phone)) == (hearing is not Hearing.NOTHING)


async def test_a_broken_store_keeps_nobody_waiting_to_be_closed() -> None:
    world = World(hearing=Hearing.FINALS)
    world.stream.handle(world.started, world.now)
    world.say(SPEECH)
    world.stream.handle(STAYS, world.now)
    world.broken = True
    with pytest.raises(RuntimeError, match="the store is broken"):
        await world.session.run()
    assert world.closed


@settings(max_examples=30)
@given(
    codes=st.dictionaries(st.integers(1, 4), st.sampled_from([ModelErrorCode.CRASHED, ModelErrorCode.FAILED])),
    mute=st.booleans(),
    utterances=st.integers(0, 3),
    hearing=st.sampled_from([Hearing.FINALS, Hearing.INTERIMS]),
)
async def test_whatever_becomes_of_the_decodes_who_stays_hears_all_finals_and_is_closed(
    codes: dict[int, ModelErrorCode], mute: bool, utterances: int, hearing: Hearing
) -> None:
    world = World(FakeEngine(script=codes, text=(lambda _request: "") if mute else None), hearing=hearing)
    world.stream.handle(world.started, world.now)
    for _ in range(utterances):
        world.say(SPEECH[:16_000] + PAUSE)
    world.stream.handle(STAYS, world.now)
    world.wait(1.2)
    finals = of(await world.run(), "transcript.final")
    assert world.closed
    back = [each for each in told(world.phone) if "end_of_turn" in each]
    assert [each["sequence"] for each in back] == [each["sequence"] for each in finals]
