from __future__ import annotations

import asyncio
import tracemalloc
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.stream import (
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Encoding,
    Flush,
    Hearing,
    Listener,
    StreamEnd,
    StreamEnded,
    StreamEvent,
    StreamMessage,
    StreamOffer,
    StreamStarted,
    Track,
    TrackRole,
)
from asr import speech
from asr.policy import Limits
from asr.scheduler import Scheduler
from asr.spool import CHUNK_BYTES, Slip, Spool
from asr.types import ModelErrorCode
from config.settings import Calls, Models, Settings, Speech, Transcripts
from gateway.means import Means, NoInterims
from gateway.publishing import FOUND_LIMIT
from gateway.routes import Facts, Routes
from gateway.session import CallSession
from gateway.tracks import CallTrack
from tests.fakes import FakeEngine, Telephone
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.delivery.recipients import Recipient
    from gateway.events import StoredEvent
    from gateway.means import Interims
    from gateway.streams import CallStream

SPEECH = prompt("conf-onlyperson")
SLIN = AudioFormat(Encoding.L16, 8_000)
INBOUND = Track(id="inbound", role=TrackRole.INBOUND, label="customer")
OUTBOUND = Track(id="outbound", role=TrackRole.OUTBOUND)


class Stream(Telephone):
    """Another stream of the same call."""

    sink: CallStream

    def __init__(self, world: World, track: str) -> None:
        super().__init__()
        self.world = world
        self.track = track

    def say(self, pcm: bytes) -> None:
        self.world.say(pcm, self.track, self.sink)

    def hang_up(self) -> None:
        self.sink.handle(StreamEnded(StreamEnd.HANGUP), self.world.now)


class World:
    """One session with a clock that the test moves, and a store that is a list."""

    def __init__(
        self,
        engine: FakeEngine | None = None,
        *,
        tracks: tuple[Track, ...] = (INBOUND,),
        calls: Calls = Calls(linger_seconds=1.0, finish_seconds=0.2),  # noqa: B008  frozen
        models: Models = Models(),  # noqa: B008  frozen
        interims: Interims = NoInterims(),  # noqa: B008  has no state
        limits: Limits | None = None,
        spool: Spool | None = None,
        speech: Speech = Speech(),  # noqa: B008  frozen
        transcripts: Transcripts = Transcripts(),  # noqa: B008  frozen
        hearing: Hearing = Hearing.NOTHING,
    ) -> None:
        self.now = 50.0
        self.engine = engine or FakeEngine()
        self.stored: list[StoredEvent] = []
        self.store_open = asyncio.Event()
        self.store_open.set()
        self.phone = Telephone(hearing)
        self.broken = False
        self.scheduler = Scheduler(self.engine, clock=lambda: self.now, limits=limits, spool=spool)
        settings = Settings(calls=calls, models=models, speech=speech, transcripts=transcripts)
        means = Means(
            settings=settings,
            decoder=self.scheduler,
            publish=self._publish,
            interims=interims,
            clock=lambda: self.now,
            wall=lambda: 1_700_000_000 + self.now,
        )
        self.started = StreamStarted(
            stream_id="s", external_call_id="c", tracks=tracks, parameters={"queue": "support"}
        )
        self.settings = Routes(settings).choose(Facts(adapter="test", listener="port"))
        offer = self.offer(self.started)
        self.session = CallSession("call", offer, self.settings, means, self.now)
        self.stream = self.session.join(offer, self.phone, self.settings, self.now)

    def offer(self, started: StreamStarted) -> StreamOffer:
        return StreamOffer(listener=Listener(kind="test", name="port"), address="192.0.2.1:5", started=started)

    def join(self, *, parameters: dict[str, str] | None = None, track: Track = OUTBOUND) -> Stream:
        """Let a second stream come."""
        started = StreamStarted(stream_id="t", external_call_id="c", tracks=(track,), parameters=parameters or {})
        other = Stream(self, track.id)
        other.sink = self.session.join(self.offer(started), other, self.settings, self.now)
        other.sink.handle(started, self.now)
        return other

    async def _publish(self, event: StoredEvent, _recipients: Sequence[Recipient]) -> None:
        await self.store_open.wait()
        if self.broken:
            raise RuntimeError("the store is broken")
        self.stored.append(event)

    @property
    def closed(self) -> bool:
        return self.phone.closed

    def say(self, pcm: bytes, track: str = "inbound", stream: CallStream | None = None) -> None:
        for start in range(0, len(pcm), 320):
            self.now += 0.02
            (stream or self.stream).handle(AudioFrame(track, SLIN, pcm[start : start + 320]), self.now)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.session.tick(self.now)

    async def run(self) -> list[dict[str, Any]]:
        """Let the call come to its end; give its events."""
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            serving = group.create_task(self.scheduler.run())
            await self.session.run()
            serving.cancel()
        return self.events

    @property
    def events(self) -> list[dict[str, Any]]:
        bodies = [msgspec.json.decode(event.body) for event in self.stored]
        return [{"type": body["type"], **body["data"]} for body in bodies]


def of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


async def test_a_call_from_beginning_to_end() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.say(SPEECH)
    world.wait(1.0)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    world.wait(1.1)
    events = await world.run()
    assert [event["type"] for event in events] == ["call.started", "track.started", "transcript.final", "call.ended"]
    assert events[0]["parameters"] == events[-1]["parameters"] == {"queue": "support"}
    assert (events[1]["track"], events[1]["role"], events[1]["label"]) == ("inbound", "inbound", "customer")
    assert events[2]["start_time"].startswith("2023-11-14T22:14:10")
    assert events[2]["utterance_id"] == "call_inbound_1"
    assert events[-1]["duration_ms"] == pytest.approx(len(SPEECH) / 16 + 1000, abs=20)


def stamped(delays_ms: Sequence[float], lost: range = range(0)) -> World:
    """Let two speak by a stamped wire, the second 1,240 ms after the first; each frame of both comes so late."""
    world = World(tracks=(INBOUND, OUTBOUND))
    world.stream.handle(world.started, world.now)
    zero, arrived_ms, ticks = world.now, 0.0, 0
    voices = {"inbound": bytes(50 * 320) + SPEECH, "outbound": bytes(112 * 320) + SPEECH}
    for number, delay_ms in enumerate(delays_ms):
        arrived_ms = max(arrived_ms, 20 * number + 20 + delay_ms)
        while ticks * 100 < arrived_ms:
            world.session.tick(zero + ticks / 10)
            ticks += 1
        world.now = zero + arrived_ms / 1000
        for track, pcm in voices.items():
            payload = pcm[number * 320 : (number + 1) * 320]
            if track == "inbound" or number not in lost:
                frame = AudioFrame(track, SLIN, payload + bytes(320 - len(payload)), 155 + 20 * number)
                world.stream.handle(frame, world.now)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    world.wait(1.1)
    return world


async def spans(world: World) -> dict[str, tuple[int, int]]:
    finals = of(await world.run(), "transcript.final")
    return {final["track"]: (final["start_ms"], final["end_ms"]) for final in finals}


IN_TIME = [0.0] * (112 + len(SPEECH) // 320 + 50)


@pytest.mark.parametrize("seed", range(4))
async def test_both_speakers_of_a_stamped_stream_stand_where_their_stamps_say(seed: int) -> None:
    delays_ms = np.random.default_rng(seed).exponential(60, len(IN_TIME)).clip(0, 180)
    delays_ms[0], delays_ms[30 + seed] = 0, 150
    late = stamped(delays_ms.tolist(), lost=range(30 + seed))  # its first is late
    there, heard = await spans(stamped(IN_TIME)), await spans(late)
    assert there["inbound"][0] == pytest.approx(1_000, abs=200), "its first word is not loud at once"
    for track in ("inbound", "outbound"):
        assert heard[track] == pytest.approx(there[track], abs=20)
    assert heard["outbound"][0] - heard["inbound"][0] == pytest.approx(1_240, abs=20)
    assert late.events[-1]["gap_ms"] == {"inbound": 0, "outbound": pytest.approx(20 * (30 + seed), abs=20)}


async def test_so_does_who_speaks_some_time_after_a_stall_whose_audio_came_late() -> None:
    delays_ms = IN_TIME.copy()
    delays_ms[5:35] = [20.0 * (35 - number) for number in range(5, 35)]
    there, heard = await spans(stamped(IN_TIME)), await spans(stamped(delays_ms))
    assert heard["outbound"] == pytest.approx(there["outbound"], abs=20)


@pytest.mark.parametrize(
    ("condition", "confidence", "told"),
    [
        (True, 0.9, ["Hello.", "Hello. One thing."]),
        (True, 0.3, ["Hello.", "Hello."]),
        (False, 0.9, ["Hello.", "Hello."]),
    ],
)
async def test_a_final_that_the_model_was_sure_of_is_what_the_next_goes_on_from(
    condition: bool, confidence: float, told: list[str]
) -> None:
    engine = FakeEngine(text=lambda _: "One thing.", confidence=confidence)
    world = World(engine, models=Models(condition_on_previous_text=condition))
    for track in world.stream.tracks.values():
        options = msgspec.structs.replace(track.settings.decode, initial_prompt="Hello.")
        track.settings = msgspec.structs.replace(track.settings, decode=options)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(world.run())
        for number in (1, 2):
            world.say(SPEECH)
            world.wait(1.0)
            while len(of(world.events, "transcript.final")) < number:  # noqa: ASYNC110  the store is a list
                await asyncio.sleep(0)
        world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
        world.wait(1.1)
        await running
    assert [request.options.initial_prompt for request in engine.begun] == told


async def test_the_delay_is_told_from_the_arrival_of_the_last_speech() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.say(SPEECH)
    spoken = world.now
    world.wait(1.0)
    world.session.end(StreamEnd.ADMIN)
    world.now = spoken + 2.0
    (final,) = of(await world.run(), "transcript.final")
    assert final["latency_ms"] == pytest.approx(2000 + (len(SPEECH) / 16 - final["end_ms"]), abs=40)


async def test_audio_that_waits_on_disk_lies_nowhere_in_memory(tmp_path: Path) -> None:
    engine, spool, size = FakeEngine(held=True), Spool(lambda: tmp_path, 200 * CHUNK_BYTES), len(SPEECH) * 2
    world = World(engine, limits=Limits(track=2 * size), spool=spool)
    world.stream.handle(world.started, world.now)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(world.run())
        tracemalloc.start()
        for _ in range(12):
            world.say(SPEECH)
            world.wait(1.0)
        while spool.kept_bytes < 9 * size:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0)
        await spool.read(Slip((), 0))  # comes after what was to be written
        audio = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(inclusive=True, filename_pattern=speech.__file__)]
        )
        tracemalloc.stop()
        assert sum(trace.size for trace in audio.traces) < 5 * size
        world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
        world.wait(1.1)
        await engine.let_go()
        await running
    assert len(of(world.events, "transcript.final")) == 12


async def test_what_has_no_room_even_on_disk_is_named_with_its_span(tmp_path: Path) -> None:
    engine, size = FakeEngine(held=True), len(SPEECH) * 2
    spool = Spool(lambda: tmp_path, 5 * CHUNK_BYTES)  # room for one, and memory for another
    world = World(engine, limits=Limits(track=2 * size), spool=spool)
    world.stream.handle(world.started, world.now)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(world.run())
        for _ in range(6):
            world.say(SPEECH)
            world.wait(1.0)
        await engine.wait_begun(1)
        world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
        world.wait(1.1)
        await engine.let_go()
        await running
    failed, finals = of(world.events, "transcript.failed"), of(world.events, "transcript.final")
    assert {event["reason"] for event in failed} == {"overloaded"}
    spans = sorted((event["start_ms"], event["end_ms"]) for event in (*failed, *finals))
    assert (len(spans), len(finals) >= 2) == (6, True)
    assert all(before[1] < after[0] for before, after in pairwise(spans)), "each has a span of its own"
    assert world.events[-1]["failed"] == len(failed) > 0


async def test_a_call_lingers_after_its_last_stream() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.stream.handle(StreamEnded(StreamEnd.STOPPED), world.now)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(world.run())
        world.wait(0.9)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not running.done()
        world.wait(0.2)
    assert world.events[-1]["reason"] == "stopped"


async def test_a_flush_gives_what_was_said_so_far_and_the_call_goes_on() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.say(SPEECH[: len(SPEECH) // 2])
    world.stream.handle(Flush(), world.now)
    world.say(SPEECH)
    world.session.end(StreamEnd.ADMIN)
    events = await world.run()
    assert len(of(events, "transcript.final")) == 2


async def test_two_tracks_each_have_their_words() -> None:
    world = World(tracks=(INBOUND, OUTBOUND))
    world.stream.handle(world.started, world.now)
    world.say(SPEECH, "inbound")
    world.say(SPEECH, "outbound")
    world.wait(1.0)
    world.session.end(StreamEnd.ADMIN)
    events = await world.run()
    assert [event["track"] for event in of(events, "track.started")] == ["inbound", "outbound"]
    first, second = sorted(of(events, "transcript.final"), key=lambda final: final["start_ms"])
    assert (first["track"], first["label"], second["track"], second["label"]) == (
        "inbound",
        "customer",
        "outbound",
        None,
    )
    assert events[-1]["audio_ms"].keys() == events[-1]["gap_ms"].keys() == {"inbound", "outbound"}


async def test_text_from_the_peer_is_an_event_but_not_while_the_call_is_paused() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    other = world.join()
    world.now += 1.5
    other.sink.handle(StreamMessage('{"step":1}'), world.now)
    world.session.pause("card entry", world.now)
    world.stream.handle(StreamMessage("4111 1111"), world.now)
    world.session.resume(world.now)
    world.stream.handle(StreamMessage("done"), world.now)
    world.session.end(StreamEnd.ADMIN)
    messages = of(await world.run(), "call.message")
    assert [(each["text"], each["at_ms"], each["source"]["stream_id"]) for each in messages] == [
        ('{"step":1}', 1_500, "t"),
        ("done", 1_500, "s"),
    ]


async def test_a_second_stream_is_heard_on_the_calls_clock() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.wait(5.0)
    other = world.join(parameters={"queue": "other", "agent": "7"})
    other.say(SPEECH)
    world.wait(1.0)
    other.hang_up()
    world.stream.handle(StreamEnded(StreamEnd.STOPPED), world.now)
    world.wait(1.1)
    events = await world.run()
    (final,) = of(events, "transcript.final")
    assert (final["track"], final["role"]) == ("outbound", "outbound")
    assert final["source"]["stream_id"] == "t"
    assert final["start_ms"] == pytest.approx(5_000, abs=400)
    assert events[0]["source"]["stream_id"] == events[-1]["source"]["stream_id"] == "s"
    assert events[0]["parameters"] == {"queue": "support"}
    assert events[-1]["parameters"] == {"queue": "support", "agent": "7"}
    assert events[-1]["reason"] == "stopped"
    assert [(track["track"], track["duplicate"]) for track in of(events, "track.started")] == [
        ("inbound", False),
        ("outbound", False),
    ]


async def test_a_call_goes_on_while_one_of_its_streams_does() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    other = world.join()
    world.stream.handle(StreamEnded(StreamEnd.STOPPED), world.now)
    world.wait(5.0)
    opens = [world.session.open]
    other.say(SPEECH)
    other.hang_up()
    world.wait(1.1)
    assert [*opens, world.session.open] == [True, False]
    events = await world.run()
    assert len(of(events, "transcript.final")) == 1
    assert events[-1]["reason"] == "hangup"


async def test_who_comes_back_in_time_goes_on_in_the_same_call() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.say(SPEECH)
    world.stream.handle(StreamEnded(StreamEnd.CONNECTION_LOST), world.now)
    world.wait(0.5)
    again = world.join(track=INBOUND)
    again.say(SPEECH)
    again.hang_up()
    world.wait(1.1)
    events = await world.run()
    first, second = of(events, "transcript.final")
    assert (first["track"], second["track"]) == ("inbound", "inbound-2")
    assert first["end_ms"] < second["start_ms"]
    assert first["utterance_id"] != second["utterance_id"]
    assert [track["duplicate"] for track in of(events, "track.started")] == [False, False]
    assert events[-1]["audio_ms"].keys() == {"inbound", "inbound-2"}


async def test_a_speaker_who_is_carried_already_is_not_decoded_twice() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    other = world.join(track=INBOUND)
    other.say(SPEECH)
    other.sink.handle(DigitPressed("inbound", "1"), world.now)
    world.session.end(StreamEnd.ADMIN)
    assert other.closed
    events = await world.run()
    assert [(each["track"], each["duplicate"]) for each in of(events, "track.started")] == [
        ("inbound", False),
        ("inbound-2", True),
    ]
    assert of(events, "transcript.final") == of(events, "call.digit") == []
    assert events[-1]["audio_ms"]["inbound-2"] == pytest.approx(len(SPEECH) / 16, abs=20)
    assert events[-1]["utterances"] == 0


async def test_two_of_one_role_and_different_labels_are_two_speakers() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    other = world.join(track=Track(id="inbound", role=TrackRole.INBOUND, label="supervisor"))
    other.say(SPEECH)
    world.session.end(StreamEnd.ADMIN)
    events = await world.run()
    assert [(each["track"], each["label"]) for each in of(events, "transcript.final")] == [("inbound-2", "supervisor")]


async def test_a_duplicate_is_decoded_once_the_other_stream_is_gone() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    other = world.join(track=INBOUND)
    world.say(SPEECH)
    world.wait(0.3)
    other.say(SPEECH)
    world.wait(0.3)
    world.stream.handle(StreamEnded(StreamEnd.CONNECTION_LOST), world.now)
    back = (world.now - 50.0) * 1000
    other.say(SPEECH)
    other.sink.handle(DigitPressed("inbound", "1"), world.now)
    other.hang_up()
    world.wait(1.1)
    events = await world.run()
    first, second = of(events, "transcript.final")
    assert (first["track"], second["track"]) == ("inbound", "inbound-2")
    assert second["start_ms"] == pytest.approx(back, abs=250)
    assert [each["track"] for each in of(events, "call.digit")] == ["inbound-2"]


async def test_a_duplicate_is_decoded_where_a_setting_asks_for_it() -> None:
    world = World(calls=Calls(decode_duplicates=True))
    world.stream.handle(world.started, world.now)
    world.join(track=INBOUND).say(SPEECH)
    world.session.end(StreamEnd.ADMIN)
    events = await world.run()
    assert [each["track"] for each in of(events, "transcript.final")] == ["inbound-2"]
    assert of(events, "track.started")[1]["duplicate"] is True


async def test_what_is_said_and_pressed_in_a_pause_is_neither_decoded_nor_kept() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.say(SPEECH)
    world.session.pause("card entry", world.now)
    world.session.pause("again", world.now)
    for _ in range(20):  # frames and ticks, as in a call
        world.say(SPEECH[:3200])
        world.wait(0.1)
    world.stream.handle(DigitPressed("inbound", "4"), world.now)
    world.session.resume(world.now)
    world.session.resume(world.now)
    resumed = world.now
    world.say(SPEECH)
    world.stream.handle(DigitPressed("inbound", "5"), world.now)
    world.session.end(StreamEnd.ADMIN)
    events = await world.run()
    first, second = of(events, "transcript.final")
    paused, back = of(events, "call.paused"), of(events, "call.resumed")
    assert [each["reason"] for each in paused] == ["card entry"]
    assert len(back) == 1
    assert first["end_ms"] <= paused[0]["at_ms"] == pytest.approx(len(SPEECH) / 16, abs=30)
    assert back[0]["at_ms"] == pytest.approx((resumed - 50.0) * 1000, abs=2)
    assert second["start_ms"] >= back[0]["at_ms"]
    assert [each["digit"] for each in of(events, "call.digit")] == ["5"]
    assert events[-1]["audio_ms"]["inbound"] == pytest.approx(2 * len(SPEECH) / 16, abs=30)
    pcm = b"".join(request.audio for request in world.engine.begun)
    assert len(pcm) / 32 < 2 * (len(SPEECH) / 16 + 600)


async def test_what_was_said_in_a_pause_and_comes_after_it_is_not_heard() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.session.pause(None, world.now)
    world.wait(5.0)
    world.session.resume(world.now)
    for start in range(0, len(SPEECH), 320):  # a connection that had stalled
        world.stream.handle(AudioFrame("inbound", SLIN, SPEECH[start : start + 320]), world.now + 0.1)
    world.wait(1.0)
    world.say(SPEECH)
    world.session.end(StreamEnd.ADMIN)
    events = await world.run()
    (final,) = of(events, "transcript.final")
    assert final["start_ms"] >= 5_800
    assert events[-1]["audio_ms"]["inbound"] == pytest.approx(len(SPEECH) / 16 + 100, abs=30)


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.3, 5.0])
async def test_what_is_said_after_a_pause_is_after_it_on_the_clock(seconds: float) -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.say(SPEECH)
    world.session.pause(None, world.now)
    world.wait(seconds)
    world.session.resume(world.now)
    world.say(SPEECH)
    world.session.end(StreamEnd.ADMIN)
    events = await world.run()
    (resumed,) = of(events, "call.resumed")
    *_, last = of(events, "transcript.final")
    assert last["start_ms"] >= resumed["at_ms"]


async def test_a_pause_holds_even_when_what_was_said_cannot_be_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.stream.handle(world.started, world.now)

    def broken(_track: CallTrack) -> None:
        raise RuntimeError("a bug of ours")

    with monkeypatch.context() as patch:
        patch.setattr(CallTrack, "finish", broken)
        world.session.pause(None, world.now)
    world.say(SPEECH)
    world.session.end(StreamEnd.ADMIN)
    events = await world.run()
    assert world.engine.begun == []
    assert len(of(events, "call.paused")) == 1


async def test_what_waits_for_the_store_is_not_decoded_after_the_time_is_over() -> None:
    world = World(calls=Calls(linger_seconds=0.0, finish_seconds=600))
    world.store_open.clear()
    world.stream.handle(world.started, world.now)
    world.say(SPEECH)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(world.run())
        await asyncio.sleep(0)
        world.session.end(StreamEnd.SHUTDOWN, finish_seconds=0.0)
        await asyncio.sleep(0.01)
        await world.engine.hold()
        world.store_open.set()
        events = await running
    assert [event["reason"] for event in of(events, "transcript.failed")] == ["deadline"]


async def test_a_call_that_is_over_cannot_be_paused() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.session.end(StreamEnd.ADMIN)
    world.session.pause(None, world.now)
    world.session.resume(world.now)
    assert [event["type"] for event in await world.run()] == ["call.started", "track.started", "call.ended"]


async def test_who_joins_a_paused_call_is_not_heard_either() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.session.pause(None, world.now)
    world.join().say(SPEECH)
    world.session.end(StreamEnd.ADMIN)
    events = await world.run()
    assert world.engine.begun == []
    assert events[-1]["audio_ms"] == {"inbound": 0, "outbound": 0}


async def test_ending_a_call_closes_its_connection_and_is_its_reason() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.session.end(StreamEnd.SHUTDOWN)
    world.session.end(StreamEnd.ADMIN)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    assert world.closed
    assert (await world.run())[-1]["reason"] == "shutdown"


async def test_an_end_in_a_hurry_overtakes_one_that_takes_its_time() -> None:
    world = World(FakeEngine(held=True))
    world.stream.handle(world.started, world.now)
    world.say(SPEECH)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    world.session.end(StreamEnd.SHUTDOWN, finish_seconds=0.0)
    events = await world.run()
    assert [event["reason"] for event in events[2:]] == ["deadline", "hangup"]


async def test_a_bug_in_a_call_is_its_end_and_not_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.say(SPEECH + bytes(16_000))

    def broken(_request: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(world.scheduler, "submit", broken)
    monkeypatch.setattr(world.scheduler, "promote", broken)
    events = await world.run()
    assert events[-1]["type"] == "call.ended"
    assert (events[-1]["reason"], events[-1]["error"]["message"]) == ("error", "internal error")
    assert (events[-1]["utterances"], events[-1]["failed"]) == (1, 1)
    (failed,) = of(events, "transcript.failed")
    assert failed["error"] == {"code": "model_failed", "message": "the call broke off"}
    assert world.closed


async def test_a_bug_at_the_end_of_a_stream_does_not_keep_the_call_from_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.stream.handle(world.started, world.now)

    def broken(_track: CallTrack) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(CallTrack, "finish", broken)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    world.wait(1.2)
    assert (await world.run())[-1]["reason"] == "error"


async def test_what_comes_after_the_end_does_not_count() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.session.end(StreamEnd.ADMIN)
    world.say(SPEECH)
    world.stream.handle(DigitPressed("inbound", "1"), world.now)
    events = await world.run()
    assert [event["type"] for event in events] == ["call.started", "track.started", "call.ended"]
    assert events[-1]["audio_ms"] == {"inbound": 0}


async def test_a_call_whose_beginning_cannot_be_stored_is_broken_off() -> None:
    world = World()
    world.stream.handle(world.started, world.now)
    world.broken = True
    with pytest.raises(RuntimeError, match="the store is broken"):
        await world.session.run()
    assert world.closed


async def test_a_store_that_stands_still_bounds_what_a_call_may_find() -> None:
    world = World()
    world.store_open.clear()
    world.stream.handle(world.started, world.now)
    for _ in range(2 * FOUND_LIMIT):
        world.stream.handle(DigitPressed("inbound", "1"), world.now)
    assert world.closed
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(world.run())
        world.wait(1.1)
        world.store_open.set()
        while not running.done():
            world.wait(0.1)
            await asyncio.sleep(0)
    ended = world.events[-1]
    assert (ended["type"], ended["reason"]) == ("call.ended", "limit")
    assert len(of(world.events, "call.digit")) == FOUND_LIMIT - 1
    assert [event["sequence"] for event in world.events] == list(range(1, len(world.events) + 1))


Happening = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(["inbound", "outbound"]), st.integers(1, 150)),
    st.tuples(st.just("wait"), st.just(""), st.integers(1, 20)),
    st.tuples(st.just("digit"), st.sampled_from(["inbound", "outbound"]), st.integers(1, 3)),
    st.tuples(st.just("flush"), st.just(""), st.just(1)),
)


@settings(max_examples=40)
@given(
    happenings=st.lists(Happening, max_size=12),
    codes=st.dictionaries(st.integers(1, 6), st.sampled_from([ModelErrorCode.CRASHED, ModelErrorCode.FAILED])),
    mute=st.booleans(),
)
async def test_whatever_happens_the_record_is_complete(
    happenings: list[tuple[str, str, int]], codes: dict[int, ModelErrorCode], mute: bool
) -> None:
    world = World(FakeEngine(script=codes, text=(lambda _request: "") if mute else None), tracks=(INBOUND, OUTBOUND))
    world.stream.handle(world.started, world.now)
    for what, track, count in happenings:
        event: StreamEvent
        match what:
            case "say":
                world.say(SPEECH[: 320 * count], track)
            case "wait":
                world.wait(count / 10)
            case "digit":
                for _ in range(count):
                    event = DigitPressed(track, "5")
                    world.stream.handle(event, world.now)
            case "flush":
                world.stream.handle(Flush(), world.now)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    world.wait(1.2)
    events = await world.run()

    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("call.ended") == 1
    assert (events[0]["type"], events[-1]["type"]) == ("call.started", "call.ended")
    ended, finals, failed = events[-1], of(events, "transcript.final"), of(events, "transcript.failed")
    assert ended["last_sequence"] == len(events)
    assert ended["utterances"] == len(finals) + len(failed) + sum(ended["suppressed"].values())
    assert ended["failed"] == len(failed)
    assert len(of(events, "call.digit")) == sum(count for what, _, count in happenings if what == "digit")
    spoken = finals + failed
    assert len({event["utterance_id"] for event in spoken}) == len(spoken)
    assert all(0 <= event["start_ms"] < event["end_ms"] for event in spoken)
    for track in ("inbound", "outbound"):
        ends = [event["end_ms"] for event in events if event.get("utterance_id") and event["track"] == track]
        assert ends == sorted(ends)
