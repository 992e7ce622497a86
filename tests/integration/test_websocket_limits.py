"""WebSockets that stall, flood, lie or say nothing: what each costs itself, and nobody else."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from adapters import connections
from adapters.wire import websocket
from adapters.wire.preamble_pcm import PreamblePcmWire
from tests.gateway_under_test import House, house, listener
from tests.recorded import BINARY, CLOSE, close_frame, frame, message_frame
from tests.sound import prompt
from tests.websocket_lines import line

if TYPE_CHECKING:
    from pathlib import Path

    from adapters.stream import StreamEvent

SPEECH = prompt("conf-onlyperson")
"""Three seconds."""
PAUSE = bytes(16 * 900)


async def test_a_socket_that_never_brings_a_frame_is_closed_and_one_that_did_is_not(tmp_path: Path) -> None:
    async with house(tmp_path, FREESWITCH=listener(first_message_seconds=0.3)) as home:
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


async def spoil(home: House, attack: bytes, *, introduced: bool, times: int, opening: bytes = b"") -> dict[str, Any]:
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
            bad.writer.write(opening)
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


async def test_a_message_without_end_that_never_grows_is_cut_off(home: House) -> None:
    fragments = frame(0, b"", fin=False) * 20_000
    opening = frame(BINARY, b"x", fin=False)
    ended = await spoil(home, fragments, introduced=True, times=1_000_000, opening=opening)
    assert (ended["reason"], ended["error"]["message"]) == ("protocol_error", websocket.FLOOD)


async def test_whatever_one_peer_sends_the_others_have_their_turns(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, at_turn = 0, []

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    digest = PreamblePcmWire.receive_data

    def receive(wire: PreamblePcmWire, data: str | bytes) -> list[StreamEvent]:
        at_turn.append(turns)
        return digest(wire, data)

    monkeypatch.setattr(PreamblePcmWire, "receive_data", receive)
    async with asyncio.TaskGroup() as group:
        others = group.create_task(take_turns())
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say(*[bytes(320)] * 5_000)
            await fork.hang_up()
            await home.inbox.wait("call.ended")
        others.cancel()
    assert len(at_turn) == 5_000
    assert max(Counter(at_turn).values()) <= 64


async def test_pings_of_a_peer_that_does_not_read_hold_up_nothing_of_its_call(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def harden(transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    monkeypatch.setattr(websocket, "harden", harden)  # so that the answers do not all fit in between
    async with line(home.http_port, "/freeswitch") as fork:
        fork.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        fork.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await fork.say("{}")
        for start in range(0, len(SPEECH), 320):
            fork.writer.write(frame(9, bytes(125)) * 30 + message_frame(SPEECH[start : start + 320]))
            await fork.writer.drain()
        fork.writer.write(close_frame())
        (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], ended["utterances"]) == ("hangup", 1)


async def test_audio_of_hours_in_one_moment_is_dropped_with_one_warning(home: House) -> None:
    with capture_logs() as logs:
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}", *[bytes(320_000)] * 10)
            await fork.hang_up()
            (ended,) = await home.inbox.wait("call.ended")
    assert ended["audio_ms"]["inbound"] <= 61_000
    assert len([each for each in logs if "faster than anybody can speak" in each["event"]]) == 1
