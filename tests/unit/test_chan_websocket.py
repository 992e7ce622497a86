from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from adapters.asterisk.websocket import FORMATS, TOO_MUCH, ChanWebSocketWire
from adapters.asterisk.websocket_server import ChanWebSocketDialect
from adapters.stream import (
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Encoding,
    StreamEvent,
    StreamStarted,
    Track,
    TrackRole,
    WireError,
)
from adapters.wire.access import Approach
from adapters.wire.patience import MOST_MEANINGLESS
from config.listeners import AsteriskWebSocketListener, Token
from config.secret import Secret
from tests.recorded import CHAN_WEBSOCKET, chan_websocket

TRACK = Track(id="inbound", role=TrackRole.INBOUND)
PLAIN = (
    "MEDIA_START connection_id:gw channel:WebSocket/gw/0x7f channel_id:17.1 format:ulaw optimal_frame_size:160 ptime:20"
)
ULAW = AudioFormat(Encoding.PCMU, 8_000)


def start(variables: object = None, **fields: Any) -> str:
    content = {"event": "MEDIA_START", "channel": "WebSocket/gw/0x7f", "channel_id": "17.1", "format": "ulaw"} | fields
    return json.dumps(content | ({} if variables is None else {"channel_variables": variables}))


def read(*messages: str | bytes, query: dict[str, str] | None = None) -> list[StreamEvent]:
    wire = ChanWebSocketWire(TRACK, query or {})
    return [event for message in messages for event in wire.receive_data(message)]


def started(first: str, query: dict[str, str] | None = None) -> StreamStarted:
    (event,) = read(first, query=query)
    assert isinstance(event, StreamStarted)
    return event


@pytest.mark.parametrize("name", CHAN_WEBSOCKET)
def test_a_recorded_session_reads_as_its_messages(name: str) -> None:
    session = chan_websocket(name)
    first, *frames = read(*session.said(), query=dict(session.url.query))
    channel = "1795154106.105" if "json" in name else "1795154058.87"
    assert first == StreamStarted(
        stream_id=channel, external_call_id=channel, tracks=(TRACK,), parameters=dict(session.url.query)
    )
    assert frames == [AudioFrame("inbound", ULAW, data) for data in session.said() if isinstance(data, bytes)]


def test_a_secret_is_masked_wherever_it_stands() -> None:
    secret = "a-secret-of-twenty-four-characters"  # noqa: S105  a test's
    settings = AsteriskWebSocketListener(credentials=(Token(name="pbx", secret=Secret(secret)),))
    approach = Approach(client="127.0.0.1", headers=CIMultiDict(), tokens=(secret,))
    wire = ChanWebSocketDialect(settings).visit(approach, {"x": secret, secret: "y"}, 0.0).wire
    (event,) = wire.receive_data(start({"CALL_ID": secret, "z": f"Bearer {secret}"}))
    assert secret not in repr(event)
    assert isinstance(event, StreamStarted)
    assert event.parameters["z"] == "Bearer ********"


@pytest.mark.parametrize("first", [PLAIN, start()])
def test_both_dialects_name_the_channel_and_its_codec(first: str) -> None:
    assert read(first, bytes(160)) == [
        StreamStarted(stream_id="17.1", external_call_id="17.1", tracks=(TRACK,)),
        AudioFrame("inbound", ULAW, bytes(160)),
    ]


def test_before_the_channel_had_an_id_its_name_is_taken() -> None:
    assert (
        started("MEDIA_START connection_id:gw channel:WebSocket/gw/0x7f format:slin").stream_id == "WebSocket/gw/0x7f"
    )


@pytest.mark.parametrize("name", FORMATS)
def test_the_codec_is_asterisks_word(name: str) -> None:
    (frame,) = read(start(format=name), bytes(240))[1:]
    assert isinstance(frame, AudioFrame)
    assert frame.format.encoding is {"ulaw": Encoding.PCMU, "alaw": Encoding.PCMA}.get(name, Encoding.L16)
    rate = name.removeprefix("slin") if name.startswith("slin") else ""
    assert frame.format.rate_hz // 1000 == int(rate or 8)


@pytest.mark.parametrize("name", ["g722", "opus", "g729", "slin17", "", None, 8, {"a": 1}])
def test_another_codec_is_refused_with_what_to_dial(name: object) -> None:
    with pytest.raises(WireError, match=r"dial WebSocket/.*c\(ulaw\)"):
        read(start(format=name))


@pytest.mark.parametrize(
    "first",
    [
        b"",
        bytes(160),
        "",
        "  ",
        "{",
        "{}",
        "[]",
        "HELLO",
        '{"event":"DTMF_END","digit":"1"}',
        "DTMF_END digit:1",
        "MEDIA_XOFF",
    ],
)
def test_anything_but_media_start_first_is_the_peers_fault(first: str | bytes) -> None:
    with pytest.raises(WireError, match="MEDIA_START"):
        read(first)


def test_variables_lose_the_underscores_that_let_them_be_inherited_and_asterisks_own_are_left_out() -> None:
    variables = {
        "CALL_ID": "c1",
        "__QUEUE": "support",
        "_calling": "1555",
        "DIALEDPEERNUMBER": "gw/c(ulaw)",
        "MEDIA_WEBSOCKET_CONNECTION_ID": "gw",
        "NUMBER": 5,
    }
    event = started(start(variables))
    assert event.parameters == {"CALL_ID": "c1", "QUEUE": "support", "calling": "1555"}
    assert (event.external_call_id, event.stream_id) == ("c1", "17.1")


@pytest.mark.parametrize(
    ("variables", "call"),
    [
        ({"CALL_ID": "a", "CALL_UUID": "b"}, "a"),
        ({"__CALL_UUID": "b"}, "b"),
        ({"CALL_ID": "", "CALL_UUID": "b"}, "b"),
        ({"CALL_ID": "x" * 201}, "17.1"),
        ({}, "17.1"),
        (None, "17.1"),
        ("no object", "17.1"),
    ],
)
def test_a_variable_names_the_call_or_else_the_channel_does(variables: object, call: str) -> None:
    assert started(start(variables)).external_call_id == call


def test_the_urls_parameters_are_a_hint_and_never_name_the_call() -> None:
    event = started(start({"queue": "sales"}), {"CALL_ID": "of the call before", "queue": "support", "leg": "caller"})
    assert event.external_call_id == "17.1"
    assert event.parameters == {"CALL_ID": "of the call before", "queue": "sales", "leg": "caller"}


def test_secrets_are_taken_out_of_both() -> None:
    wire = ChanWebSocketWire(TRACK, {"a": "x secret"}, lambda text: text.replace("secret", "***"))
    (event,) = wire.receive_data(start({"b": "secret"}))
    assert isinstance(event, StreamStarted)
    assert event.parameters == {"a": "x ***", "b": "***"}


def test_more_variables_than_are_kept_are_told() -> None:
    event = started(start({f"N{number}": "x" for number in range(100)}))
    assert (len(event.parameters), event.remarks) == (64, (TOO_MUCH,))


@pytest.mark.parametrize(
    ("first", "text", "digits"),
    [
        (PLAIN, "DTMF_END digit:5 channel_id:17.1", "5"),
        (PLAIN, "DTMF_END digit:#", "#"),
        (PLAIN, "DTMF_END channel_id:17.1 digit:d", "D"),
        (PLAIN, "DTMF_END digit:", ""),
        (PLAIN, "DTMF_END digit:55", ""),
        (PLAIN, '{"event":"DTMF_END","digit":"5"}', ""),
        (PLAIN, "MEDIA_XOFF", ""),
        (PLAIN, "STATUS queue_length:0 digit:5", ""),
        (PLAIN, "ERROR channel_id:17.1 error_text:no such thing\n", ""),
        (start(), '{"event":"DTMF_END","channel_id":"17.1","digit":"*"}', "*"),
        (start(), '{"event":"DTMF_END","digit":5}', ""),
        (start(), "DTMF_END digit:5", ""),
        (start(), '{"event":"QUEUE_DRAINED"}', ""),
        (start(), "{", ""),
        (start(), "", ""),
    ],
)
def test_of_all_events_only_a_key_means_something(first: str, text: str, digits: str) -> None:
    assert read(first, text)[1:] == [DigitPressed("inbound", digit) for digit in digits]


def test_a_peer_that_sends_hardly_anything_else_is_broken() -> None:
    wire = ChanWebSocketWire(TRACK, {})
    wire.receive_data(PLAIN)
    for _ in range(3 * MOST_MEANINGLESS):
        wire.receive_data("MEDIA_XOFF")
        wire.receive_data(bytes(160))
    for _ in range(MOST_MEANINGLESS):
        wire.receive_data(b"")
    with pytest.raises(WireError, match="hardly any message"):
        wire.receive_data(b"")


@given(st.lists(st.text(max_size=40) | st.binary(max_size=40) | st.sampled_from([PLAIN, start()]), max_size=20))
def test_whatever_comes_is_an_event_or_the_one_error(messages: list[str | bytes]) -> None:
    try:
        events = read(*messages)
    except WireError:
        return
    assert [isinstance(event, StreamStarted) for event in events] == [number == 0 for number in range(len(events))]
    msgspec.json.encode(events)


@pytest.mark.parametrize(
    ("offered", "chosen"), [([], None), (["media"], "media"), (["x", "media"], "media"), (["x"], None)]
)
def test_asterisks_own_subprotocol_is_taken_and_no_other(offered: list[str], chosen: str | None) -> None:
    assert ChanWebSocketDialect(AsteriskWebSocketListener()).subprotocol(offered) == chosen
