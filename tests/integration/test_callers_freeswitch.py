from __future__ import annotations

import asyncio
import itertools
import random
import ssl
import statistics
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from gateway.callers.freeswitch import call_freeswitch
from gateway.callers.freeswitch_plan import LWS_PRE, End, ForkPlan, Module
from gateway.callers.plan import At
from gateway.callers.upgrade import UpgradeError
from tests import freeswitch_captures as captures
from tests.simulated_time import run_simulated
from tests.sound import prompt
from tests.wire_recorder import BINARY, CLOSE, PING, PONG, TEXT, Wire, normal, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.callers.websocket import SocketCall

SPEECH = prompt("conf-onlyperson")
REFUSAL = '{"error":{"code":"not_found","message":"not here"}}'
SOCKET_SECONDS = 0.001
FORK_CLOSE = (1000).to_bytes(2, "big")
STREAM_CLOSE = FORK_CLOSE + b"Normal closure"


def play(
    serve: Callable[[Wire], Awaitable[None]], plan: ForkPlan, pcm: bytes = SPEECH, **more: Any
) -> tuple[SocketCall, Wire]:
    """Make one call, as fast as it goes, and tell how it went on both sides."""

    async def both() -> tuple[SocketCall, Wire]:
        async with recording(serve) as recorder:
            result = await call_freeswitch(
                pcm,
                url=f"ws://127.0.0.1:{recorder.port}{more.pop('path', '/calls')}",
                plan=plan,
                randbytes=random.Random(1).randbytes,
                **more,
            )
        (wire,) = recorder.wires
        return result, wire

    return run_simulated(both(), socket_seconds=SOCKET_SECONDS)


async def accept(wire: Wire) -> None:
    wire.answer()


@pytest.mark.parametrize("name", captures.NAMES)
def test_the_wire_is_that_of_freeswitch(name: str) -> None:
    told = captures.session(name)
    wanted = captures.replay(told)
    heard: list[str] = []
    result, wire = play(
        lambda wire: captures.serve(wire, told),
        wanted.plan,
        wanted.pcm,
        path=wanted.path,
        credentials=wanted.credentials,
        subprotocol=wanted.subprotocol,
        on_text=heard.append,
    )
    assert normal(wire.request) == normal(told.request.encode())
    assert [(f.opcode, len(f.payload)) for f in wire.frames] == [(f.opcode, len(f.payload)) for f in told.frames]
    assert wire.frames == list(told.frames)
    # A recorder stalls now and then, so some of its times are late; none is early, and most are right.
    late = [real - simulated for real, simulated in zip(told.times, wire.times, strict=True)]
    assert min(late) > -0.005
    assert statistics.median(late) < 0.002
    assert (wire.cut_at is None) == (told.cut_at is None)
    if wire.cut_at is not None and told.cut_at is not None:
        assert wire.cut_at - wire.times[-1] == pytest.approx(told.cut_at - told.times[-1], abs=0.01)
    assert heard == captures.texts(told)
    assert (result.messages, result.texts, result.broken) == (len(told.audio), len(heard), None)


def test_keys_of_two_frames_differ() -> None:
    _, wire = play(accept, ForkPlan(hang_up_at=1.0))
    assert len(set(wire.mask_keys)) == len(wire.frames) == 50


@pytest.mark.parametrize("module", Module)
def test_the_gateway_may_be_the_first_to_close(module: Module) -> None:
    async def close(wire: Wire) -> None:
        wire.answer()
        await wire.came(BINARY, 10)
        wire.close(4000, "no more")
        (answer,) = await wire.came(CLOSE)
        assert answer.payload == (4000).to_bytes(2, "big") + b"no more"
        await asyncio.sleep(3)
        wire.cut()

    result, wire = play(close, ForkPlan(module=module))
    assert (result.ended_by_gateway, result.close_code, result.close_reason) == (True, 4000, "no more")
    assert (result.messages, result.broken) == (10, None)
    # mod_audio_fork cuts the connection when it has answered; mod_audio_stream leaves that to the gateway.
    assert (wire.cut_at is None) == (module is Module.STREAM)


def test_a_close_that_says_nothing_is_answered_so() -> None:
    async def close(wire: Wire) -> None:
        wire.answer()
        wire.replies_to_close = False
        wire.say(CLOSE, b"")

    result, wire = play(close, ForkPlan())
    assert (result.close_code, wire.of(CLOSE)[0].payload) == (None, b"")


@pytest.mark.parametrize(("module", "seconds", "payload"), [("fork", 5.0, FORK_CLOSE), ("stream", 1.0, STREAM_CLOSE)])
def test_a_close_that_is_not_answered_is_waited_for_so_long(module: str, seconds: float, payload: bytes) -> None:
    async def hear_nothing(wire: Wire) -> None:
        wire.replies_to_close = False
        wire.answer()

    result, wire = play(hear_nothing, ForkPlan(module=Module(module), hang_up_at=1.0))
    assert wire.frames[-1].payload == payload
    assert wire.cut_at == pytest.approx(1.0 + seconds, abs=0.01)
    assert result.broken == f"the gateway did not say Close within {seconds:g} s"


@pytest.mark.parametrize("module", Module)
def test_a_gateway_that_cuts_the_connection_after_the_close_is_no_break(module: Module) -> None:
    async def cut(wire: Wire) -> None:
        wire.replies_to_close, wire.cuts_after_close = False, True
        wire.answer()

    result, wire = play(cut, ForkPlan(module=module, hang_up_at=0.5))
    assert (result.broken, result.ended_by_gateway, result.close_code, wire.cut_at) == (None, False, None, None)


def test_what_the_gateway_says_after_the_close_comes_too_late() -> None:
    async def answer_late(wire: Wire) -> None:
        wire.answer()
        wire.replies_to_close = False
        wire.say_text("in time")
        await wire.came(CLOSE)
        wire.say_text("late")
        wire.close()

    heard: list[str] = []
    result, _ = play(answer_late, ForkPlan(hang_up_at=0.5), on_text=heard.append)
    assert heard == ["in time"]
    assert (result.texts, result.late_texts, result.close_code) == (1, 1, 1000)


def test_a_graceful_end_is_waited_for_and_what_is_said_meanwhile_heard() -> None:
    async def finish(wire: Wire) -> None:
        wire.answer()
        await wire.wait(lambda: any(not frame.payload for frame in wire.frames))
        await asyncio.sleep(20)
        wire.say(PING, b"still there?")
        wire.say_text("the last word")
        wire.close()

    heard: list[str] = []
    result, wire = play(finish, ForkPlan(end=End.GRACEFUL, hang_up_at=0.1), on_text=heard.append)
    assert [(frame.opcode, frame.payload) for frame in wire.frames[-3:]] == [
        (BINARY, b""),
        (PONG, b"still there?"),
        (CLOSE, FORK_CLOSE),
    ]
    assert heard == ["the last word"]
    assert (result.ended_by_gateway, result.messages, result.broken) == (False, 4, None)


def test_a_graceful_end_that_the_gateway_forgets_is_told() -> None:
    result, wire = play(accept, ForkPlan(end=End.GRACEFUL, hang_up_at=0.1, patience=30.0))
    assert result.broken == "the gateway did not say Close within 30 s"
    assert wire.of(CLOSE) == []
    assert wire.cut_at == pytest.approx(30.1, abs=0.01)


@pytest.mark.parametrize(
    ("said", "broken"), [(b"\xff\xff", "the gateway sent reserved bits"), (b"", "the gateway cut the connection")]
)
def test_a_connection_that_breaks_is_told(said: bytes, broken: str) -> None:
    async def break_off(wire: Wire) -> None:
        wire.answer()
        await wire.came(BINARY, 5)
        wire.write(said)
        if not said:
            wire.cut()

    result, wire = play(break_off, ForkPlan())
    assert (result.broken or "").startswith(broken)
    assert (result.ended_by_gateway, result.close_code, len(wire.frames)) == (True, None, 5)


def test_an_upgrade_that_takes_longer_than_the_buffer_costs_what_is_in_it() -> None:
    async def answer_late(wire: Wire) -> None:
        await wire.until(2.5)
        wire.answer()

    plan = ForkPlan(hang_up_at=2.6, metadata="{}", texts=(At(1.0, "lost"), At(2.55, "heard")))
    result, wire = play(answer_late, plan)
    assert [len(frame.payload) for frame in wire.of(BINARY)] == [8304, 320, 320, 320]
    assert wire.of(BINARY)[0].payload == SPEECH[100 * 320 + 16 : 126 * 320].ljust(8304, b"\0")
    assert [frame.payload for frame in wire.of(TEXT)] == [b"{}", b"heard"]
    assert (wire.frames[0].opcode, result.overruns) == (TEXT, 1)


def test_mod_audio_stream_loses_what_is_said_before_the_upgrade() -> None:
    async def answer_late(wire: Wire) -> None:
        await wire.until(0.91)
        wire.answer()

    plan = ForkPlan(module=Module.STREAM, hang_up_at=1.0, texts=(At(0.5, "lost"), At(0.95, "heard")))
    result, wire = play(answer_late, plan)
    assert [frame.payload for frame in wire.of(BINARY)] == [
        SPEECH[at : at + 320] for at in range(45 * 320, 49 * 320, 320)
    ]
    assert [frame.payload for frame in wire.of(TEXT)] == [b"heard"]
    assert result.overruns == 0


def test_a_call_that_is_over_before_its_upgrade_leaves_an_orphan() -> None:
    async def answer_late(wire: Wire) -> None:
        await wire.until(2.0)
        wire.answer()
        wire.say(PING, b"anybody?")
        await asyncio.sleep(30)
        wire.close()

    result, wire = play(answer_late, ForkPlan(hang_up_at=1.0, metadata="{}"))
    assert [(frame.opcode, frame.payload) for frame in wire.frames] == [(PONG, b"anybody?"), (CLOSE, FORK_CLOSE)]
    assert (result.messages, result.broken) == (0, None)


def test_a_gateway_that_does_not_read_loses_two_seconds_at_a_time() -> None:
    async def stall(wire: Wire) -> None:
        wire.answer()
        wire.stall()
        await wire.until(60.0)
        wire.go_on()

    plan = ForkPlan(rate_hz=48_000, channels=2, packet_ms=100, hang_up_at=61.0)
    result, wire = play(stall, plan, bytes(4))
    sizes = [len(frame.payload) for frame in wire.of(BINARY)]
    (after,) = [size for size in sizes if size != 19_200]
    assert after % 19_200 == 19_200 - LWS_PRE
    assert result.overruns > 0
    assert sum(sizes) + result.overruns * 384_000 == pytest.approx(61 * 192_000, abs=400_000)


def test_metadata_is_cut_where_the_module_cuts_it() -> None:
    _, wire = play(accept, ForkPlan(metadata="x" * 10_000, hang_up_at=0.1))
    assert [frame.payload for frame in wire.of(TEXT)] == [b"x" * 8192]


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ({"status": "401 Unauthorized"}, UpgradeError, "answered 401 Unauthorized; give the user"),
        ({"status": "503 Busy"}, UpgradeError, "answered 503 Busy$"),
        (
            {"status": "404 Not Found", "more": f"Content-Length: {len(REFUSAL)}\r\n\r\n{REFUSAL}"},
            UpgradeError,
            "answered 404 Not Found: not here$",
        ),
        ({"status": "404 Not Found", "more": "Content-Length: 99\r\n"}, UpgradeError, "404 Not Found; is the path"),
        ({"protocol": "chat"}, UpgradeError, "subprotocol chat, where audio.drachtio.org was offered"),
        ({"more": "X: " + "x" * 100_000 + "\r\n"}, UpgradeError, "has no end"),
        ({}, TimeoutError, "did not answer the upgrade within 10 s"),
    ],
)
def test_a_call_that_does_not_come_about_says_why(answer: dict[str, Any], error: type[Exception], text: str) -> None:
    async def refuse(wire: Wire) -> None:
        if answer:
            wire.answer(**answer)

    with pytest.raises(error, match=text):
        play(refuse, ForkPlan())


def test_a_gateway_that_cuts_the_connection_unanswered_is_told() -> None:
    async def cut(wire: Wire) -> None:
        wire.cut()

    with pytest.raises(UpgradeError, match="before it had answered"):
        play(cut, ForkPlan())


def test_mod_audio_stream_waits_a_second_for_its_upgrade() -> None:
    async def say_nothing(wire: Wire) -> None:
        await wire.wait(lambda: wire.cut_at is not None)
        assert wire.cut_at == pytest.approx(1.0, abs=0.01)

    with pytest.raises(TimeoutError, match="within 1 s"):
        play(say_nothing, ForkPlan(module=Module.STREAM))


async def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    async with recording(accept) as recorder:
        await call_freeswitch(
            SPEECH[:1600],
            url=f"ws://127.0.0.1:{recorder.port}/",
            plan=ForkPlan(linger=0.0),
            on_progress=lambda frames, total: seen.append((frames, total)),
        )
    assert seen == [(number, 5) for number in range(1, 6)]


async def test_a_url_of_wss_is_spoken_to_by_tls() -> None:
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    plan = ForkPlan(metadata="{}", hang_up_at=0.1)
    async with recording(accept, tls=server) as recorder:
        url = f"wss://127.0.0.1:{recorder.port}/"
        result = await call_freeswitch(SPEECH, url=url, plan=plan, tls=client)
        with pytest.raises(ssl.SSLError, match="certificate verify failed"):
            await call_freeswitch(SPEECH, url=url, plan=plan)
    assert (result.audio_bytes, result.broken, result.close_code) == (4 * 320, None, 1000)
    assert b"Origin: http://127.0.0.1\r\n" in recorder.wires[0].request
    wire = recorder.wires[0]
    assert [frame.opcode for frame in wire.frames] == [TEXT, *itertools.repeat(BINARY, result.messages), CLOSE]
