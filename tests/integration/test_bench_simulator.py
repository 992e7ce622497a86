"""The simulator of calls as a process, against a server that only listens."""

from __future__ import annotations

import asyncio
import random
import sys
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from adapters.asterisk.audiosocket import TERMINATE, Kind, encode
from bench.prompts import FRAME_BYTES, make_prompt
from bench.scripts import INBOUND, OUTBOUND, Line, Placed, Script, dialogue
from bench.simulator import Begun, Done, Job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

LOUD = b"\x10\x27\xf0\xd8" * (FRAME_BYTES // 4)
QUIET = bytes(FRAME_BYTES)
PROMPT = make_prompt("hello", QUIET + LOUD * 3 + QUIET)
PATIENCE_SECONDS = 20

Heard = dict[tuple[str, str], bytes]


@asynccontextmanager
async def listening(hang_up_after: int | None = None) -> AsyncIterator[tuple[dict[str, int], Heard]]:
    """Take every byte of every call, by its UUID and port's name; or say goodbye after so many."""
    heard: Heard = {}

    def answer(name: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            introduction = await reader.readexactly(19)
            key = (str(uuid.UUID(bytes=introduction[3:])), name)
            heard[key] = b""
            if hang_up_after is not None:
                heard[key] = await reader.readexactly(hang_up_after)
                writer.write(TERMINATE)
                writer.write_eof()
            heard[key] += await reader.read()
            writer.close()

        return take

    servers = {name: await asyncio.start_server(answer(name), "127.0.0.1", 0) for name in (INBOUND, OUTBOUND)}
    try:
        yield {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}, heard
    finally:
        for server in servers.values():
            server.close()
            await server.wait_closed()


async def simulate(job: bytes) -> tuple[int | None, list[bytes], str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.simulator"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        output, errors = await process.communicate(job)
    return process.returncode, output.splitlines(), errors.decode()


async def done(script: Script, ports: dict[str, int]) -> tuple[Begun, Done]:
    status, lines, errors = await simulate(msgspec.json.encode(Job(script=script, ports=ports)))
    assert (status, errors) == (0, "")
    return msgspec.json.decode(lines[0], type=Begun), msgspec.json.decode(lines[1], type=Done)


def line(number: int, *at_frames: int, start_ms: int = 0, frames: int = 20) -> Line:
    placed = tuple(Placed(prompt=0, at_frame=each) for each in at_frames)
    return Line(call_uuid=str(uuid.UUID(int=number)), listener=INBOUND, start_ms=start_ms, placed=placed, frames=frames)


async def test_every_call_sends_what_its_script_says() -> None:
    prompts = [make_prompt(str(number), LOUD * (10 + number) + QUIET) for number in range(4)]
    script = dialogue(prompts, 3, 1.5, random.Random(1))
    async with listening() as (ports, heard):
        _, told = await done(script, ports)
    expected = {}
    for each in script.lines:
        pcm = bytearray(QUIET * each.frames)
        for placed in each.placed:
            said = prompts[placed.prompt].pcm
            pcm[placed.at_frame * FRAME_BYTES : placed.at_frame * FRAME_BYTES + len(said)] = said
        frames = [bytes(pcm[start : start + FRAME_BYTES]) for start in range(0, len(pcm), FRAME_BYTES)]
        expected[each.call_uuid, each.listener] = b"".join(encode(Kind.SLIN, frame) for frame in frames)
    assert heard == expected
    assert told.frames == sum(each.frames for each in script.lines)
    assert [len(each.spoken) for each in told.lines] == [len(each.placed) for each in script.lines]


async def test_frames_are_sent_at_their_time_and_speech_is_timed() -> None:
    script = Script(prompts=(PROMPT,), lines=(line(1, 5), line(2, 0, 10, start_ms=200)))
    async with listening() as (ports, _):
        begun, told = await done(script, ports)
    first, second = told.lines
    assert (first.cut_off, second.cut_off) == (False, False)
    assert second.introduced_at > begun.at + 0.195  # a loop's timers are of milliseconds
    assert first.spoken[0][1] - first.spoken[0][0] == pytest.approx(0.04, abs=0.03)
    assert second.spoken[1][0] - second.spoken[0][0] == pytest.approx(0.2, abs=0.05)
    assert (told.late_frames > 0) == (told.latest_ms > 10)


async def test_a_gateway_that_hangs_up_is_told_of() -> None:
    script = Script(prompts=(PROMPT,), lines=(line(1, 0, 95, frames=100),))
    async with listening(hang_up_after=20 * (FRAME_BYTES + 3)) as (ports, _):
        _, told = await done(script, ports)
    assert told.lines[0].cut_off
    assert len(told.lines[0].spoken) == 1
    assert 20 <= told.frames < 95


async def test_nobody_there_is_one_clear_line() -> None:
    async with listening() as (ports, _):
        pass
    script = Script(prompts=(PROMPT,), lines=(line(1, 0), line(2, 0)))
    status, lines, errors = await simulate(msgspec.json.encode(Job(script=script, ports=ports)))
    assert (status, len(lines)) == (1, 1)
    assert errors.startswith("the simulator cannot call the gateway: ")
    assert len(errors.splitlines()) == 1
