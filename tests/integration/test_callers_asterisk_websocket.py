from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.callers.asterisk_websocket import Attempts, call_asterisk_websocket
from gateway.callers.asterisk_websocket_plan import CODECS, Dialect, Leg
from gateway.callers.plan import At, CallPlan
from gateway.callers.upgrade import UpgradeError
from tests import asterisk_websocket_captures as captures
from tests.simulated_time import run_simulated
from tests.sound import prompt
from tests.wire_recorder import BINARY, CLOSE, PING, PONG, TEXT, Recorder, Wire, normal, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.callers.websocket import SocketCall

SPEECH = CODECS["ulaw"].encode(prompt("conf-onlyperson"))
LEG = Leg(channel_id="17.5")
PLAIN = Leg(channel_id="17.5", dialect=Dialect.PLAIN)
SOCKET_SECONDS = 0.001
NORMAL = (1000).to_bytes(2, "big")


def play(
    serve: Callable[[Wire], Awaitable[None]],
    plan: CallPlan = CallPlan(),  # noqa: B008  frozen
    payload: bytes = SPEECH,
    leg: Leg = LEG,
    **more: Any,
) -> tuple[SocketCall, Wire]:
    """Make one call, as fast as it goes, and tell how it went on both sides."""

    async def both() -> tuple[SocketCall, Wire]:
        async with recording(serve) as recorder:
            result = await call_asterisk_websocket(
                payload,
                url=f"ws://127.0.0.1:{recorder.port}{more.pop('path', '/asterisk')}",
                leg=leg,
                plan=plan,
                randbytes=random.Random(1).randbytes,
                **more,
            )
        return result, recorder.wires[-1]

    return run_simulated(both(), socket_seconds=SOCKET_SECONDS)


async def accept(wire: Wire) -> None:
    wire.answer(protocol="media")


@pytest.mark.parametrize("name", [name for name in captures.NAMES if captures.session(name).frames])
def test_the_wire_is_that_of_asterisk(name: str) -> None:
    told = captures.session(name)
    wanted = captures.replay(told)
    heard: list[str] = []
    result, wire = play(
        lambda wire: captures.serve(wire, told),
        wanted.plan,
        wanted.payload,
        wanted.leg,
        path=told.path,
        credentials=captures.CREDENTIALS,
        on_text=heard.append,
    )
    assert normal(wire.request) == normal(told.request.encode())
    assert [(f.opcode, len(f.payload)) for f in wire.frames] == [(f.opcode, len(f.payload)) for f in told.frames]
    assert wire.frames == list(told.frames)
    assert heard == [frame.payload.decode() for _, frame in told.server if frame.opcode == TEXT]
    assert result.binaries == sum(frame.opcode == BINARY for _, frame in told.server)
    assert wire.cut_at == pytest.approx(wire.times[-1], abs=0.001)  # at once, whatever is answered
    assert (result.messages, result.broken) == (len(told.audio), None)


def test_a_refused_upgrade_is_tried_four_times() -> None:
    told = captures.session("hs-401")
    begun: list[float] = []

    async def refuse(wire: Wire) -> None:
        begun.append(asyncio.get_running_loop().time())
        await captures.serve(wire, told)

    async def both() -> Recorder:
        async with recording(refuse) as recorder:
            with pytest.raises(UpgradeError, match="answered 401 Nope; give the user and the password") as raised:
                await call_asterisk_websocket(
                    SPEECH,
                    url=f"ws://127.0.0.1:{recorder.port}{told.path}",
                    leg=LEG,
                    credentials=captures.CREDENTIALS,
                )
            assert raised.value.status == 401
        return recorder

    recorder = run_simulated(both(), socket_seconds=SOCKET_SECONDS)
    assert [normal(wire.request) for wire in recorder.wires] == [normal(told.request.encode())] * 4
    assert len({wire.key for wire in recorder.wires}) == 4
    assert [at - begun[0] for at in begun] == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=0.01)
    assert not [wire for wire in recorder.wires if wire.frames]


def test_an_upgrade_that_is_not_answered_is_given_a_second_each_time() -> None:
    begun: list[float] = []

    async def say_nothing(wire: Wire) -> None:
        begun.append(asyncio.get_running_loop().time())
        await wire.wait(lambda: wire.cut_at is not None)

    with pytest.raises(TimeoutError, match="did not answer the upgrade within 1 s"):
        play(say_nothing)
    assert [at - begun[0] for at in begun] == pytest.approx([0.0, 1.5, 3.0, 4.5], abs=0.01)


def test_a_later_attempt_is_a_call_like_any_other() -> None:
    answers = iter(["503 Busy", "101 Switching Protocols"])

    async def answer(wire: Wire) -> None:
        wire.answer(status=next(answers))

    result, wire = play(answer, CallPlan(hang_up_at=0.1))
    assert (result.messages, result.broken, len(wire.frames)) == (5, None, 7)


async def test_nobody_is_there() -> None:
    quick = Attempts(interval_seconds=0.001)
    with pytest.raises(ConnectionRefusedError):
        await call_asterisk_websocket(SPEECH, url="ws://127.0.0.1:1/", leg=LEG, attempts=quick)


@pytest.mark.parametrize("leg", [LEG, PLAIN])
def test_a_call_is_its_beginning_its_packets_and_keys_and_a_close(leg: Leg) -> None:
    plan = CallPlan(digits=(At(0.5, "5"),), holds=(At(1.0, "1"),), linger=0.5, packet_ms=40)
    result, wire = play(accept, plan, leg=leg)
    texts = [frame.payload.decode() for frame in wire.of(TEXT)]
    assert texts == [leg.media_start(), leg.dtmf_end("5")]
    assert wire.frames[0].opcode == TEXT
    packets = [frame.payload for frame in wire.of(BINARY)]
    assert {len(packet) for packet in packets[:-1]} == {320}
    hole = slice(13 * 320, 18 * 320)  # packets of 40 ms whose time lies in the 200 ms from 0.5 s on
    assert b"".join(packets) == SPEECH[: hole.start] + SPEECH[hole.stop :]
    at = dict(zip((frame.payload for frame in wire.frames), wire.times, strict=True))
    assert at[leg.dtmf_end("5").encode()] == pytest.approx(0.7, abs=0.005)
    assert at[NORMAL] == pytest.approx(len(SPEECH) // 320 * 0.04 + 1.0 + 0.5, abs=0.005)
    assert (wire.frames[-1].opcode, result.ended_by_gateway, result.broken) == (CLOSE, False, None)
    assert wire.cut_at == pytest.approx(wire.times[-1], abs=0.001)


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        ((1000).to_bytes(2, "big"), NORMAL),
        ((1001).to_bytes(2, "big") + b"drained", (1001).to_bytes(2, "big")),
        (b"", NORMAL),
    ],
)
def test_a_close_is_answered_by_its_code(payload: bytes, answer: bytes) -> None:
    async def close(wire: Wire) -> None:
        await accept(wire)
        await wire.came(BINARY, 3)
        wire.replies_to_close = False
        wire.say(CLOSE, payload)

    result, wire = play(close)
    assert [frame.payload for frame in wire.of(CLOSE)] == [answer]
    assert (result.ended_by_gateway, result.broken, len(wire.of(BINARY))) == (True, None, 3)


def test_pings_are_answered() -> None:
    async def ping(wire: Wire) -> None:
        await accept(wire)
        wire.say(PING, b"there?")

    _, wire = play(ping, CallPlan(hang_up_at=0.1))
    assert [frame.payload for frame in wire.of(PONG)] == [b"there?"]


def test_a_gateway_that_cuts_the_connection_breaks_the_call_off() -> None:
    async def cut(wire: Wire) -> None:
        await accept(wire)
        await wire.came(BINARY, 3)
        wire.cut()

    result, wire = play(cut)
    assert (result.ended_by_gateway, result.broken) == (True, "the gateway cut the connection")
    assert wire.of(CLOSE) == []


def test_a_call_may_end_by_a_reset() -> None:
    result, wire = play(accept, CallPlan(hang_up_at=0.1, reset=True))
    assert wire.was_reset
    assert (wire.of(CLOSE), result.broken, result.ended_by_gateway) == ([], None, False)


def test_a_gateway_that_reads_no_more_does_not_keep_the_call() -> None:
    async def stall(wire: Wire) -> None:
        await accept(wire)
        wire.stall()
        await wire.until(8.0)
        wire.go_on()

    leg = Leg(channel_id="17.5", format="slin48")

    async def both() -> float:
        async with recording(stall) as recorder:
            # A packet of seconds, which no kernel keeps all of.
            plan = CallPlan(packet_ms=200_000, linger=1.0)
            url = f"ws://127.0.0.1:{recorder.port}/"
            await call_asterisk_websocket(bytes(19_200_000), url=url, leg=leg, plan=plan)
            return asyncio.get_running_loop().time()

    assert run_simulated(both(), socket_seconds=SOCKET_SECONDS) == pytest.approx(2.0, abs=0.1)


def test_progress_counts_what_is_not_wanted_too() -> None:
    async def want_nothing(wire: Wire) -> None:
        await accept(wire)
        wire.say_text(json.dumps({"command": "SET_MEDIA_DIRECTION", "direction": "out"}))

    seen: list[tuple[int, int]] = []
    result, wire = play(
        want_nothing, payload=SPEECH[:1600], on_progress=lambda frames, total: seen.append((frames, total))
    )
    assert seen == [(number, 10) for number in range(1, 11)]
    assert result.messages == len(wire.of(BINARY)) < 10
