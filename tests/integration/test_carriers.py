"""The carriers that speak nearly as Twilio does: each on its own path, by what it shows."""

from __future__ import annotations

import base64
import json
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from adapters.twilio.plivo_signature import sign
from adapters.twilio.server import MOST_WAITING
from config.secret import Secret
from tests.gateway_under_test import house, listener
from tests.media_streams import media, start, stream
from tests.recorded import message_frame
from tests.sound import prompt
from tests.websocket_lines import connected, line, upgrade

if TYPE_CHECKING:
    from pathlib import Path

    from tests.websocket_lines import WebSocketLine

SECRET = "a-token-of-twenty-four-characters"  # noqa: S105  a test's
CREDENTIALS = [{"name": "us", "secret": SECRET}]
BASIC = "Authorization: Basic " + base64.b64encode(f"us:{SECRET}".encode()).decode()
PUBLIC = "https://calls.example.test"

SPEECH = prompt("conf-onlyperson")
"""Three seconds, of 16 bits at 8 kHz."""


@pytest.mark.parametrize(
    ("kind", "call", "headers"),
    [
        ("telnyx", "v3:example", [f"Authorization: Bearer {SECRET}"]),
        ("telnyx", "v3:example", [f"Authorization: {SECRET}"]),
        ("plivo", "00000000-0000-4000-8000-000000000001", [BASIC]),
        ("exotel", "00000000000000000000000000000002", [BASIC]),
    ],
)
async def test_a_stream_of_a_carrier_is_a_call(tmp_path: Path, kind: str, call: str, headers: list[str]) -> None:
    wanted: dict[str, Any] = {kind.upper(): listener(credentials=CREDENTIALS)}
    async with house(tmp_path, **wanted) as home:
        async with connected(home.http_port) as stranger:
            assert (await stranger.ask(upgrade(f"/{kind}"))).status == 401
        async with line(home.http_port, f"/{kind}", *headers) as known:
            await known.say(*stream(f"peer-{kind}"))
            await home.inbox.wait("track.started")
            await known.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
    assert (ended["source"]["kind"], ended["source"]["call_id"], ended["reason"]) == (kind, call, "hangup")
    assert sum(ended["audio_ms"].values()) > 0


async def test_signalwire_spells_as_twilio_does_and_shows_a_bearer_token(tmp_path: Path) -> None:
    async with house(tmp_path, SIGNALWIRE=listener(credentials=CREDENTIALS)) as home:
        async with line(home.http_port, "/signalwire", f"Authorization: Bearer {SECRET}") as known:
            form = {"encoding": "audio/x-l16", "sampleRate": 16000, "channels": 1}
            await known.say(start(mediaFormat=form), media(2, 60, payload=bytes(640)))
            await home.inbox.wait("call.started")
            await known.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
    assert ended["audio_ms"] == {"inbound": 20, "outbound": 0}


@pytest.mark.parametrize("url", ["http://calls.example.test/plivo", "wss://calls.example.test/plivo?a=b"])
async def test_plivo_signs_and_what_it_does_not_sign_is_not_believed(tmp_path: Path, url: str) -> None:
    wanted = listener(auth_tokens=[SECRET])
    async with house(tmp_path, PLIVO=wanted, HTTP__PUBLIC_URL=PUBLIC) as home:
        signature = sign(Secret(SECRET), url, "17")
        shown = [f"X-Plivo-Signature-V3: {signature}", "X-Plivo-Signature-V3-Nonce: 17"]
        async with connected(home.http_port) as stranger:
            answer = await stranger.ask(upgrade("/plivo?a=b", shown[0], "X-Plivo-Signature-V3-Nonce: 18"))
            assert (answer.status, answer.error["code"]) == (403, "unsigned")
        async with line(home.http_port, "/plivo?a=b", *shown) as known:
            await known.say(*stream("peer-plivo"))
            (started,) = await home.inbox.wait("call.started")
    assert started["parameters"] == {"accountId": "10000000"}


async def test_plivo_signs_with_the_main_accounts_token_too_and_no_path_stands_in_the_log(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with house(tmp_path, PLIVO=listener(auth_tokens=[SECRET]), HTTP__PUBLIC_URL=PUBLIC) as home:
            path = "/plivo/plivo/a-secret-of-somebodys"
            async with connected(home.http_port) as stranger:
                assert (await stranger.ask(upgrade(path))).status == 403
            signature = sign(Secret(SECRET), f"http://calls.example.test{path}", "17")
            shown = [f"X-Plivo-Signature-Ma-V3: {signature}", "X-Plivo-Signature-V3-Nonce: 17"]
            async with line(home.http_port, path, *shown) as known:
                await known.say(*stream("peer-plivo"))
                await home.inbox.wait("call.started")
    assert "a-secret-of-somebodys" not in str(logs)


async def test_a_listener_of_plivos_that_knows_nobody_takes_this_machine_alone(tmp_path: Path) -> None:
    async with (
        house(tmp_path, PLIVO=listener(), HTTP__PUBLIC_URL=PUBLIC) as home,
        connected(home.http_port) as stranger,
    ):
        assert (await stranger.ask(upgrade("/plivo"))).error["code"] == "not_local"


JAMBONZ = {
    "callSid": "c-1",
    "from": "+15550100",
    "to": "+15550101",
    "sampleRate": 8000,
    "mixType": "stereo",
    "customerId": "7",
}


async def test_jambonz_tells_of_its_call_first_and_sends_both_speakers(tmp_path: Path) -> None:
    async with house(tmp_path, JAMBONZ=listener(credentials=CREDENTIALS)) as home:
        offered = "Sec-WebSocket-Protocol: audio.jambonz.org"
        async with line(home.http_port, "/jambonz", BASIC, offered) as known:
            pairs = b"".join(SPEECH[at : at + 2] + b"\0\0" for at in range(0, len(SPEECH), 2))
            await known.say(json.dumps(JAMBONZ))
            await known.speak(pairs, 640)
            await known.say('{"event":"dtmf","dtmf":"5","duration":"1600"}')
            (digit,) = await home.inbox.wait("call.digit")
            await known.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        (final,) = home.inbox.of("transcript.final")
    assert (digit["digit"], digit["track"], final["track"]) == ("5", "inbound", "inbound")
    assert ended["source"]["call_id"] == "c-1"
    assert ended["parameters"] == {
        "callSid": "c-1",
        "calling": "+15550100",
        "called": "+15550101",
        "customerId": "7",
    }


@pytest.mark.parametrize(
    ("said", "rate_hz"), [({"content-type": "audio/l16;rate=8000"}, 8000), ({"content-type": "audio/l16"}, 16000)]
)
async def test_vonage_tells_its_rate_and_the_headers_that_it_was_given(
    tmp_path: Path, said: dict[str, Any], rate_hz: int
) -> None:
    async with house(tmp_path, VONAGE=listener(credentials=CREDENTIALS)) as home:
        async with line(home.http_port, "/vonage", f"Authorization: Bearer {SECRET}") as known:
            await known.say(json.dumps({"event": "websocket:connected", "uuid": "v-1", "queue": "x"} | said))
            await known.speak(bytes(rate_hz * 2), rate_hz // 25)
            await known.say('{"event":"websocket:dtmf","digit":"#","duration":260}')
            await home.inbox.wait("call.digit")
            await known.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
    assert ended["parameters"] == {"uuid": "v-1", "queue": "x"}
    assert (ended["source"]["call_id"], ended["audio_ms"]) == ("v-1", {"inbound": 1000})


@pytest.mark.parametrize("kind", ["telnyx", "signalwire", "plivo", "exotel", "jambonz", "vonage"])
async def test_a_carrier_that_no_setting_names_has_no_path(tmp_path: Path, kind: str) -> None:
    async with house(tmp_path) as home, connected(home.http_port) as client:
        assert (await client.ask(upgrade(f"/{kind}"))).status == 404


async def test_a_stream_that_does_not_begin_is_closed_and_one_that_falls_silent_too(tmp_path: Path) -> None:
    wanted = listener(first_message_seconds=0.3, idle_timeout_seconds=0.3)
    async with house(tmp_path, TELNYX=wanted) as home, line(home.http_port, "/telnyx") as silent:
        assert (await silent.closed())[1] == "the peer did not introduce itself in time"
        async with line(home.http_port, "/telnyx") as talker:
            await talker.say(*stream("peer-telnyx")[:3])
            assert (await talker.closed())[0] == 1000
        (ended,) = await home.inbox.wait("call.ended")
    assert ended["reason"] == "idle"


async def test_of_streams_of_one_address_that_do_not_begin_the_oldest_goes(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(house(tmp_path, SIGNALWIRE=listener()))

        async def opened() -> WebSocketLine:
            return await stack.enter_async_context(line(home.http_port, "/signalwire"))

        begun, oldest, next_oldest = [await opened() for _ in range(3)]
        await begun.say(start(callSid="CA1"))
        await home.inbox.wait("call.started")
        for _ in range(MOST_WAITING - 1):
            await opened()
        code, reason = await oldest.closed()
        assert (code, "not introduced themselves" in reason) == (1008, True)
        await next_oldest.say(start(callSid="CA2"))
        await home.inbox.wait("call.started", 2)
        assert home.inbox.of("call.ended") == []


async def test_a_flood_ends_its_own_stream_alone(tmp_path: Path) -> None:
    async with house(tmp_path, TELNYX=listener(), EXOTEL=listener()) as home:
        async with line(home.http_port, "/telnyx") as flood, line(home.http_port, "/exotel") as other:
            await other.say(*stream("peer-exotel")[:3])
            await flood.say(*stream("peer-telnyx")[:2])
            await home.inbox.wait("call.started", 2)
            mark = message_frame('{"event":"mark"}') * 1000
            with suppress(ConnectionError):
                for _ in range(50):
                    flood.writer.write(mark)
                    await flood.writer.drain()
            (ended,) = await home.inbox.wait("call.ended")
            assert (ended["source"]["kind"], ended["reason"]) == ("telnyx", "protocol_error")
            await other.say(*stream("peer-exotel")[3:])
            assert (await other.closed())[0] == 1000
        ended = (await home.inbox.wait("call.ended", 2))[-1]
    assert (ended["source"]["kind"], ended["reason"]) == ("exotel", "hangup")
