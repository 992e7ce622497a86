"""The process itself with real weights: recorded Asterisk sessions in, their words out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.callers.api import Api
from gateway.callers.audiosocket import call_audiosocket
from gateway.demo.process import GatewayProcess, gateway_process
from gateway.demo.score import word_errors, words
from gateway.receiver import Receiver
from tests.gateway_under_test import KEY, TOKEN, WHSEC, Inbox
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

CAPTURES = Path(__file__).parent.parent / "captures"

SPOKEN = {
    "asterisk-app-local-speech": (
        "Congratulations. You have successfully installed and executed the Asterisk open source PBX. You have also"
        " installed a set of sample sounds and configuration files that should help you to get started. Like a normal"
        " PBX you will navigate this demonstration by dialing digits. If you are using a console channel driver"
        " instead of a real phone you can use the dial, answer, and hang up commands to simulate the actions of a"
        " standard telephone."
    ),
    # The caller's keys leave holes of 200 ms in the speech, and it ends in mid-sentence.
    "asterisk-sip-app-ulaw-dtmf": (
        "Congratulations. You have successfully installed and executed the Asterisk open source PBX. You have also"
    ),
    # Both begin and end in mid-sentence.
    "asterisk-ari-snoop-in": "installed and executed the Asterisk open source PBX. You have also installed a",
    "asterisk-ari-snoop-out": (
        "information about Asterisk dial two now if you'd like to test out the voice over IP capabilities of Asterisk"
    ),
}
PAUSE = bytes(16 * 900)

BEGINNING = "Congratulations. You have successfully installed"
SPOKEN |= {
    "asterisk-sip-app-ptime30": BEGINNING,
    "asterisk-sip-app-ptime40": BEGINNING,
    "asterisk-sip-dial-c-slin16": BEGINNING,
    # Dial without c(): mu-law under the kind of 16-bit PCM, for a listener that is told so.
    # It ends within the next word.
    "asterisk-sip-dial-nocodec-ulaw": BEGINNING + " and executed",
    "asterisk-sip-dial-c-ulaw-echo": BEGINNING + " and executed",
    # The server hung up in mid-sentence; and a call in which nobody says anything.
    "asterisk-app-server-hangup": BEGINNING,
    "asterisk-app-silence-timeout": "",
}
LISTENERS = {"asterisk-sip-dial-nocodec-ulaw": "ulaw", "asterisk-sip-dial-c-ulaw-echo": "ulaw"}

SNOOPED = (("asterisk-ari-snoop-in", "inbound", "customer"), ("asterisk-ari-snoop-out", "outbound", "agent"))
"""What each direction of one channel is: what it says, and what it hears."""

MOST_WORD_ERRORS = 0.2
"""Words cut off in the middle cannot be heard."""


@asynccontextmanager
async def running(tmp_path: Path, inbox: Inbox, **changes: str) -> AsyncIterator[GatewayProcess]:
    receiver = Receiver([KEY], clock=time.time, on_event=inbox.take)  # noqa: TID251  tests live in real time
    port = await receiver.start("127.0.0.1", 0)
    endpoint = {"name": "test", "url": f"http://127.0.0.1:{port}/", "secrets": [WHSEC]}
    settings = {
        "STATE_DIR": str(tmp_path / "state"),
        "AUDIOSOCKET__0__PORT": "0",
        "HTTP__PORT": "0",
        "DELIVERY__ENDPOINTS": json.dumps([endpoint]),
    }
    try:
        given = {f"LINESCRIBE_{name}": value for name, value in (settings | changes).items()}
        async with gateway_process(given, inbox.note) as process:
            yield process
    finally:
        await receiver.stop()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def recorded_uuid(name: str) -> str:
    data = (CAPTURES / f"{name}.from-asterisk.bin").read_bytes()
    return str(uuid.UUID(bytes=data[3:19]))


async def replay(name: str, port: int) -> str:
    """Send a recorded session again, each frame when it was sent; tell the call's UUID."""
    data = (CAPTURES / f"{name}.from-asterisk.bin").read_bytes()
    told = json.loads((CAPTURES / f"{name}.json").read_text())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    begin, at = loop.time(), 0
    for at_ms, _, length in told["frames_t_ms_kind_len"]:
        await asyncio.sleep(begin + at_ms / 1000 - loop.time())
        writer.write(data[at : at + 3 + length])
        at += 3 + length
    await asyncio.sleep(begin + told["duration_ms"] / 1000 - loop.time())
    writer.close()
    await reader.read()
    return recorded_uuid(name)


async def test_recorded_asterisk_calls_give_the_spoken_words(tmp_path: Path) -> None:
    inbox = Inbox()
    async with running(tmp_path, inbox, AUDIOSOCKET__1="{name: ulaw, port: 0, encoding: ulaw}") as process:
        async with asyncio.TaskGroup() as group:
            ports = {name: process.ports[LISTENERS.get(name, "audiosocket")] for name in SPOKEN}
            calls = {name: group.create_task(replay(name, port)) for name, port in ports.items()}
        await inbox.wait("call.ended", len(calls))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    for name, call in calls.items():
        finals = sorted(inbox.of("transcript.final", call.result()), key=lambda final: final["sequence"])
        said, heard = words(SPOKEN[name]), words(" ".join(final["text"] for final in finals))
        assert word_errors(said, heard) <= MOST_WORD_ERRORS * len(said), f"{name}: {' '.join(heard)}"
        assert [final["start_ms"] for final in finals] == sorted(final["start_ms"] for final in finals)
    digits = inbox.of("call.digit", calls["asterisk-sip-app-ulaw-dtmf"].result())
    assert [digit["digit"] for digit in digits] == ["1", "5", "#"]
    assert [digit["at_ms"] for digit in digits] == pytest.approx([3109, 3709, 4309], abs=200)
    # The spied call ended after seven seconds and its socket stayed open: its words came all the same.
    (snoop,) = inbox.of("call.ended", calls["asterisk-ari-snoop-in"].result())
    assert snoop["gap_ms"]["inbound"] == pytest.approx(18_000, abs=1_000)
    ended = inbox.of("call.ended")
    assert {each["reason"] for each in ended} == {"hangup"}
    assert {each["source"]["listener"]: list(each["audio_ms"]) for each in ended} == {
        "audiosocket": ["inbound"],
        "ulaw": ["inbound"],
    }


async def test_a_snooped_call_is_one_call_with_both_speakers(tmp_path: Path) -> None:
    inbox = Inbox()
    tokens = json.dumps([{"name": "ari", "secret": TOKEN}])
    async with running(tmp_path, inbox, HTTP__TOKENS=tokens, AUDIOSOCKET__0__REGISTRATION="required") as process:
        api = Api(url=f"http://127.0.0.1:{process.http_port}", token=TOKEN)
        for name, role, label in SNOOPED:
            stream_id = recorded_uuid(name)
            await api.register({"stream_id": stream_id, "role": role, "label": label, "external_call_id": "1795.17"})
        async with asyncio.TaskGroup() as group:
            for name, *_ in SNOOPED:
                group.create_task(replay(name, process.ports["audiosocket"]))
        await inbox.wait("call.ended")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert {each["call_id"] for each in inbox.of_any()} == {inbox.of("call.ended")[0]["call_id"]}
    assert inbox.types("1795.17")[-1] == "call.ended"
    for name, role, label in SNOOPED:
        finals = [final for final in inbox.of("transcript.final") if final["label"] == label]
        said, heard = words(SPOKEN[name]), words(" ".join(final["text"] for final in finals))
        assert word_errors(said, heard) <= MOST_WORD_ERRORS * len(said), f"{name}: {' '.join(heard)}"
        assert {final["track"] for final in finals} == {role}
        assert {final["source"]["stream_id"] for final in finals} == {recorded_uuid(name)}


async def test_a_second_sigterm_ends_calls_within_ten_seconds_and_nothing_is_lost(tmp_path: Path) -> None:
    inbox = Inbox()
    async with running(tmp_path, inbox) as process:
        call = asyncio.ensure_future(  # noqa: TID251  awaited below
            call_audiosocket(
                (prompt("conf-onlyperson") + PAUSE) * 20,
                host="127.0.0.1",
                port=process.ports["audiosocket"],
                call_uuid=uuid.uuid4(),
            )
        )
        await inbox.wait("transcript.final")
        process.send_signal(signal.SIGTERM)
        await inbox.wait_logged("draining")
        while not inbox.has_logged("ending all calls"):  # a repeated signal within a second counts once
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
        assert await process.wait(timeout_seconds=10) == 0
        result = await call
    (ended,) = inbox.of("call.ended")
    assert ended["reason"] == "shutdown"
    assert result.ended_by_gateway
    named = len(inbox.of("transcript.final")) + len(inbox.of("transcript.failed")) + sum(ended["suppressed"].values())
    assert ended["utterances"] == named
    assert inbox.types(result.call_uuid)[-1] == "call.ended"


async def test_ctrl_c_of_a_whole_terminal_is_a_clean_end(tmp_path: Path) -> None:
    inbox = Inbox()
    async with running(tmp_path, inbox) as process:
        children = children_of(process.pid)
        for pid in children:
            os.kill(pid, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert inbox.log[-1]["event"] == "stopped"
    assert children
    async with asyncio.timeout(10):
        while any(map(is_alive, children)):  # noqa: ASYNC110  a process that is not our child cannot be awaited
            await asyncio.sleep(0.05)
