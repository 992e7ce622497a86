from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stream import (
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Encoding,
    Remark,
    StreamEnd,
    StreamEnded,
    StreamEvent,
    StreamStarted,
    Track,
    TrackRole,
    TrackStarted,
    WireError,
)
from adapters.twilio.carriers import CARRIERS, TWILIO
from adapters.twilio.protocol import Introduction
from adapters.wire.json_media import FAULT, LOST, NOT_NAMED, JsonMediaWire
from adapters.wire.patience import MOST_MEANINGLESS
from tests.media_streams import CARRIER, FRAME, STREAMS, connected, media, start, stop, stream

ULAW = AudioFormat(Encoding.PCMU, 8_000)
INBOUND = Track(id="inbound", role=TrackRole.INBOUND)
OUTBOUND = Track(id="outbound", role=TrackRole.OUTBOUND)
ENDED = StreamEnded(StreamEnd.HANGUP)


def wire(kind: str = "twilio") -> JsonMediaWire:
    (carrier,) = [each for each in CARRIERS if each.kind == kind]
    return JsonMediaWire(carrier.names, Introduction(carrier, {}).open)


def read(*messages: str | bytes, kind: str = "twilio") -> list[StreamEvent]:
    reader = wire(kind)
    return [event for message in messages for event in reader.receive_data(message)]


def begun(*messages: str) -> list[StreamEvent]:
    """Give what messages mean in a stream of both tracks."""
    return read(connected(), start(), *messages)[1:]


@pytest.mark.parametrize("name", STREAMS.values())
def test_a_recorded_stream_reads_as_its_messages(name: str) -> None:
    carrier = CARRIER.get(name, "twilio")
    told = [json.loads(text) for text in stream(name)]
    started, *rest = read(*stream(name), kind=carrier)
    assert isinstance(started, StreamStarted)
    packets = [each["media"] for each in told if each["event"] == "media"]
    assert [event.payload for event in rest if isinstance(event, AudioFrame)] == [
        base64.b64decode(packet["payload"]) for packet in packets
    ]
    assert [event.wire_ms for event in rest if isinstance(event, AudioFrame)] == [
        int(packet["timestamp"]) if "timestamp" in packet else None for packet in packets
    ]
    assert [event.track for event in rest if isinstance(event, AudioFrame)] == [
        packet.get("track", "inbound") for packet in packets
    ]
    digits = [each["dtmf"]["digit"] for each in told if each["event"] == "dtmf"]
    assert [event.digit for event in rest if isinstance(event, DigitPressed)] == digits
    ends = [event for event in rest if isinstance(event, StreamEnded)]
    # Of the one that was built for Telnyx the last number but one is not there, and may be on its way.
    ended = StreamEnded(StreamEnd.HANGUP, overtakes=name == "peer-telnyx")
    assert ends == [ended] * (told[-1]["event"] == "stop")
    assert not [event for event in rest if isinstance(event, Remark)]


@pytest.mark.parametrize(
    ("name", "stream_id", "call", "tracks", "form", "parameters"),
    [
        (
            "somleng-normal",
            "MZ8208ec0d2b650cb38b4994fbdc7516e7",
            "CAe07df4959d7a6281055946adc3e5c1f5",
            (INBOUND,),
            ULAW,
            {"accountSid": "AC48ff7131b0c54b24bd8fa62aacb57206", "call_ref": "abc"},
        ),
        ("shape-pipecat-client-minimal", "ws_mock_stream_sid", "ws_mock_call_sid", (), ULAW, {}),
        (
            "shape-somleng-custom-at-top",
            "MZ00000000000000000000000000000001",
            "CA00000000000000000000000000000001",
            (INBOUND,),
            ULAW,
            {"accountSid": "AC00000000000000000000000000000001", "call_ref": "abc"},
        ),
        (
            "peer-telnyx",
            "00000000-0000-4000-8000-000000000001",
            "v3:example",
            (),
            ULAW,
            {
                "user_id": "00000000-0000-4000-8000-0000000000aa",
                "call_session_id": "00000000-0000-4000-8000-0000000000bb",
                "calling": "+15550100",
                "called": "+15550101",
                "client_state": "ZXhhbXBsZQ==",
            },
        ),
        (
            "peer-plivo",
            "00000000-0000-4000-8000-000000000002",
            "00000000-0000-4000-8000-000000000001",
            (INBOUND,),
            ULAW,
            {"accountId": "10000000"},
        ),
        (
            "peer-exotel",
            "00000000000000000000000000000001",
            "00000000000000000000000000000002",
            (),
            AudioFormat(Encoding.L16, 8_000),
            {"account_sid": "example1", "calling": "0100", "called": "0101"},
        ),
    ],
)
def test_start_says_what_the_stream_is(
    name: str,
    stream_id: str,
    call: str,
    tracks: tuple[Track, ...],
    form: AudioFormat,
    parameters: dict[str, str],
) -> None:
    events = read(*stream(name), kind=CARRIER.get(name, "twilio"))
    assert events[0] == StreamStarted(stream_id=stream_id, external_call_id=call, tracks=tracks, parameters=parameters)
    assert {event.format for event in events if isinstance(event, AudioFrame)} == {form}


def test_a_track_that_start_does_not_name_begins_with_its_first_frame() -> None:
    first = AudioFrame("outbound", ULAW, FRAME, 60)
    later = AudioFrame("outbound", ULAW, FRAME, 80)
    events = read(start(tracks=["inbound"]), media(2, 60, "outbound"), media(3, 80, "outbound"))
    assert events[1:] == [TrackStarted(OUTBOUND), first, later]


def test_a_track_may_be_written_with_its_suffix() -> None:
    events = read(start(tracks=["inbound_track", "outbound_track"]), media(2, 60, "outbound_track"))
    assert events[1:] == [AudioFrame("outbound", ULAW, FRAME, 60)]
    assert isinstance(events[0], StreamStarted)
    assert events[0].tracks == (INBOUND, OUTBOUND)


def test_a_track_of_another_name_is_left_out_and_told_once() -> None:
    assert begun(media(2, 60, "both"), media(3, 80, "both")) == [Remark(NOT_NAMED)]


@pytest.mark.parametrize(
    ("odd", "frame"),
    [
        ({"timestamp": 60}, AudioFrame("inbound", ULAW, FRAME, 60)),
        ({"timestamp": "60"}, AudioFrame("inbound", ULAW, FRAME, 60)),
        ({"timestamp": 60.0}, AudioFrame("inbound", ULAW, FRAME, 60)),
        ({"timestamp": "60.5"}, AudioFrame("inbound", ULAW, FRAME, None)),
        ({"timestamp": None}, AudioFrame("inbound", ULAW, FRAME, None)),
        ({"timestamp": {}}, AudioFrame("inbound", ULAW, FRAME, None)),
        ({"track": None}, AudioFrame("inbound", ULAW, FRAME, None)),
        ({"track": 7}, AudioFrame("inbound", ULAW, FRAME, None)),
        ({"chunk": []}, AudioFrame("inbound", ULAW, FRAME, None)),
    ],
)
def test_what_is_odd_about_a_packet_does_not_lose_its_audio(odd: dict[str, Any], frame: AudioFrame) -> None:
    said = {"payload": base64.b64encode(FRAME).decode()} | odd
    numbers: list[object] = ["2", 2, 2.0, None, "two", []]
    for number in numbers:
        assert begun(json.dumps({"event": "media", "sequenceNumber": number, "media": said})) == [frame]


@pytest.mark.parametrize("size", [0, 1, 80, 160, 1600, 24_000])
def test_a_packet_may_have_any_length(size: int) -> None:
    assert begun(media(2, 60, payload=bytes(size))) == [AudioFrame("inbound", ULAW, bytes(size), 60)]


def test_tracks_and_keys_that_are_counted_by_themselves_lose_nothing() -> None:
    both = [media(number, 60 + 20 * number, track) for number in range(2, 60) for track in ("inbound", "outbound")]
    key = json.dumps({"event": "dtmf", "sequenceNumber": "1", "dtmf": {"digit": "7"}})
    events = begun(*both, key, stop(1))
    assert sum(isinstance(event, AudioFrame) for event in events) == len(both)
    assert events[-2:] == [DigitPressed("inbound", "7"), ENDED]


@pytest.mark.parametrize("sizes", [(321, 319), (1, 1, 638), (320, 1, 319), (3,)])
def test_half_a_sample_is_kept_for_the_next_packet_of_its_track(sizes: tuple[int, ...]) -> None:
    pcm = bytes(range(256)) * 5
    form = {"encoding": "audio/x-l16", "sampleRate": 16000}
    sent, messages = 0, [start(mediaFormat=form)]
    for number, size in enumerate(sizes):
        messages += [media(2 + number, 60, track, pcm[sent : sent + size]) for track in ("inbound", "outbound")]
        sent += size
    frames = [event for event in read(*messages) if isinstance(event, AudioFrame)]
    for track in ("inbound", "outbound"):
        heard = b"".join(frame.payload for frame in frames if frame.track == track)
        assert heard == pcm[: sent // 2 * 2]
        assert all(len(frame.payload) % 2 == 0 for frame in frames)


def test_telnyx_may_say_stop_before_the_last_packets() -> None:
    first, begin, *_ = stream("peer-telnyx")

    def packet(number: int, event: str = "media") -> str:
        said = {"track": "inbound", "timestamp": str(20 * number), "payload": base64.b64encode(FRAME).decode()}
        return json.dumps({"event": event, "sequence_number": str(number), event: said})

    overtaken = read(first, begin, packet(2), packet(5, "stop"), packet(4), packet(3), kind="telnyx")
    assert [type(event) for event in overtaken[1:]] == [TrackStarted, AudioFrame, StreamEnded, AudioFrame, AudioFrame]
    assert overtaken[3] == StreamEnded(StreamEnd.HANGUP, overtakes=True)
    lost = read(first, begin, packet(2), *map(packet, range(9, 13)), packet(13, "stop"), kind="telnyx")
    assert lost[-2:] == [Remark(LOST.format(6)), ENDED]


def test_half_a_sample_of_a_track_that_start_does_not_name_is_kept_too() -> None:
    form = {"encoding": "audio/x-l16", "sampleRate": 16000}
    events = read(start(mediaFormat=form, tracks=None), media(2, 60, payload=b"abc"), media(3, 80, payload=b"d"))
    assert [event.payload for event in events if isinstance(event, AudioFrame)] == [b"ab", b"cd"]


def test_messages_that_are_odd_are_counted_too() -> None:
    odd = [json.loads(media(number, 60)) for number in (2, 5)]
    for each in odd:
        each["media"]["timestamp"] = {}
    assert begun(*map(json.dumps, odd), stop(6))[-2:] == [Remark(LOST.format(2)), ENDED]


@pytest.mark.parametrize("said", [{"streamSid": "MZ1"}, {"callSid": "CA1"}])
def test_either_name_is_enough_and_may_stand_beside_start(said: dict[str, str]) -> None:
    for content in ({"event": "start", "start": said}, {"event": "start", "start": {}} | said):
        (started,) = read(json.dumps(content))
        assert isinstance(started, StreamStarted)
        assert (started.stream_id, started.external_call_id) == (said.get("streamSid"), said.get("callSid"))


def test_a_message_of_a_depth_that_nobody_sends_means_nothing() -> None:
    deep = '{"event":"media","x":' + "[" * 100_000 + "]" * 100_000 + "}"
    assert begun(deep, media(2, 60)) == [AudioFrame("inbound", ULAW, FRAME, 60)]


def test_messages_that_never_came_are_told_at_the_end() -> None:
    assert begun(media(2, 60), media(5, 120), stop(6))[2:] == [Remark(LOST.format(2)), ENDED]
    assert begun(media(2, 60), media(4, 100), media(3, 80), stop(5))[3:] == [ENDED]


@pytest.mark.parametrize(
    ("dtmf", "pressed"),
    [
        ({"track": "inbound_track", "digit": "7"}, [DigitPressed("inbound", "7")]),
        ({"digit": "#"}, [DigitPressed("inbound", "#")]),
        ({"digit": "a"}, [DigitPressed("inbound", "A")]),
        ({"digit": 5}, [DigitPressed("inbound", "5")]),
        ({"track": "outbound", "digit": "1"}, [DigitPressed("outbound", "1")]),
        ({"track": "elsewhere", "digit": "1"}, [DigitPressed("inbound", "1")]),
        ({"digit": "55"}, []),
        ({"digit": "x"}, []),
        ({"digit": None}, []),
        ({}, []),
        ("7", []),
    ],
)
def test_a_key_is_told_where_it_is_one(dtmf: object, pressed: list[StreamEvent]) -> None:
    assert begun(json.dumps({"event": "dtmf", "dtmf": dtmf})) == pressed


def test_a_key_before_any_audio_begins_its_track() -> None:
    key = json.dumps({"event": "dtmf", "dtmf": {"digit": "7"}})
    frame = AudioFrame("inbound", ULAW, FRAME, 60)
    events = read(start(tracks=None), key, key, media(2, 60))
    assert events[1:] == [TrackStarted(INBOUND), *[DigitPressed("inbound", "7")] * 2, frame]


def test_what_is_in_order_and_nothing_to_us_costs_no_patience() -> None:
    mark = json.dumps({"event": "mark", "mark": {"name": "x"}})
    assert begun(*[mark] * (2 * MOST_MEANINGLESS)) == []


def test_an_error_of_the_carrier_is_told_once() -> None:
    fault = json.dumps({"event": "error", "payload": {"title": "anything"}})
    assert begun(fault, fault) == [Remark(FAULT)]


def test_audio_before_start_is_nobodys() -> None:
    assert read(connected(), media(2, 60), stop(3)) == []


def test_a_second_start_is_left_aside() -> None:
    assert begun(start(callSid="CA2"), media(2, 60)) == [AudioFrame("inbound", ULAW, FRAME, 60)]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"mediaFormat": {"encoding": "OPUS", "sampleRate": 48000}}, "Twilio sends 'OPUS' at 48000 Hz on 1 channel"),
        ({"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 7999}}, "7999 Hz"),
        ({"mediaFormat": {"encoding": "audio/x-mulaw", "channels": 2}}, "on 2 channel"),
        ({"streamSid": None, "callSid": None, "streamId": "x", "callId": "y"}, "Plivo spells it so"),
        ({"streamSid": None, "callSid": None, "call_sid": "x"}, "its path is /exotel"),
        ({"streamSid": None, "callSid": None}, "expected start of Twilio, with streamSid and callSid"),
        ({"streamSid": 7, "callSid": "x" * 201}, "expected start of Twilio"),
    ],
)
def test_a_stream_that_cannot_be_had_is_refused_with_the_remedy(said: dict[str, Any], problem: str) -> None:
    first = json.loads(start(**said))
    del first["streamSid"]
    with pytest.raises(WireError, match=problem.replace("(", r"\(")):
        read(json.dumps(first))


def test_start_of_another_carrier_is_refused() -> None:
    for name, kind in CARRIER.items():
        with pytest.raises(WireError, match=f"its path is /{kind}"):
            read(*stream(name), kind="twilio")


def test_hardly_anything_that_means_something_is_no_stream() -> None:
    reader = wire()
    for _ in range(MOST_MEANINGLESS):
        assert reader.receive_data("{}") == []
    with pytest.raises(WireError, match="hardly any message"):
        reader.receive_data("{}")


MESSAGES = [connected(), start(), media(2, 60), media(3, 60, "outbound"), stop(4)]


@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_that_is_cut_or_changed_is_read_or_means_nothing(message: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(message)))
    changed = message[:at] + data.draw(st.text(max_size=4)) + message[data.draw(st.integers(at, len(message))) :]
    reader = wire()
    reader.receive_data(start())
    try:
        reader.receive_data(changed)
    except WireError:
        return
    assert reader.receive_data(media(9, 80)) == [AudioFrame("inbound", ULAW, FRAME, 80)], "what follows is heard"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["event", "start", "media", "dtmf", "stop", "payload", "track", "timestamp", "sequenceNumber"])


@given(st.lists(st.dictionaries(NAMES, JSON | st.sampled_from(["media", "start", "stop", "dtmf"])), max_size=5))
def test_whatever_comes_is_read_or_refused(messages: list[dict[str, object]]) -> None:
    reader = wire()
    try:
        reader.receive_data(start())
        for each in messages:
            reader.receive_data(json.dumps(each))
        reader.receive_data(b"\x00\xff")
    except WireError:
        return


@given(st.dictionaries(st.sampled_from(["streamSid", "callSid", "tracks", "mediaFormat", "customParameters"]), JSON))
def test_whatever_start_says_is_a_stream_or_is_refused(said: dict[str, object]) -> None:
    try:
        (event,) = read(json.dumps({"event": "start", "start": said}))
    except WireError:
        return
    assert isinstance(event, StreamStarted)
    assert event.external_call_id or event.stream_id


def test_twilio_is_where_it_says() -> None:
    assert TWILIO.path == "/twilio"
