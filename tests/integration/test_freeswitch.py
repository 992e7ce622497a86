"""FreeSWITCH's forks into a whole gateway, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import trustme
from structlog.testing import capture_logs

from tests.fakes import FakeEngine
from tests.gateway_under_test import House, house, listener
from tests.recorded import BINARY, FORKS, TEXT, close_frame, fork, frame, message_frame
from tests.sound import prompt
from tests.websocket_lines import ACCEPT, WebSocketLine, connected, line, upgrade

if TYPE_CHECKING:
    from collections.abc import MutableMapping
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


def stereo(left: bytes, right: bytes) -> bytes:
    """Lay two speakers side by side, the shorter with silence at its end."""
    rows = [np.frombuffer(each, "<i2") for each in (left, right)]
    longest = max(map(len, rows))
    return np.stack([np.pad(row, (0, longest - len(row))) for row in rows], axis=1).astype("<i2").tobytes()


async def test_a_stereo_fork_becomes_a_call_of_two_speakers_who_are_told_what_they_said(home: House) -> None:
    async with line(home.http_port, "/freeswitch?rate=8000&channels=2") as fork:
        await fork.say('{"callId":"c1","calling":"1555"}')
        await fork.speak(stereo(SPEECH, PAUSE + SPEECH), 640)
        await fork.say(b"")
        assert await fork.closed() == (1000, "")
        assert await fork.rest() == b""
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], ended["parameters"]) == ("stopped", {"callId": "c1", "calling": "1555"})
    back = {data["track"]: data for data in fork.finals}
    assert list(back) == ["inbound", "outbound"]
    assert back["outbound"]["start_ms"] - back["inbound"]["start_ms"] == pytest.approx(900, abs=60)
    assert fork.finals == home.inbox.of("transcript.final", "c1")
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
    async with house(tmp_path, FREESWITCH=listener(transcripts="interims")) as home:
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}")
            await fork.speak(SPEECH, 320)
            first = await fork.hear()
            assert first["data"]["revision"] == 1
            await fork.say(b"")
            assert (await fork.closed())[0] == 1000
        (ended,) = await home.inbox.wait("call.ended")
    assert len(fork.finals) == 1
    assert "revision" not in fork.finals[0]
    assert home.inbox.of("transcript.interim") == [], "the endpoint wants none"
    assert ended["reason"] == "stopped"


async def test_nothing_goes_back_where_the_listener_wants_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, FREESWITCH=listener(transcripts="nothing")) as home:
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
    async with house(tmp_path, FREESWITCH=listener(account="office"), CALLS__LINGER_SECONDS=0.5) as home:
        async with (
            line(home.http_port, "/freeswitch?call=c1") as one,
            line(home.http_port, "/freeswitch?call=c1&role=outbound&label=agent") as other,
        ):
            for fork in (one, other):
                await fork.speak(SPEECH, 320)
                await fork.say(b"")
                assert (await fork.closed())[0] == 1000
        await home.inbox.wait("call.ended")
    assert [data["track"] for data in one.finals] == ["inbound"]
    assert [(data["track"], data["label"]) for data in other.finals] == [("outbound", "agent")]
    assert home.inbox.types("c1").count("call.started") == 1


async def test_metadata_decides_about_its_call_and_a_wish_that_cannot_be_had_is_left_aside(home: House) -> None:
    with capture_logs() as logs:
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say('{"language":"de","options":{"hotwords":"Linescribe","words":true}}')
            await fork.speak(SPEECH, 320)
            await fork.hang_up()
        await home.inbox.wait("call.ended")  # calls are in order each for itself, not among one another
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


async def test_seconds_that_come_first_are_older_than_the_call(home: House) -> None:
    """As where FreeSWITCH has had to wait for the connection: what follows is in time all the same."""
    async with line(home.http_port, "/freeswitch") as fork:
        await fork.say(bytes(16 * 2_000))
        for start in range(0, 16_000, 320):
            await fork.say(SPEECH[start : start + 320])
            await asyncio.sleep(0.02)  # a caller's packets, in time
        await fork.say(PAUSE)
        (final,) = await home.inbox.wait("transcript.final")
        now = datetime.now(UTC)
        await fork.hang_up()
    assert datetime.fromisoformat(final["start_time"]) < now
    assert 0 <= final["start_ms"] < 1_000
    assert final["end_ms"] > final["start_ms"]


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
    assert (ended["utterances"], len(fork.finals)) == (1, 1)


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
