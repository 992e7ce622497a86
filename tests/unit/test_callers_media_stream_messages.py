from __future__ import annotations

import base64
import itertools
import json
import random
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stream import AudioFormat, Encoding
from gateway.callers.media_stream_names import Stream, new_stream
from gateway.callers.media_stream_plan import FORMATS, TRACKS, Dialect, End, Key, Media, Shape, StreamPlan, steps
from gateway.callers.media_stream_writer import Message, Writer
from gateway.callers.plan import At
from tests import media_stream_captures as captures

STREAM = Stream(account_id="AC1", call_id="CA1", stream_id="MZ1", parameters=(("call_ref", "17"), ("näme", 'a"b')))
MEDIA = Media(track="inbound", stamp_ms=120, payload=b"\xff" * 160)
L16_24 = AudioFormat(Encoding.L16, 24_000)
NUMBERS = ("sequenceNumber", "sequence_number")
HEX, UUID = "[0-9a-f]{32}", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def plan_of(dialect: Dialect, **more: Any) -> StreamPlan:
    return StreamPlan(**{"dialect": dialect, "format": FORMATS[dialect][0], "linger": 0.1, **more})


def said(stream: Stream, plan: StreamPlan, payloads: list[bytes]) -> list[Message]:
    writer = Writer(stream, plan)
    messages = writer.open()
    for step in steps(payloads, plan):
        messages += writer.write(step.what)
    return messages + writer.close()


def read(messages: list[Message]) -> list[dict[str, Any]]:
    return [json.loads(message.text) for message in messages]


def ranked(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count what there is: Telnyx's example leaves messages out."""
    ranks = sorted(int(each["sequence_number"]) for each in told if "sequence_number" in each)
    return [
        {key: ranks.index(int(value)) if key == "sequence_number" else value for key, value in each.items()}
        for each in told
    ]


@pytest.mark.parametrize("name", captures.MADE_BY_US)
def test_a_stream_says_what_its_carrier_does(name: str) -> None:
    """To the letter but for blanks: names, their order, numbers as texts or not, payloads."""
    told, wanted = captures.messages(name), captures.replay(name)
    made = read(said(wanted.stream, wanted.plan, wanted.payloads))
    if wanted.plan.dialect is Dialect.TELNYX:
        told, made = ranked(told), ranked(made)
    assert [json.dumps(each) for each in made] == [json.dumps(each) for each in told]


def test_every_capture_tells_what_is_needed_to_compare_it() -> None:
    kinds = {event for name in captures.MADE_BY_US for event in (each["event"] for each in captures.messages(name))}
    assert kinds == {"connected", "start", "media", "dtmf", "stop"}
    assert {captures.replay(name).plan.dialect for name in captures.MADE_BY_US} == set(Dialect) - {Dialect.SIGNALWIRE}


def test_signalwire_says_what_twilio_does() -> None:
    plan = StreamPlan(linger=0.1, keys=(At(0.15, "#"),))
    theirs = msgspec.structs.replace(plan, dialect=Dialect.SIGNALWIRE)
    assert said(STREAM, plan, [bytes(320)]) == said(STREAM, theirs, [bytes(320)])


@pytest.mark.parametrize(
    ("dialect", "format_", "told"),
    [
        (Dialect.SIGNALWIRE, L16_24, {"encoding": "audio/x-l16", "sampleRate": 24_000, "channels": 1}),
        (Dialect.PLIVO, L16_24, {"encoding": "audio/x-l16", "sampleRate": 24_000}),
        (Dialect.TELNYX, AudioFormat(Encoding.PCMA, 8_000), {"encoding": "PCMA", "sample_rate": 8_000, "channels": 1}),
        (Dialect.EXOTEL, L16_24, {"encoding": "base64", "sample_rate": "24000", "bit_rate": "384kbps"}),
    ],
)
def test_a_start_tells_the_format(dialect: Dialect, format_: AudioFormat, told: dict[str, object]) -> None:
    start = read(Writer(STREAM, StreamPlan(dialect=dialect, format=format_)).open())[-1]["start"]
    assert start.get("mediaFormat", start.get("media_format")) == told


@pytest.mark.parametrize(
    ("dialect", "place"),
    [
        (Dialect.TWILIO, ("start", "customParameters")),
        (Dialect.SIGNALWIRE, ("start", "customParameters")),
        (Dialect.EXOTEL, ("start", "custom_parameters")),
        (Dialect.PLIVO, ("extra_headers",)),
    ],
)
def test_a_start_carries_parameters(dialect: Dialect, place: tuple[str, ...]) -> None:
    found: Any = read(Writer(STREAM, plan_of(dialect)).open())[-1]
    for name in place:
        found = found[name]
    assert (json.loads(found) if dialect is Dialect.PLIVO else found) == {"call_ref": "17", "näme": 'a"b'}


def test_plivo_repeats_its_headers() -> None:
    plan = plan_of(Dialect.PLIVO, keys=(At(0.13, "5"),), end=End.STOP)
    headers = [message["extra_headers"] for message in read(said(STREAM, plan, [bytes(160)]))]
    assert {event["event"] for event in read(said(STREAM, plan, [bytes(160)]))} == {"start", "media", "dtmf", "stop"}
    assert len(set(headers)) == 1


@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        (
            Dialect.TWILIO,
            {
                "event": "dtmf",
                "streamSid": "MZ1",
                "sequenceNumber": "2",
                "dtmf": {"track": "inbound_track", "digit": "#"},
            },
        ),
        (
            Dialect.TELNYX,
            {
                "event": "dtmf",
                "stream_id": "MZ1",
                "occurred_at": "2026-01-02T03:00:01.500000Z",
                "sequence_number": "2",
                "dtmf": {"digit": "#"},
            },
        ),
        (
            Dialect.PLIVO,
            {
                "sequenceNumber": 1,
                "streamId": "MZ1",
                "event": "dtmf",
                "dtmf": {"track": "inbound", "digit": "#", "timestamp": "1767322801500"},
                "extra_headers": "{}",
            },
        ),
        (
            Dialect.EXOTEL,
            {
                "event": "dtmf",
                "sequence_number": "2",
                "stream_sid": "MZ1",
                "dtmf": {"digit": "#", "duration": "200"},
            },
        ),
    ],
)
def test_a_key_is_told_as_the_carrier_does(dialect: Dialect, told: dict[str, object]) -> None:
    writer = Writer(msgspec.structs.replace(STREAM, parameters=()), plan_of(dialect))
    writer.open()
    (key,) = read(writer.write(Key("#", 1_767_322_801_500)))
    assert json.dumps(key) == json.dumps(told)


def test_telnyx_tells_no_client_state_that_it_was_not_told() -> None:
    assert "client_state" not in read(Writer(STREAM, plan_of(Dialect.TELNYX)).open())[-1]["start"]


@pytest.mark.parametrize("dialect", Dialect)
def test_timestamps_can_be_left_out(dialect: Dialect) -> None:
    with_, without = (
        read(said(STREAM, plan_of(dialect, shape=shape), [bytes(1600)])) for shape in (Shape.FULL, Shape.NO_TIMESTAMPS)
    )
    assert [event for event in with_ if event["event"] != "media"] == [e for e in without if e["event"] != "media"]
    for full, bare in zip(with_, without, strict=True):
        if full["event"] == "media":
            assert full["media"].pop("timestamp")
            assert full == bare


def test_the_minimal_shape_has_keys_too() -> None:
    writer = Writer(STREAM, StreamPlan(shape=Shape.MINIMAL))
    assert read(writer.write(Key("5", 0))) == [{"event": "dtmf", "dtmf": {"digit": "5"}}]


@pytest.mark.parametrize(
    ("end", "last"), [(End.STOP, ["media", "stop"]), (End.CLOSE, ["media", "media"]), (End.BREAK, ["media", "media"])]
)
@pytest.mark.parametrize("dialect", Dialect)
def test_a_stream_ends_as_planned(dialect: Dialect, end: End, last: list[str]) -> None:
    made = read(said(STREAM, plan_of(dialect, end=end), [bytes(1600)]))
    assert [message["event"] for message in made[-2:]] == last


@pytest.mark.parametrize(("end", "said_last"), [(End.STOP, ["media", "stop"]), (End.CLOSE, ["media"]), (End.BREAK, [])])
def test_what_is_held_back_is_said_before_the_end_unless_nothing_is(end: End, said_last: list[str]) -> None:
    writer = Writer(STREAM, plan_of(Dialect.TELNYX, reorder=1.0, end=end))
    assert writer.write(MEDIA) == []
    assert [message["event"] for message in read(writer.close())] == said_last


def test_a_message_tells_how_much_audio_it_carries() -> None:
    writer = Writer(STREAM, StreamPlan(keys=()))
    assert {message.audio_bytes for message in [*writer.open(), *writer.write(Key("1", 0))]} == {0}
    (message,) = writer.write(MEDIA)
    assert message.audio_bytes == len(base64.b64decode(json.loads(message.text)["media"]["payload"])) == 160


def test_what_is_lost_after_it_was_counted_leaves_a_gap() -> None:
    writer = Writer(STREAM, StreamPlan())
    writer.open()
    assert writer.write(msgspec.structs.replace(MEDIA, lost=True)) == []
    (after,) = read(writer.write(MEDIA))
    assert (after["sequenceNumber"], after["media"]["chunk"]) == ("3", "2")


@pytest.mark.parametrize(
    ("dialect", "account", "call", "stream"),
    [
        (Dialect.TWILIO, f"AC{HEX}", f"CA{HEX}", f"MZ{HEX}"),
        (Dialect.TELNYX, UUID, "v3:[-_A-Za-z0-9]{52}", UUID),
        (Dialect.SIGNALWIRE, UUID, UUID, UUID),
        (Dialect.PLIVO, "MA[0-9A-F]{18}", UUID, UUID),
        (Dialect.EXOTEL, "linescribe1", HEX, HEX),
    ],
)
def test_names_look_like_the_carriers(dialect: Dialect, account: str, call: str, stream: str) -> None:
    randbytes = random.Random(1).randbytes
    first, second = (new_stream(dialect, randbytes) for _ in range(2))
    assert re.fullmatch(account, first.account_id)
    assert re.fullmatch(call, first.call_id)
    assert re.fullmatch(stream, first.stream_id)
    assert len({first.call_id, second.call_id, first.stream_id, second.stream_id}) == 4


@given(
    st.sampled_from(Dialect),
    st.integers(1, 2),
    st.floats(0, 0.5),
    st.booleans(),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_numbers_count_every_message_and_chunks_every_packet_of_a_track(
    dialect: Dialect, tracks: int, loss: float, lost_have_numbers: bool, reorder: float, seed: int
) -> None:
    plan = plan_of(
        dialect,
        tracks=1 if dialect is Dialect.EXOTEL else tracks,
        loss=loss,
        lost_have_numbers=lost_have_numbers,
        reorder=reorder,
        seed=seed,
        keys=(At(0.5, "1"), At(0.7, "2")),
        end=End.STOP,
        linger=1.0,
    )
    made = [each for each in read(said(STREAM, plan, [b""] * plan.tracks)) if each["event"] != "connected"]
    numbers = sorted(int(each[name]) for each in made for name in NUMBERS if name in each)
    first = 0 if dialect is Dialect.PLIVO else 1
    assert len(numbers) == len(made)
    assert numbers[0] == first
    packets = [each["media"] for each in made if each["event"] == "media"]
    stamps_of = {track: [int(p["timestamp"]) for p in packets if p.get("track") in {track, None}] for track in TRACKS}
    if lost_have_numbers:
        assert numbers[-1] == first + 3 + plan.tracks * plan.packets_until(plan.ends_at([b""]))
        assert all(int(p["timestamp"]) == plan.first_ms + plan.packet_ms * (int(p["chunk"]) - 1) for p in packets)
    else:
        assert numbers == list(range(first, first + len(made)))
        for track, stamps in stamps_of.items():
            chunks = [int(packet["chunk"]) for packet in packets if packet.get("track") in {track, None}]
            assert sorted(chunks) == list(range(1, len(chunks) + 1))
            assert [stamp for _, stamp in sorted(zip(chunks, stamps, strict=True))] == sorted(stamps)


@given(st.integers(1, 2), st.floats(0, 1), st.integers(0, 99), st.integers(0, 60))
def test_a_packet_is_overtaken_by_the_next_one_of_its_track_at_most(
    tracks: int, reorder: float, seed: int, packets: int
) -> None:
    plan = plan_of(Dialect.TELNYX, tracks=tracks, reorder=reorder, seed=seed, linger=packets * 0.02)
    made = [each["media"] for each in read(said(STREAM, plan, [b""] * tracks)) if each["event"] == "media"]
    for track in TRACKS[:tracks]:
        chunks = [int(packet["chunk"]) for packet in made if packet["track"] == track]
        assert sorted(chunks) == list(range(1, packets + 1))
        assert all(abs(chunk - place) <= 1 for place, chunk in enumerate(chunks, start=1))


@pytest.mark.parametrize(("reorder", "swaps"), [(0.0, 0), (0.5, 333), (1.0, 500)])
def test_as_many_packets_are_overtaken_as_wanted(reorder: float, swaps: int) -> None:
    """Of the packets that can be, for one that overtakes is not overtaken."""
    plan = plan_of(Dialect.TELNYX, reorder=reorder, linger=20.0)
    chunks = [int(each["media"]["chunk"]) for each in read(said(STREAM, plan, [b""])) if each["event"] == "media"]
    assert len(chunks) == 1000
    assert sum(one > next_ for one, next_ in itertools.pairwise(chunks)) == pytest.approx(swaps, abs=40)
