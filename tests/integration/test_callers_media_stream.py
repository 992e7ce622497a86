from __future__ import annotations

import asyncio
import itertools
import json
import random
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiohttp import WSMsgType, web

from gateway.callers.media_stream import CLOSE_SECONDS, MOST_UNSENT_BYTES, call_media_stream
from gateway.callers.media_stream_names import Stream
from gateway.callers.media_stream_plan import FORMATS, PACKETS_MS, Dialect, End, Step, StreamPlan, steps
from gateway.callers.media_stream_writer import Writer
from gateway.callers.plan import At
from gateway.callers.upgrade import UpgradeError
from tests.simulated_time import run_simulated
from tests.sound import prompt
from tests.wire_recorder import BINARY, CLOSE, PING, PONG, TEXT, Wire, normal, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.callers.websocket import SocketCall

SPEECH = prompt("conf-onlyperson")
ULAW = StreamPlan().encode(SPEECH)
STREAM = Stream(account_id="AC1", call_id="CA1", stream_id="MZ1", parameters=(("call_ref", "17"),))
SOCKET_SECONDS = 0.001
NORMAL_CLOSE = (1000).to_bytes(2, "big")


def play(
    serve: Callable[[Wire], Awaitable[None]], plan: StreamPlan, payloads: Sequence[bytes] = (ULAW,), **more: Any
) -> tuple[SocketCall, Wire]:
    """Make one call, as fast as it goes, and tell how it went on both sides."""

    async def both() -> tuple[SocketCall, Wire]:
        async with recording(serve) as recorder:
            result = await call_media_stream(
                payloads,
                url=f"ws://127.0.0.1:{recorder.port}/media",
                stream=STREAM,
                plan=plan,
                randbytes=random.Random(1).randbytes,
                **more,
            )
        (wire,) = recorder.wires
        return result, wire

    return run_simulated(both(), socket_seconds=SOCKET_SECONDS)


async def accept(wire: Wire) -> None:
    wire.answer()


def texts(wire: Wire) -> list[dict[str, Any]]:
    return [json.loads(frame.payload) for frame in wire.of(TEXT)]


def written(plan: StreamPlan, payloads: Sequence[bytes]) -> list[tuple[float, str]]:
    """Lay out every text that has to come, and its time."""
    writer = Writer(STREAM, plan)
    made = [(0.0, message.text) for message in writer.open()]
    last = Step(0.0, next(steps(payloads, plan)).what)
    for last in steps(payloads, plan):
        made += [(last.at, message.text) for message in writer.write(last.what)]
    return made + [(max(last.at, plan.ends_at(payloads)), message.text) for message in writer.close()]


@pytest.mark.parametrize(
    "changes",
    [
        {"tracks": 2, "keys": (At(0.5, "5"),)},
        {"loss": 0.2, "jitter_ms": 60},
        {"dialect": Dialect.SIGNALWIRE},
        {"dialect": Dialect.TELNYX, "tracks": 2, "reorder": 0.3, "loss": 0.1, "lost_have_numbers": True},
        {"dialect": Dialect.PLIVO, "epoch_ms": 1_767_322_800_000, "end": End.CLOSE},
        {"dialect": Dialect.EXOTEL, "keys": (At(0.5, "5"),)},
    ],
)
def test_the_wire_is_as_planned(changes: dict[str, Any]) -> None:
    dialect = changes.get("dialect", Dialect.TWILIO)
    plan = StreamPlan(**{"format": FORMATS[dialect][0], "packet_ms": PACKETS_MS[dialect], **changes})
    payloads = [plan.encode(SPEECH[:8000]), plan.encode(SPEECH[8000:12000])][: plan.tracks]
    result, wire = play(accept, plan, payloads)
    wanted = written(plan, payloads)
    assert [frame.payload.decode() for frame in wire.of(TEXT)] == [text for _, text in wanted]
    begin = wire.times[0]
    assert [at - begin for at in wire.times[:-1]] == pytest.approx([at for at, _ in wanted], abs=0.002)
    assert {(frame.fin, frame.reserved, frame.masked) for frame in wire.frames} == {(True, 0, True)}
    assert (wire.frames[-1].opcode, wire.frames[-1].payload) == (CLOSE, NORMAL_CLOSE)
    assert wire.times[-1] - begin == pytest.approx(max(wanted[-1][0], plan.ends_at(payloads)), abs=0.002)
    media = [message for message in texts(wire) if message["event"] == "media"]
    assert (result.messages, result.audio_bytes) == (len(media), len(media) * plan.packet_bytes)
    assert (result.ended_by_gateway, result.close_code, result.broken, result.overruns) == (False, 1000, None, 0)


def test_keys_of_two_frames_differ() -> None:
    _, wire = play(accept, StreamPlan(hang_up_at=1.0))
    assert len(set(wire.mask_keys)) == len(wire.frames) > 40


def test_the_request_is_twilios() -> None:
    _, wire = play(accept, StreamPlan(hang_up_at=0.2), proof=["X-Twilio-Signature: SIGNATURE"])
    assert normal(wire.request) == (
        "GET /media HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nUser-Agent: Twilio.TmeWs/1.0\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\n"
        "X-Twilio-Signature: SIGNATURE\r\nAccept-Encoding: gzip\r\n\r\n"
    )


def test_a_connection_that_breaks_says_nothing_first() -> None:
    result, wire = play(accept, StreamPlan(end=End.BREAK, hang_up_at=0.5))
    assert wire.was_reset
    assert [message["event"] for message in texts(wire)] == ["connected", "start", *["media"] * 19]
    assert wire.of(CLOSE) == []
    assert (result.ended_by_gateway, result.broken) == (False, None)


def test_the_gateway_may_be_the_first_to_close() -> None:
    async def close(wire: Wire) -> None:
        wire.answer()
        await wire.came(TEXT, 12)
        wire.close(4000, "no more")
        (answer,) = await wire.came(CLOSE)
        assert answer.payload == (4000).to_bytes(2, "big") + b"no more"

    result, wire = play(close, StreamPlan())
    assert (result.ended_by_gateway, result.close_code, result.close_reason) == (True, 4000, "no more")
    assert (result.messages, result.broken) == (10, None)
    assert "stop" not in {message["event"] for message in texts(wire)}


def test_everything_that_the_gateway_sends_is_noted() -> None:
    async def talk(wire: Wire) -> None:
        wire.answer()
        wire.replies_to_close = False
        wire.say_text('{"event":"clear"}')
        wire.say(BINARY, b"\xff" * 160)
        wire.say(PING, b"there?")
        await wire.came(CLOSE)
        wire.say_text("late")
        wire.close()

    heard: list[str] = []
    result, wire = play(talk, StreamPlan(hang_up_at=0.5), on_text=heard.append)
    assert heard == ['{"event":"clear"}']
    assert (result.texts, result.late_texts, result.binaries) == (1, 1, 1)
    assert [frame.payload for frame in wire.of(PONG)] == [b"there?"]


def test_a_close_that_is_not_answered_is_waited_for() -> None:
    async def hear_nothing(wire: Wire) -> None:
        wire.replies_to_close = False
        wire.answer()

    result, wire = play(hear_nothing, StreamPlan(hang_up_at=1.0))
    assert wire.cut_at == pytest.approx(1.0 + CLOSE_SECONDS, abs=0.01)
    assert result.broken == "the gateway did not say Close within 5 s"


def test_a_gateway_that_cuts_the_connection_is_told() -> None:
    async def cut(wire: Wire) -> None:
        wire.answer()
        await wire.came(TEXT, 5)
        wire.cut()

    result, _ = play(cut, StreamPlan())
    assert (result.ended_by_gateway, result.broken) == (True, "the gateway cut the connection")


def test_a_gateway_that_reads_too_slowly_loses_packets_before_they_are_counted() -> None:
    async def stall(wire: Wire) -> None:
        wire.answer()
        await wire.came(TEXT, 12)
        wire.stall()
        await wire.until(300.0)
        wire.go_on()

    plan = StreamPlan(dialect=Dialect.PLIVO, format=FORMATS[Dialect.PLIVO][-1], packet_ms=200, hang_up_at=302.0)
    result, wire = play(stall, plan, [b""])
    media = [message for message in texts(wire) if message["event"] == "media"]
    assert result.overruns > 0
    assert len(media) + result.overruns == plan.packets_until(302.0)
    numbers = [message["sequenceNumber"] for message in texts(wire)]
    assert numbers == list(range(len(numbers)))
    stamps = [int(message["media"]["timestamp"]) for message in media]
    assert stamps[-1] - stamps[0] == 200 * (len(media) + result.overruns - 1)
    jumps = [later - earlier for earlier, later in itertools.pairwise(stamps) if later - earlier != 200]
    assert jumps == [200 * (result.overruns + 1)]
    assert sum(len(frame.payload) for frame in wire.frames) > MOST_UNSENT_BYTES


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ({"status": "403 Forbidden"}, UpgradeError, "answered 403 Forbidden"),
        ({"protocol": "chat"}, UpgradeError, "subprotocol chat, where None was offered"),
        ({}, TimeoutError, "did not answer the upgrade within 10 s"),
    ],
)
def test_a_call_that_does_not_come_about_says_why(answer: dict[str, Any], error: type[Exception], text: str) -> None:
    async def refuse(wire: Wire) -> None:
        if answer:
            wire.answer(**answer)

    with pytest.raises(error, match=text):
        play(refuse, StreamPlan())


def test_progress_is_told_by_the_packets_that_are_due() -> None:
    seen: list[tuple[int, int]] = []
    play(
        accept,
        StreamPlan(tracks=2, hang_up_at=0.2, loss=0.3, seed=1),
        [ULAW, ULAW],
        on_progress=lambda frames, total: seen.append((frames, total)),
    )
    assert {total for _, total in seen} == {4}
    assert [frames for frames, _ in seen] == sorted(frames for frames, _ in seen)
    assert {frames for frames, _ in seen} <= {1, 2, 3, 4}


async def test_a_url_of_wss_is_spoken_to_by_tls() -> None:
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    plan = StreamPlan(hang_up_at=0.2)
    async with recording(accept, tls=server) as recorder:
        url = f"wss://127.0.0.1:{recorder.port}/"
        result = await call_media_stream([ULAW], url=url, stream=STREAM, plan=plan, tls=client)
        with pytest.raises(ssl.SSLError, match="certificate verify failed"):
            await call_media_stream([ULAW], url=url, stream=STREAM, plan=plan)
    assert (result.audio_bytes, result.broken, result.close_code) == (4 * 160, None, 1000)


async def test_a_server_that_is_not_ours_understands_every_message() -> None:
    heard: list[dict[str, Any]] = []
    ended: asyncio.Future[WSMsgType] = asyncio.get_running_loop().create_future()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        heard.extend([json.loads(message.data) async for message in socket])
        ended.set_result(WSMsgType.CLOSE if socket.close_code == 1000 else WSMsgType.ERROR)
        return socket

    app = web.Application()
    app.router.add_get("/media", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        plan = StreamPlan(tracks=2, linger=0.1)
        url = f"ws://127.0.0.1:{port}/media"
        result = await call_media_stream([ULAW[:800]] * 2, url=url, stream=STREAM, plan=plan)
        assert await ended is WSMsgType.CLOSE
    finally:
        await runner.cleanup()
    assert [message["event"] for message in heard] == ["connected", "start", *["media"] * 20, "stop"]
    assert heard[1]["start"]["customParameters"] == {"call_ref": "17"}
    assert (result.messages, result.broken, result.ended_by_gateway) == (20, None, False)
