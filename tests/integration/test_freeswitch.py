"""FreeSWITCH's forks into a whole gateway, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import struct
import zlib
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import trustme
from structlog.testing import capture_logs

from adapters import connections
from adapters.wire import websocket
from tests.fakes import FakeEngine
from tests.gateway_under_test import TOKEN, House, house
from tests.recorded import BINARY, CLOSE, FORKS, TEXT, close_frame, fork, frame, message_frame
from tests.sound import prompt
from tests.websocket_lines import ACCEPT, WebSocketLine, connected, line, upgrade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
"""Three seconds."""
PAUSE = bytes(16 * 900)
STEREO = {
    "freeswitch-stereo-16k",
    "freeswitch-stereo-8k",
    "freeswitch-stereo-late-writer",
    "freeswitch-slow-handshake-1500",
}
WIDEBAND = {"freeswitch-stereo-16k", "freeswitch-slow-handshake-1500"}
SECRET = "a-token-of-twenty-four-characters"  # noqa: S105  a test's
CREDENTIALS = json.dumps([{"name": "fs", "secret": SECRET}])
BASIC = "authorization: Basic " + base64.b64encode(f"fs:{SECRET}".encode()).decode()


def stereo(left: bytes, right: bytes) -> bytes:
    """Lay two speakers side by side, the shorter with silence at its end."""
    rows = [np.frombuffer(each, "<i2") for each in (left, right)]
    longest = max(map(len, rows))
    return np.stack([np.pad(row, (0, longest - len(row))) for row in rows], axis=1).astype("<i2").tobytes()


def listeners(**settings: Any) -> str:
    return json.dumps([settings])


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as built:
        yield built


def finals(line: WebSocketLine) -> list[dict[str, Any]]:
    return [text["data"] for text in line.texts if "end_of_turn" in text["data"]]


async def test_a_stereo_fork_becomes_a_call_of_two_speakers_who_are_told_what_they_said(home: House) -> None:
    async with line(home.http_port, "/freeswitch?rate=8000&channels=2") as fork:
        await fork.say('{"callId":"c1","calling":"1555"}')
        await fork.speak(stereo(SPEECH, PAUSE + SPEECH), 640)
        await fork.say(b"")
        assert await fork.closed() == (1000, "")
        assert await fork.rest() == b""
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], ended["parameters"]) == ("stopped", {"callId": "c1", "calling": "1555"})
    back = {data["track"]: data for data in finals(fork)}
    assert list(back) == ["inbound", "outbound"]
    assert back["outbound"]["start_ms"] - back["inbound"]["start_ms"] == pytest.approx(900, abs=60)
    assert finals(fork) == home.inbox.of("transcript.final", "c1")
    assert all(text["type"] == "transcription" and set(text) == {"type", "data"} for text in fork.texts)
    assert back["inbound"]["source"] == {
        "kind": "freeswitch",
        "listener": "freeswitch",
        "call_id": "c1",
        "stream_id": "c1",
        "account_id": None,
    }


@pytest.mark.parametrize("name", FORKS)
async def test_a_recorded_session_is_a_call_with_all_its_audio_on_its_tracks(home: House, name: str) -> None:
    session = fork(name)
    wide, both = name in WIDEBAND, name in STEREO
    query = f"?rate={16000 if wide else 8000}&channels={2 if both else 1}"
    request = session.upgrade.replace(session.url.raw_path_qs.encode(), f"/freeswitch{query}".encode(), 1)
    async with connected(home.http_port) as client:
        answer = await client.ask(request)
        assert (answer.status, answer.version) == (101, "HTTP/1.1")
        offered = "audio.drachtio.org" if b"drachtio" in request else "my.proto" if b"my.proto" in request else None
        assert answer.headers.get("sec-websocket-protocol") == offered
        assert "sec-websocket-extensions" not in answer.headers
        await client.say(*session.said())
        if b"" in session.said():
            assert (await client.closed())[0] == 1000
        else:
            client.writer.write(close_frame())
            assert (await client.rest()).endswith(b"\x88\x02\x03\xe8")
    if not session.messages:
        assert home.inbox.received == []
        return
    (ended,) = await home.inbox.wait("call.ended")
    audio = sum(len(data) for data in session.said() if isinstance(data, bytes))
    audio_ms = audio // (4 if both else 2) // (16 if wide else 8)
    assert ended["audio_ms"] == dict.fromkeys(["inbound", "outbound"] if both else ["inbound"], audio_ms)
    texts = [data for data in session.said() if isinstance(data, str)]
    later = texts[1:] if isinstance(session.said()[0], str) else texts
    assert [each["text"] for each in home.inbox.of("call.message")] == later
    assert ended["source"]["call_id"] == (json.loads(texts[0]).get("callId") if texts else None)


async def test_the_handshake_is_answered_as_it_should_be(home: House) -> None:
    async with connected(home.http_port) as client:
        answer = await client.ask(upgrade("/freeswitch"))
        assert answer.headers["sec-websocket-accept"] == ACCEPT
        assert answer.headers["server"] == "linescribe"
        assert "sec-websocket-protocol" not in answer.headers


async def test_interims_go_back_where_the_listener_wants_them(tmp_path: Path) -> None:
    async with house(tmp_path, FREESWITCH=listeners(transcripts="interims")) as home:
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}")
            await fork.speak(SPEECH, 320)
            first = await fork.hear()
            assert first["data"]["revision"] == 1
            await fork.say(b"")
            assert (await fork.closed())[0] == 1000
        (ended,) = await home.inbox.wait("call.ended")
    assert len(finals(fork)) == 1
    assert "revision" not in finals(fork)[0]
    assert home.inbox.of("transcript.interim") == [], "the endpoint wants none"
    assert ended["reason"] == "stopped"


async def test_nothing_goes_back_where_the_listener_wants_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, FREESWITCH=listeners(transcripts="nothing")) as home:
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.speak(SPEECH, 320)
            await fork.say(b"")
            assert (await fork.closed())[0] == 1000
        await home.inbox.wait("transcript.final")
    assert fork.texts == []


async def test_a_final_reaches_the_socket_while_the_call_goes_on(home: House) -> None:
    async with line(home.http_port, "/freeswitch") as fork:
        await fork.speak(SPEECH + PAUSE, 320)
        assert (await fork.hear())["data"]["text"].startswith("utterance of")
        await fork.say('{"step":2}')
        await home.inbox.wait("call.message")
        await fork.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert ended["reason"] == "hangup"


async def test_close_is_answered_and_tcp_let_go_at_once(home: House) -> None:
    async with line(home.http_port, "/freeswitch") as fork:
        await fork.say("{}")
        fork.writer.write(close_frame(1000, b"Normal closure"))
        assert await fork.rest() == b"\x88\x02\x03\xe8"
    await home.inbox.wait("call.ended")


async def test_audio_that_comes_with_the_close_and_the_end_of_tcp_is_heard(home: House) -> None:
    """More than the sockets hand over at a time."""
    async with line(home.http_port, "/freeswitch") as fork:
        audio = (SPEECH + PAUSE) * 10
        fork.writer.write(b"".join(message_frame(audio[start : start + 320]) for start in range(0, len(audio), 320)))
        fork.writer.write(close_frame())
        fork.writer.write_eof()
        await fork.rest()
    (ended,) = await home.inbox.wait("call.ended")
    assert ended["audio_ms"] == {"inbound": pytest.approx(len(audio) / 16, abs=1)}
    assert (ended["reason"], ended["utterances"]) == ("hangup", 10)


@pytest.mark.parametrize("ending", ["reset", "end of TCP"])
async def test_an_end_without_close_is_a_lost_connection(home: House, ending: str) -> None:
    async with line(home.http_port, "/freeswitch") as fork:
        await fork.speak(SPEECH + PAUSE, 320)
        await fork.hear()
        if ending == "reset":
            sock = fork.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        fork.writer.close()
        (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], ended["utterances"]) == ("connection_lost", 1)


async def test_one_message_of_seconds_comes_first_and_is_heard(home: House) -> None:
    async with line(home.http_port, "/freeswitch?rate=8k") as fork:
        await fork.say(SPEECH)
        await fork.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["utterances"], ended["source"]["call_id"]) == (1, None)


@pytest.mark.parametrize("path", ["/freeswitch", "/freeswitch/second", f"/freeswitch/second/{'x' * 30}"])
async def test_listeners_have_paths_of_their_own_and_the_first_the_bare_one(tmp_path: Path, path: str) -> None:
    two = json.dumps([{"name": "first"}, {"name": "second", "account": "office"}])
    async with house(tmp_path, FREESWITCH=two) as home, line(home.http_port, path) as fork:
        await fork.say("{}")
        (started,) = await home.inbox.wait("call.started")
    wanted = ("first", None) if path == "/freeswitch" else ("second", "office")
    assert (started["source"]["listener"], started["source"]["account_id"]) == wanted


async def test_two_mono_forks_of_an_account_are_one_call_and_each_hears_its_own(tmp_path: Path) -> None:
    async with house(tmp_path, FREESWITCH=listeners(account="office"), CALLS__LINGER_SECONDS=0.5) as home:
        async with (
            line(home.http_port, "/freeswitch?call=c1") as one,
            line(home.http_port, "/freeswitch?call=c1&role=outbound&label=agent") as other,
        ):
            for fork in (one, other):
                await fork.speak(SPEECH, 320)
                await fork.say(b"")
                assert (await fork.closed())[0] == 1000
        await home.inbox.wait("call.ended")
    assert [data["track"] for data in finals(one)] == ["inbound"]
    assert [(data["track"], data["label"]) for data in finals(other)] == [("outbound", "agent")]
    assert home.inbox.types("c1").count("call.started") == 1


async def test_metadata_decides_about_its_call_and_a_wish_that_cannot_be_had_is_left_aside(home: House) -> None:
    with capture_logs() as logs:
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say('{"language":"de","options":{"hotwords":"Linescribe","words":true}}')
            await fork.speak(SPEECH, 320)
            await fork.hang_up()
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say('{"language":"Klingon"}')
            await fork.speak(SPEECH, 320)
            await fork.hang_up()
        await home.inbox.wait("call.ended", 2)
    assert [request.language for request in home.engine.begun] == ["de", "en"]
    assert [request.options.hotwords for request in home.engine.begun] == ["Linescribe", None]
    assert [each["words"] for each in home.inbox.of("transcript.final")] == [[], None]
    assert any("left aside" in each["event"] for each in logs)


async def test_compression_is_taken_up_where_it_is_offered(home: House) -> None:
    """As a repaired build of mod_audio_stream offers it."""
    offer = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
    async with line(home.http_port, "/freeswitch", f"Sec-WebSocket-Extensions: {offer}") as fork:
        for start in range(0, len(SPEECH), 320):
            packer = zlib.compressobj(wbits=-15)
            packed = packer.compress(SPEECH[start : start + 320]) + packer.flush(zlib.Z_SYNC_FLUSH)
            fork.writer.write(frame(BINARY, packed.removesuffix(b"\x00\x00\xff\xff"), rsv=4))
        fork.writer.write(close_frame())
        (ended,) = await home.inbox.wait("call.ended")
    assert ended["audio_ms"] == {"inbound": pytest.approx(len(SPEECH) / 16, abs=1)}


async def test_the_gateway_never_pings_and_answers_who_does(home: House) -> None:
    async with line(home.http_port, "/freeswitch") as fork:
        await fork.say("{}")
        fork.writer.write(frame(9, b"ping"))
        assert await fork.next() == (10, b"ping")
        await fork.hang_up()


# Who may come in.


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/freeswitch", [BASIC]),
        ("/freeswitch", [f"Authorization:Bearer {SECRET}"]),
        (f"/freeswitch?token={SECRET}&call=c1", []),
        (f"/freeswitch/freeswitch/{SECRET}", []),
    ],
)
async def test_a_credential_lets_in_and_is_told_to_nobody(tmp_path: Path, path: str, headers: list[str]) -> None:
    with capture_logs() as logs:
        async with house(tmp_path, FREESWITCH=listeners(credentials=json.loads(CREDENTIALS))) as home:
            async with line(home.http_port, path, *headers) as fork:
                await fork.say("{}")
                await home.inbox.wait("call.started")
            await home.inbox.wait("call.ended")
    assert SECRET not in json.dumps([*home.inbox.of_any(), *logs], default=str)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/freeswitch", []),
        ("/freeswitch", [BASIC[:-4]]),
        ("/freeswitch?token=wrong", []),
        ("/freeswitch/freeswitch/wrong", []),
        (f"/freeswitch?secret={SECRET}", []),
    ],
)
async def test_without_one_the_upgrade_is_answered_with_401(tmp_path: Path, path: str, headers: list[str]) -> None:
    with capture_logs() as logs:
        async with (
            house(tmp_path, FREESWITCH=listeners(credentials=json.loads(CREDENTIALS))) as home,
            connected(home.http_port) as client,
        ):
            answer = await client.ask(upgrade(path, *headers))
    assert (answer.status, answer.error["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert any(each["event"] == "client turned away" for each in logs)
    assert home.inbox.received == []


async def test_a_token_may_come_in_the_metadata_where_the_listener_says_so(tmp_path: Path) -> None:
    wanted = listeners(credentials=json.loads(CREDENTIALS), metadata_token=True)
    async with house(tmp_path, FREESWITCH=wanted) as home:
        async with line(home.http_port, "/freeswitch") as good:
            await good.say(f'{{"token":"{SECRET}","a":"b"}}')
            (started,) = await home.inbox.wait("call.started")
        async with line(home.http_port, "/freeswitch") as bad:
            await bad.say('{"a":"b"}', SPEECH)
            code, reason = await bad.closed()
        async with line(home.http_port, "/freeswitch") as mute:
            await mute.say(SPEECH)
            assert (await mute.closed())[0] == code
    assert started["parameters"] == {"a": "b"}
    assert code == 1008
    assert "token" in reason
    assert len(home.inbox.of("call.started")) == 1


async def test_one_that_knows_nobody_lets_no_proxy_bring_others(home: House) -> None:
    async with connected(home.http_port) as client:
        answer = await client.ask(upgrade("/freeswitch", "X-Forwarded-For: 203.0.113.9"))
    assert (answer.status, answer.error["code"]) == (403, "not_local")
    assert "credentials" in answer.error["message"]


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (upgrade("/freeswitch/nobody"), 404, "not_found"),
        (upgrade("/freeswitch?rate=11025"), 400, "invalid"),
        (upgrade("/freeswitch?channels=x"), 400, "invalid"),
        (upgrade("/freeswitch").replace(b"Upgrade: websocket\r\n", b""), 426, "upgrade_required"),
        (upgrade("/freeswitch").replace(b"Version: 13", b"Version: 3"), 400, "bad_request"),
        (upgrade("/freeswitch").replace(b"Sec-WebSocket-Key", b"X-Key"), 400, "bad_request"),
        (upgrade("/freeswitch").replace(b"GET", b"POST"), 405, "method_not_allowed"),
    ],
)
async def test_what_cannot_be_used_is_refused_with_its_reason(
    home: House, request_bytes: bytes, status: int, code: str
) -> None:
    async with connected(home.http_port) as client:
        answer = await client.ask(request_bytes)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert home.inbox.received == []


async def test_a_full_gateway_refuses_before_the_upgrade_and_says_when_to_come_again(tmp_path: Path) -> None:
    async with house(tmp_path, CALLS__MAX_CALLS=1) as home:
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}")
            await home.inbox.wait("call.started")
            async with connected(home.http_port) as client:
                answer = await client.ask(upgrade("/freeswitch"))
            assert (answer.status, answer.error["code"]) == (503, "full")
            assert int(answer.headers["retry-after"]) > 0
            await fork.hang_up()
        await home.inbox.wait("call.ended")
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}")
            await home.inbox.wait("call.started", 2)


async def test_a_route_that_is_full_is_found_out_later_and_said_by_the_close(tmp_path: Path) -> None:
    async with (
        house(tmp_path, ROUTES="[{name: trial, max_calls: 1}]") as home,
        line(home.http_port, "/freeswitch") as one,
        line(home.http_port, "/freeswitch") as other,
    ):
        await one.say("{}")
        await home.inbox.wait("call.started")
        await other.say("{}", SPEECH)
        assert await other.closed() == (1013, "full")


async def test_a_gateway_that_drains_keeps_its_port_and_refuses_while_calls_go_on(home: House) -> None:
    async with line(home.http_port, "/freeswitch") as fork:
        await fork.say("{}")
        await home.inbox.wait("call.started")
        home.gateway.stop()
        async with connected(home.http_port) as client:
            answer = await client.ask(upgrade("/freeswitch"))
        assert (answer.status, answer.error["code"]) == (503, "draining")
        assert "retry-after" not in answer.headers
        await fork.speak(SPEECH, 320)
        await fork.say(b"")
        assert (await fork.closed())[0] == 1000
        await home.running
    assert len(finals(fork)) == 1


async def test_a_gateway_that_is_stopped_tells_what_was_said_and_closes(tmp_path: Path) -> None:
    async with house(tmp_path) as home, line(home.http_port, "/freeswitch") as fork:
        await fork.speak(SPEECH, 320)
        await home.inbox.wait("call.started")
        home.gateway.stop()
        home.gateway.stop()
        assert (await fork.closed())[0] == 1000
        assert len(finals(fork)) == 1
    (ended,) = home.inbox.of("call.ended")
    assert ended["reason"] == "shutdown"


async def test_a_call_that_is_ended_by_the_api_is_told_what_was_said_and_closed(home: House) -> None:
    async with line(home.http_port, "/freeswitch?call=c1", f"X-Unused: {TOKEN}") as fork:
        await fork.speak(SPEECH, 320)
        await home.inbox.wait("call.started")
        assert (await home.ask("POST", "/v1/calls/c1/end"))[0] == 200
        assert (await fork.closed())[0] == 1000
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], len(finals(fork))) == ("admin", 1)


# What harms nobody else.


async def test_a_socket_that_never_brings_a_frame_is_closed_and_one_that_did_is_not(tmp_path: Path) -> None:
    async with house(tmp_path, FREESWITCH=listeners(first_message_seconds=0.3)) as home:
        async with line(home.http_port, "/freeswitch") as quiet, line(home.http_port, "/freeswitch") as orphan:
            await quiet.say("{}")
            code, _ = await orphan.closed()
            assert code == 1000
            await home.inbox.wait("call.started")
            async with line(home.http_port, "/freeswitch") as later:  # as much time passes once more
                await later.closed()
            await quiet.speak(SPEECH, 320)
            await quiet.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], ended["utterances"]) == ("hangup", 1)


async def test_sockets_that_say_nothing_make_room_for_those_that_do(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_WAITING", 2)
    async with (
        line(home.http_port, "/freeswitch") as first,
        line(home.http_port, "/freeswitch") as second,
        line(home.http_port, "/freeswitch"),
    ):
        assert (await first.closed())[0] == 1008
        await second.say("{}")
        await home.inbox.wait("call.started")


async def test_a_reader_that_does_not_read_is_shed_and_holds_up_nobody(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "FAREWELL_SECONDS", 0.3)
    home.engine._text = lambda _request: "x" * 1_000_000
    with capture_logs() as logs:
        async with line(home.http_port, "/freeswitch?call=deaf") as deaf, line(home.http_port, "/freeswitch") as good:
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            utterances = 20
            for _ in range(utterances):
                await deaf.speak(SPEECH[:16_000] + PAUSE, 320)
            await home.inbox.wait("transcript.final", utterances, "deaf")
            home.engine._text = lambda _request: "Yes."
            await good.speak(SPEECH + PAUSE, 320)
            assert (await good.hear())["data"]["text"] == "Yes."
            await deaf.say(b"")
            (ended,) = await home.inbox.wait("call.ended", 1, "deaf")
            await good.hang_up()
    assert ended["utterances"] == utterances
    assert len([each for each in logs if "reads too slowly" in each["event"]]) == 1


PACKER = zlib.compressobj(wbits=-15)
BOMB = frame(
    BINARY, (PACKER.compress(bytes(2 << 20)) + PACKER.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff"), rsv=4
)
BREACHES = {
    "a message that is too long": frame(BINARY, bytes(3 << 20)),
    "fragments that are too long": frame(BINARY, bytes(1 << 20), fin=False) + frame(0, bytes(1 << 20), fin=False) * 2,
    "a length beyond all": b"\x82\xff" + b"\x7f" + b"\xff" * 7 + bytes(4),
    "a reserved opcode": frame(3, b"x"),
    "reserved bits": frame(BINARY, b"x", rsv=2),
    "a continuation of nothing": frame(0, b"x"),
    "a fragmented ping": frame(9, b"x", fin=False),
    "a long ping": frame(9, bytes(200)),
    "a close that is none": frame(CLOSE, b"\x00"),
    "a code that nobody may send": close_frame(1005),
    "noise": bytes(range(256)) * 20,
}
FLOODS = {
    "texts": message_frame("x") * 1_000,
    "long texts": message_frame("x" * 16_000) * 20,
    "frames": message_frame(b"ab") * 5_000,
    "empty texts": message_frame("") * 5_000,
    "pings": frame(9, b"") * 5_000,
    "pongs": frame(10, b"") * 5_000,
    "audio": frame(BINARY, bytes(1 << 20)) * 5,
    "bombs": BOMB * 10,
}


async def spoil(home: House, attack: bytes, *, introduced: bool, times: int) -> dict[str, Any]:
    """Let a peer do its worst beside a call, until it is cut off; see to the end of that call, and give its own."""
    deflate = "Sec-WebSocket-Extensions: permessage-deflate"
    async with (
        line(home.http_port, "/freeswitch?call=bad", *([deflate] if attack.startswith(b"\xc2") else [])) as bad,
        line(home.http_port, "/freeswitch?call=good") as good,
    ):
        await good.speak(SPEECH[:16_000], 320)
        if introduced:
            await bad.say("{}")
            await home.inbox.wait("call.started", 1, "bad")
        with suppress(ConnectionError):
            for _ in range(times):
                bad.writer.write(attack)
                await bad.writer.drain()
        await bad.rest()  # it says no Close, and ends nothing: the gateway does
        await good.speak(SPEECH[16_000:] + PAUSE, 320)
        await good.hear()
        await good.hang_up()
        (ended,) = await home.inbox.wait("call.ended", 1, "good")
        assert (ended["reason"], ended["utterances"], ended["failed"]) == ("hangup", 1, 0)
        return (await home.inbox.wait("call.ended", 1, "bad"))[0] if introduced else {}


@pytest.mark.parametrize("attack", BREACHES.values(), ids=BREACHES)
@pytest.mark.parametrize("introduced", [False, True])
async def test_a_peer_that_breaks_the_rules_costs_its_own_call_alone(
    home: House, attack: bytes, introduced: bool
) -> None:
    ended = await spoil(home, attack, introduced=introduced, times=1)
    assert not introduced or (ended["reason"], ended["error"]["code"]) == ("protocol_error", "protocol_error")


@pytest.mark.parametrize("attack", FLOODS.values(), ids=FLOODS)
async def test_a_peer_that_sends_without_end_is_cut_off(home: House, attack: bytes) -> None:
    ended = await spoil(home, attack, introduced=True, times=1_000_000)
    assert ended["reason"] == "protocol_error"
    assert ended["error"]["message"] in {"too many frames", "too many messages", websocket.FLOOD}


async def test_text_that_is_no_utf_8_ends_no_call(home: House) -> None:
    """mod_audio_fork cuts metadata after 8,192 bytes, and these may be in the middle of a character."""
    cut = ('{"callId":"c1","n":"' + "ü" * 5_000).encode()[:8_191]
    async with line(home.http_port, "/freeswitch?call=c1") as fork:
        fork.writer.write(frame(TEXT, cut))
        await fork.speak(SPEECH, 320)
        fork.writer.write(frame(TEXT, "schön".encode("latin-1")))
        await fork.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], ended["utterances"], ended["source"]["call_id"]) == ("hangup", 1, "c1")
    assert ended["parameters"]["metadata"].startswith('{"callId":"c1","n":"üü')
    assert [each["text"] for each in home.inbox.of("call.message")] == ["sch\N{REPLACEMENT CHARACTER}n"]


async def test_pings_of_a_peer_that_does_not_read_hold_up_nothing_of_its_call(home: House) -> None:
    async with line(home.http_port, "/freeswitch") as fork:
        fork.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await fork.say("{}")
        for start in range(0, len(SPEECH), 320):
            fork.writer.write(frame(9, bytes(125)) * 30 + message_frame(SPEECH[start : start + 320]))
            await fork.writer.drain()
        fork.writer.write(close_frame())
        (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], ended["utterances"]) == ("hangup", 1)


async def test_seconds_that_come_first_are_older_than_the_call(home: House) -> None:
    """As where FreeSWITCH has had to wait for the connection: what follows is in time all the same."""
    async with line(home.http_port, "/freeswitch") as fork:
        await fork.say(bytes(16 * 5_000))
        await fork.speak(SPEECH, 320)
        (final,) = await home.inbox.wait("transcript.final")
        now = datetime.now(UTC)
        await fork.hang_up()
    assert datetime.fromisoformat(final["start_time"]) < now
    assert 0 <= final["start_ms"] < 3_000


async def test_a_client_that_is_gone_before_the_answer_is_nobodys_fault(home: House) -> None:
    with capture_logs() as logs:
        for _ in range(20):
            async with connected(home.http_port) as client:
                client.writer.write(upgrade("/freeswitch"))
                sock = client.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}")
            await home.inbox.wait("call.started")
    assert [each for each in logs if each["log_level"] in {"warning", "error"}] == []


async def test_a_bad_handshake_makes_nobody_a_connection_that_is_not_counted(home: House) -> None:
    bad = upgrade("/freeswitch").replace(b"Version: 13", b"Version: 3")
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(300):
            clients.append(await stack.enter_async_context(connected(home.http_port)))
            assert (await clients[-1].ask(bad)).status == 400
        assert [await client.rest() for client in clients[:40]] == [b""] * 40, "there may be 256, and the oldest go"


@pytest.mark.parametrize(
    "path",
    [f"//freeswitch/x/{SECRET}", f"/freeswitch%2Fx%2F{SECRET}", f"/Freeswitch/x/{SECRET}", f"/./freeswitch/x/{SECRET}"],
)
async def test_a_path_with_a_mistake_in_it_is_not_logged(home: House, path: str) -> None:
    with capture_logs() as logs:
        async with connected(home.http_port) as client:
            assert (await client.ask(upgrade(path))).status in {400, 401, 404}
        await home.ask("GET", "/v1/calls")
    assert SECRET not in repr(logs)


async def test_wss_is_the_same_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    served = authority.issue_cert("127.0.0.1")
    served.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    served.private_key_pem.write_to_path(tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    files = {"certificate": str(tmp_path / "certificate.pem"), "key": str(tmp_path / "key.pem")}
    async with house(tmp_path, HTTP__TLS=json.dumps(files)) as home:
        reader, writer = await asyncio.open_connection("127.0.0.1", home.http_port, ssl=trusting)
        fork = WebSocketLine(reader, writer)
        assert (await fork.ask(upgrade("/freeswitch"))).status == 101
        await fork.speak(SPEECH, 320)
        await fork.say(b"")
        assert (await fork.closed())[0] == 1000
        assert await fork.rest() == b""
        writer.close()
        (ended,) = await home.inbox.wait("call.ended")
    assert (ended["utterances"], len(finals(fork))) == (1, 1)


async def test_audio_of_hours_in_one_moment_is_dropped_with_one_warning(home: House) -> None:
    with capture_logs() as logs:
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}", *[bytes(320_000)] * 10)
            await fork.hang_up()
            (ended,) = await home.inbox.wait("call.ended")
    assert ended["audio_ms"]["inbound"] <= 61_000
    assert len([each for each in logs if "faster than anybody can speak" in each["event"]]) == 1


async def test_audio_at_another_rate_than_was_said_is_told_with_the_remedy(home: House) -> None:
    def told() -> list[MutableMapping[str, Any]]:
        return [each for each in logs if "?rate=16000&channels=2" in each["event"]]

    with capture_logs() as logs:
        async with line(home.http_port, "/freeswitch?rate=8000") as fork, asyncio.timeout(60):
            while not told():
                await fork.say(bytes(640))
                await asyncio.sleep(0.02)  # a caller's packets, in time
            await fork.hang_up()
            await home.inbox.wait("call.ended")
    assert [each["log_level"] for each in told()] == ["error"]


async def test_one_channel_that_was_said_to_be_two_is_told_with_the_remedy(home: House) -> None:
    wide = np.repeat(np.frombuffer(SPEECH * 3, "<i2"), 2).tobytes()
    with capture_logs() as logs:
        async with line(home.http_port, "/freeswitch?rate=8000&channels=2") as fork:
            await fork.speak(wide, 640)
            await fork.hang_up()
        await home.inbox.wait("call.ended")
    assert len([each for each in logs if "both channels carry the same sound" in each["event"]]) == 1


async def test_metadata_of_any_bytes_is_kept_and_the_call_goes_on(tmp_path: Path) -> None:
    hostile = ['{"a":"\\ud800"}', "[" * 50_000, "x" * 200_000, '{"callId":{"a":[]}}', '{"":""}', "\x00\x1b[2J", " "]
    async with house(tmp_path, engine=FakeEngine()) as home:
        for metadata in hostile:
            async with line(home.http_port, "/freeswitch") as fork:
                await fork.say(metadata, SPEECH)
                await fork.hang_up()
        ended = await home.inbox.wait("call.ended", len(hostile))
    assert [(each["reason"], each["utterances"]) for each in ended] == [("hangup", 1)] * len(hostile)
