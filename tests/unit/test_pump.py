from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adapters.complaints import Complaints
from adapters.pump import AHEAD_SECONDS, FRAMES_AT_ONCE, MESSAGES_AT_ONCE, Limits, Pump
from adapters.stream import (
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Encoding,
    Hearing,
    Listener,
    Refusal,
    RefusalReason,
    Remark,
    StreamEnd,
    StreamEnded,
    StreamEvent,
    StreamMessage,
    StreamOffer,
    StreamStarted,
    Track,
    TrackRole,
    Transcript,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Container

STARTED = StreamStarted(stream_id="s", external_call_id="c", tracks=(Track(id="x", role=TrackRole.INBOUND),))
SLIN = AudioFormat(Encoding.L16, 8_000)
FRAME = AudioFrame("x", SLIN, bytes(320))
SECOND = AudioFrame("x", SLIN, bytes(16_000))
DIGIT = DigitPressed("x", "1")
LISTENER = Listener(kind="test", name="port")


class Scripted:
    """Everything round a pump: a wire that means what it is told, a host, a connection and a clock."""

    def __init__(
        self,
        *,
        refusal: RefusalReason | None = None,
        idle_seconds: float | None = None,
        hearing: Hearing = Hearing.NOTHING,
    ) -> None:
        self.hearing = hearing
        self.now = 100.0
        self.meaning: list[StreamEvent] | Exception = []
        self.refusal = refusal
        self.taken: list[tuple[StreamEvent, float]] = []
        self.offers: list[StreamOffer] = []
        self.calls: list[str] = []
        self.fail = self.fail_at_end = False
        self.log_context = {"call_id": "01"}
        self.pump = Pump(
            self,
            listener=LISTENER,
            address="192.0.2.1:5",
            limits=Limits(handshake_seconds=5.0, idle_seconds=idle_seconds),
            host=self,
            peer=self,
            clock=lambda: self.now,
            complaints=Complaints(),
        )

    def hear(self, *events: StreamEvent) -> None:
        self.meaning = list(events)
        self.pump.receive(b"...")

    @property
    def events(self) -> list[StreamEvent]:
        return [event for event, _ in self.taken]

    def receive_data(self, data: bytes) -> list[StreamEvent]:
        assert data == b"..."
        if isinstance(self.meaning, Exception):
            raise self.meaning
        return self.meaning

    def send(self, transcript: Transcript) -> int:
        raise AssertionError(transcript)

    def admit(self, offer: StreamOffer, peer: object, arrived_at: float) -> Scripted:
        assert peer is self
        assert arrived_at == self.now
        self.offers.append(offer)
        if self.refusal:
            raise Refusal(self.refusal)
        return self

    def handle(self, event: StreamEvent, arrived_at: float) -> None:
        self.taken.append((event, arrived_at))
        if self.fail_at_end if isinstance(event, StreamEnded) else self.fail:
            raise RuntimeError("a bug of ours")

    def close(self) -> None:
        self.calls.append("close")


def test_an_admitted_stream_goes_to_its_sink_with_the_time_of_arrival() -> None:
    world = Scripted()
    assert world.pump.waiting
    world.hear(STARTED, FRAME)
    world.now = 100.02
    world.hear(FRAME)
    assert world.taken == [(STARTED, 100.0), (FRAME, 100.0), (FRAME, 100.02)]
    assert world.offers == [StreamOffer(listener=LISTENER, address="192.0.2.1:5", started=STARTED)]
    assert not world.pump.waiting


def test_the_end_comes_once_whoever_says_it_first() -> None:
    world = Scripted()
    world.hear(STARTED, StreamEnded(StreamEnd.STOPPED), FRAME)
    world.pump.end(StreamEnd.HANGUP)
    world.hear(FRAME)
    assert world.events == [STARTED, StreamEnded(StreamEnd.STOPPED)]
    assert world.calls == ["close"]


@given(st.lists(st.sampled_from(["frame", "digit", "end", "wire error", "bug", "tick", "stop"]), max_size=30))
def test_whatever_happens_the_sink_sees_exactly_one_end_and_it_is_last(happenings: list[str]) -> None:
    world = Scripted(idle_seconds=1.0)
    world.hear(STARTED)
    for what in happenings:
        world.now += 0.3
        match what:
            case "frame":
                world.hear(FRAME)
            case "digit":
                world.hear(DIGIT)
            case "end":
                world.hear(StreamEnded(StreamEnd.HANGUP))
            case "wire error":
                world.meaning = WireError("garbage")
                world.pump.receive(b"...")
            case "bug":
                world.fail = True
            case "tick":
                world.pump.tick(world.now)
            case "stop":
                world.pump.end(StreamEnd.SHUTDOWN)
    world.pump.end(StreamEnd.HANGUP)
    ends = [isinstance(event, StreamEnded) for event in world.events]
    assert ends.count(True) == 1
    assert ends[-1]


def test_a_wire_error_ends_the_stream_as_the_peers_fault() -> None:
    world = Scripted()
    world.hear(STARTED)
    world.meaning = WireError("garbage")
    world.pump.receive(b"...")
    assert world.events[-1] == StreamEnded(StreamEnd.PROTOCOL_ERROR, "garbage")
    assert world.calls == ["close"]


def test_what_came_before_the_garbage_counts() -> None:
    world = Scripted()
    world.meaning = WireError("garbage", [STARTED, FRAME])
    world.pump.receive(b"...")
    assert world.events == [STARTED, FRAME, StreamEnded(StreamEnd.PROTOCOL_ERROR, "garbage")]


def test_garbage_before_the_introduction_reaches_nobody() -> None:
    world = Scripted()
    world.meaning = WireError("garbage")
    world.pump.receive(b"...")
    assert world.events == []
    assert world.calls == ["close"]


def test_a_bug_of_ours_ends_one_stream_and_raises_nothing() -> None:
    world = Scripted()
    world.hear(STARTED)
    world.fail = True
    world.hear(FRAME)
    assert world.events[-1] == StreamEnded(StreamEnd.ERROR, "internal error")


def test_a_remark_is_for_the_log_alone() -> None:
    world = Scripted()
    with capture_logs() as logs:
        world.hear(STARTED, Remark("look at its rate"))
    assert world.events == [STARTED]
    assert [(line["event"], line["log_level"]) for line in logs] == [("look at its rate", "warning")]


def test_long_texts_are_a_flood_sooner() -> None:
    world = Scripted()
    world.hear(STARTED, *[StreamMessage("x" * 15 * 1024)] * 13)
    assert world.events[-1] == StreamEnded(StreamEnd.PROTOCOL_ERROR, "too many messages")
    assert world.events.count(StreamMessage("x" * 15 * 1024)) == 12


STAYS = StreamEnded(StreamEnd.STOPPED, stays=True)


def test_a_peer_that_stays_is_closed_by_whoever_took_its_stream_in() -> None:
    world = Scripted()
    world.hear(STARTED, FRAME, STAYS, FRAME)
    assert world.events == [STARTED, FRAME, STAYS]
    assert world.calls == []
    assert world.pump.outcome == STAYS
    world.pump.end(StreamEnd.HANGUP)
    world.pump.tick(1_000.0)
    assert (world.events, world.calls) == ([STARTED, FRAME, STAYS], [])


@pytest.mark.parametrize("trouble", ["refused", "a bug"])
def test_but_by_the_pump_where_nobody_would(trouble: str) -> None:
    world = Scripted(refusal=RefusalReason.FULL if trouble == "refused" else None)
    world.fail_at_end = True
    world.hear(STARTED, STAYS)
    assert world.calls == ["close"]


def test_how_it_ended_can_be_told() -> None:
    world, refused = Scripted(), Scripted(refusal=RefusalReason.FULL)
    assert Scripted().pump.outcome is None
    world.hear(STARTED)
    world.meaning = WireError("garbage")
    world.pump.receive(b"...")
    refused.hear(STARTED)
    assert world.pump.outcome == StreamEnded(StreamEnd.PROTOCOL_ERROR, "garbage")
    assert refused.pump.outcome is RefusalReason.FULL


def test_what_is_odd_about_a_stream_is_told_with_its_call() -> None:
    world = Scripted()
    with capture_logs() as logs:
        world.hear(msgspec.structs.replace(STARTED, remarks=("look at its quotes",)))
    (remark,) = logs
    assert (remark["event"], remark["log_level"], remark["call_id"]) == ("look at its quotes", "warning", "01")


def test_a_refused_stream_is_told_so_and_forgotten() -> None:
    world = Scripted(refusal=RefusalReason.FULL)
    world.hear(STARTED, FRAME)
    world.pump.end(StreamEnd.HANGUP)
    assert world.events == []
    assert world.calls == ["close"]
    assert not world.pump.waiting


def test_who_does_not_introduce_himself_is_sent_away() -> None:
    world = Scripted()
    world.pump.tick(104.9)
    assert world.calls == []
    world.pump.tick(105.1)
    assert world.calls == ["close"]


def test_silence_is_allowed_unless_a_setting_limits_it() -> None:
    patient, strict = Scripted(), Scripted(idle_seconds=10.0)
    for world in (patient, strict):
        world.hear(STARTED)
        world.pump.tick(109.9)
        assert world.calls == []
        world.pump.tick(110.1)
    assert patient.calls == []
    assert strict.events[-1] == StreamEnded(StreamEnd.IDLE)
    assert strict.calls == ["close"]


def test_who_is_ended_for_silence_stays_where_there_is_something_to_tell_him() -> None:
    world = Scripted(idle_seconds=10.0, hearing=Hearing.FINALS)
    world.hear(STARTED)
    world.pump.tick(110.1)
    assert world.events[-1] == StreamEnded(StreamEnd.IDLE, stays=True)
    assert world.calls == []


def told_over(*, surely: bool) -> Scripted:
    """Have a stream that is told at 110 to be over."""
    world = Scripted()
    world.hear(STARTED)
    world.now = 110.0
    world.hear(FRAME)
    world.pump.end_soon(surely=surely)
    return world


def over_at(world: Scripted, *, until: float = 300.0, frames: Container[float] = ()) -> float | None:
    """Tell when a stream is over, if a frame comes at these seconds."""
    while world.pump.outcome is None and world.now < until:
        world.now += 0.25
        if world.now in frames:
            world.hear(FRAME)
        world.pump.tick(world.now)
    assert world.pump.outcome in {None, StreamEnded(StreamEnd.HANGUP)}
    return world.now if world.pump.outcome else None


@pytest.mark.parametrize(
    ("surely", "frames", "over"),
    [
        (True, (), 113.0),
        (False, (), 113.0),
        (True, (112,), 115.0),
        (False, (112,), 115.0),
        (True, range(111, 120), 122.0),  # what is late is heard to its end
        (False, range(111, 120), None),  # what goes on was another one
        (True, range(111, 300), 170.0),
        (False, range(111, 300), None),
    ],
)
def test_what_is_told_to_be_over_ends_once_nothing_more_comes(
    *, surely: bool, frames: Container[float], over: float | None
) -> None:
    assert over_at(told_over(surely=surely), frames=frames) == over


def test_a_stream_that_went_on_is_another_until_it_is_told_again() -> None:
    world = told_over(surely=False)
    assert over_at(world, until=200.0, frames=range(111, 120)) is None
    world.pump.end_soon(surely=False)
    assert over_at(world) == 203.0


def test_what_is_told_again_does_not_last_longer_but_may_be_surer() -> None:
    world = told_over(surely=True)
    world.now = 112.0
    world.pump.end_soon(surely=False)
    assert over_at(world) == 113.0
    world = told_over(surely=False)
    assert over_at(world, until=112.0, frames=range(111, 300)) is None
    world.pump.end_soon(surely=True)
    assert over_at(world, frames=range(111, 300)) == 172.0


def test_a_peer_may_end_before_it_must() -> None:
    world = told_over(surely=True)
    world.hear(StreamEnded(StreamEnd.STOPPED))
    world.pump.tick(113.0)
    assert world.events[-1] == StreamEnded(StreamEnd.STOPPED)
    assert world.calls == ["close"]


def test_an_end_that_overtakes_something_waits_for_it() -> None:
    world = Scripted()
    world.hear(STARTED, StreamEnded(StreamEnd.HANGUP, overtakes=True), FRAME)
    assert over_at(world) == 103.0
    assert world.events[-2:] == [FRAME, StreamEnded(StreamEnd.HANGUP)]


def test_what_the_stream_is_is_known_once_it_was_told() -> None:
    world = Scripted()
    assert world.pump.started is None
    world.hear(STARTED)
    assert world.pump.started == STARTED


def test_audio_faster_than_life_is_taken_for_a_minute_and_then_dropped_with_one_warning() -> None:
    world = Scripted()
    with capture_logs() as logs:
        world.hear(STARTED, *[SECOND] * (int(AHEAD_SECONDS) + 10))
        assert world.events.count(SECOND) == AHEAD_SECONDS
        world.now += 3.0
        world.hear(*[SECOND] * 5)
    assert world.events.count(SECOND) == AHEAD_SECONDS + 3
    assert world.calls == []
    (warning,) = logs
    assert "faster than anybody can speak" in warning["event"]
    assert warning["call_id"] == "01"


def test_a_late_burst_is_no_flood() -> None:
    world = Scripted()
    world.hear(STARTED)
    world.now = 130.0
    world.hear(*[SECOND] * 30)
    assert world.calls == []


def test_two_tracks_may_bring_twice_the_audio() -> None:
    world = Scripted()
    tracks = (Track(id="x", role=TrackRole.INBOUND), Track(id="y", role=TrackRole.OUTBOUND))
    started = StreamStarted(stream_id="s", external_call_id="c", tracks=tracks)
    world.hear(started, *[SECOND] * 119)
    assert world.events.count(SECOND) == 119


def test_a_flood_of_frames_ends_the_stream() -> None:
    world = Scripted()
    world.hear(STARTED, *[AudioFrame("x", SLIN, b"..")] * int(FRAMES_AT_ONCE))
    assert world.events[-1] == StreamEnded(StreamEnd.PROTOCOL_ERROR, "too many frames")


def test_packets_of_ten_milliseconds_are_never_a_flood() -> None:
    world = Scripted()
    world.hear(STARTED)
    for _ in range(3 * int(FRAMES_AT_ONCE)):
        world.now += 0.01
        world.hear(AudioFrame("x", SLIN, bytes(160)))
    assert not any(isinstance(event, StreamEnded) for event in world.events)


def test_a_flood_of_digits_ends_the_stream() -> None:
    world = Scripted()
    world.hear(STARTED, *[DIGIT] * (int(MESSAGES_AT_ONCE) + 1))
    assert world.events[-1] == StreamEnded(StreamEnd.PROTOCOL_ERROR, "too many messages")


def test_fingers_are_never_a_flood_also_while_somebody_speaks() -> None:
    world = Scripted()
    world.hear(STARTED)
    for frame in range(50 * 400):
        world.now += 0.02
        world.hear(FRAME, *([DIGIT] if frame % 5 == 0 else []))
    assert world.events.count(DIGIT) == 10 * 400
