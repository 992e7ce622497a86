"""Asterisk's chan_websocket into a whole gateway, over real sockets."""

from __future__ import annotations

import audioop
import base64
import json
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.gateway_under_test import House, house
from tests.recorded import CAPTURES, CHAN_WEBSOCKET, chan_websocket, close_frame, frame
from tests.sound import prompt
from tests.websocket_lines import connected, line, upgrade

if TYPE_CHECKING:
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
ULAW = audioop.lin2ulaw(SPEECH, 2)
PAUSE = b"\xff" * 8 * 900
SECRET = "a-token-of-twenty-four-characters"  # noqa: S105  a test's
CREDENTIALS = json.dumps([{"credentials": [{"name": "pbx", "secret": SECRET}]}])
PLAIN = (
    "MEDIA_START connection_id:gw channel:WebSocket/gw/0x7f channel_id:17.1 format:ulaw optimal_frame_size:160 ptime:20"
)
CHANNELS = {"asterisk-ws-json-dir-in": "1795154106.105", "asterisk-ws-plain-hangup-cmd": "1795154058.87"}
OFFER = "Sec-WebSocket-Protocol: media"


def start(form: str = "ulaw", **variables: str) -> str:
    return json.dumps(
        {"event": "MEDIA_START", "channel_id": "17.1", "format": form, "channel_variables": {**variables}}
    )


@pytest.mark.parametrize("name", CHAN_WEBSOCKET)
async def test_a_recorded_connection_is_a_call_with_all_its_audio(home: House, name: str) -> None:
    """Its very bytes, from the request to the Close."""
    session = chan_websocket(name)
    data = (CAPTURES / f"{name}.from-asterisk.bin").read_bytes()
    async with connected(home.http_port) as client:
        answer = await client.ask(data[: len(session.upgrade)])
        assert (answer.status, answer.version) == (101, "HTTP/1.1")
        assert answer.headers["sec-websocket-protocol"] == "media"
        assert "sec-websocket-extensions" not in answer.headers
        client.writer.write(data[len(session.upgrade) :])
        client.writer.write_eof()  # Asterisk waits for no answer
        assert await client.rest() in {b"\x88\x02\x03\xe8", b""}
    (ended,) = await home.inbox.wait("call.ended")
    audio = sum(len(data) for data in session.said() if isinstance(data, bytes))
    assert ended["audio_ms"] == {"inbound": audio // 8}
    assert ended["reason"] == "hangup"
    assert ended["source"]["call_id"] == ended["source"]["stream_id"] == CHANNELS[name]


async def test_a_recorded_connection_that_was_turned_away_is_turned_away(tmp_path: Path) -> None:
    data = (CAPTURES / "asterisk-ws-hs-401.from-asterisk.bin").read_bytes()
    async with (
        house(tmp_path, ASTERISK_WEBSOCKET=CREDENTIALS) as home,
        connected(home.http_port) as client,
    ):
        assert (await client.ask(data)).status == 401


@pytest.mark.parametrize("first", [PLAIN, start()])
@pytest.mark.parametrize("packet_ms", [20, 30, 40])
async def test_speech_in_either_dialect_becomes_a_final(home: House, first: str, packet_ms: int) -> None:
    async with line(home.http_port, "/asterisk", OFFER) as call:
        await call.say(first)
        await call.speak(ULAW, packet_ms * 8)
        call.writer.write(close_frame())
        assert await call.rest() == b"\x88\x02\x03\xe8", "nothing but the answer to its Close"
    (ended,) = await home.inbox.wait("call.ended")
    (final,) = home.inbox.of("transcript.final", "17.1")
    assert final["source"]["kind"] == "asterisk_websocket"
    assert ended["audio_ms"] == {"inbound": pytest.approx(len(SPEECH) / 16, abs=1)}


async def test_variables_and_the_url_say_more_of_the_call(home: House) -> None:
    async with line(home.http_port, "/asterisk?leg=caller&queue=old", OFFER) as call:
        await call.say(start(CALL_ID="c1", _queue="support"), '{"event":"DTMF_END","channel_id":"17.1","digit":"5"}')
        await home.inbox.wait("call.digit")
        await call.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert ended["parameters"] == {"leg": "caller", "queue": "support", "CALL_ID": "c1"}
    assert (ended["source"]["call_id"], ended["source"]["stream_id"]) == ("c1", "17.1")
    assert [each["digit"] for each in home.inbox.of("call.digit")] == ["5"]


async def test_two_legs_of_an_account_are_one_call(tmp_path: Path) -> None:
    two = json.dumps([{"name": "customers", "account": "a"}, {"name": "agents", "account": "a", "role": "outbound"}])
    async with house(tmp_path, ASTERISK_WEBSOCKET=two, CALLS__LINGER_SECONDS=0.5) as home:
        async with (
            line(home.http_port, "/asterisk/customers") as one,
            line(home.http_port, "/asterisk/agents") as other,
        ):
            for leg in (one, other):
                await leg.say(start(CALL_ID="c1"))
                await leg.speak(ULAW + PAUSE, 160)
            await home.inbox.wait("transcript.final", 2)
            await one.hang_up()
            await other.hang_up()
        await home.inbox.wait("call.ended")
    assert home.inbox.types("c1").count("call.started") == 1
    assert {each["track"] for each in home.inbox.of("transcript.final")} == {"inbound", "outbound"}


async def test_a_codec_that_cannot_be_taken_is_refused_with_what_to_dial(home: House) -> None:
    with capture_logs() as logs:
        async with line(home.http_port, "/asterisk", OFFER) as call:
            await call.say(start("g722"))
            code, reason = await call.closed()
    assert code == 1008
    assert "c(ulaw)" in reason
    assert any("c(ulaw)" in each.get("error", "") for each in logs)
    assert home.inbox.received == []


async def test_nothing_is_sent_that_asterisk_could_not_bear(home: House) -> None:
    """No extension though one is offered, no other subprotocol, no ping; and every transcript to the webhook alone."""
    async with line(home.http_port, "/asterisk", "Sec-WebSocket-Extensions: permessage-deflate") as call:
        await call.say(PLAIN)
        await call.speak(ULAW + PAUSE, 160)
        await home.inbox.wait("transcript.final")
        call.writer.write(frame(9, b""))
        assert await call.next() == (10, b"")
        await call.hang_up()
    async with connected(home.http_port) as call:
        answer = await call.ask(upgrade("/asterisk", "Sec-WebSocket-Protocol: other"))
    assert answer.status == 101
    assert not {"sec-websocket-extensions", "sec-websocket-protocol"} & set(answer.headers)


async def test_the_gateways_end_is_a_close_at_once(home: House) -> None:
    async with line(home.http_port, "/asterisk", OFFER) as call:
        await call.say(start(CALL_ID="c1"))
        await call.speak(ULAW, 160)
        await home.inbox.wait("call.started")
        assert (await home.ask("POST", "/v1/calls/c1/end"))[0] == 200
        assert await call.closed() == (1000, "")
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], ended["utterances"]) == ("admin", 1)


async def test_an_answer_ends_the_leg_where_it_is_there_for_one(tmp_path: Path) -> None:
    async with house(tmp_path, SPEECH__ENDPOINTING="auto_end") as home:
        async with line(home.http_port, "/asterisk", OFFER) as call:
            await call.say(PLAIN)
            await call.speak(ULAW + PAUSE, 160)
            assert await call.closed() == (1000, "")
        (ended,) = await home.inbox.wait("call.ended")
    assert ended["reason"] == "stopped"


async def test_a_peer_that_does_not_begin_with_media_start_is_closed(tmp_path: Path) -> None:
    with_patience = '[{"first_message_seconds": 0.3}]'
    async with (
        house(tmp_path, ASTERISK_WEBSOCKET=with_patience) as home,
        line(home.http_port, "/asterisk") as loud,
        line(home.http_port, "/asterisk") as mute,
    ):
        await loud.say(ULAW)
        assert (await loud.closed())[0] == 1008
        assert (await mute.closed())[0] == 1000
    assert home.inbox.received == []


async def test_basic_auth_as_asterisk_sends_it(tmp_path: Path) -> None:
    async with house(tmp_path, ASTERISK_WEBSOCKET=CREDENTIALS) as home:
        token = base64.b64encode(f"pbx:{SECRET}".encode()).decode()
        async with line(home.http_port, "/asterisk", f"Authorization: Basic {token}", OFFER) as call:
            await call.say(PLAIN)
            await home.inbox.wait("call.started")
        async with connected(home.http_port) as call:
            assert (await call.ask(upgrade("/asterisk", OFFER))).status == 401
