"""The demonstration as a person starts it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


async def start_demo() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"COLUMNS": "200"},
        start_new_session=True,  # a process group of its own, as a terminal gives it
    )


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


async def group_gone(group: int) -> None:
    async with asyncio.timeout(30):
        while group_is_alive(group):  # noqa: ASYNC110  processes that are not our children cannot be awaited
            await asyncio.sleep(0.05)


async def test_the_demonstration_shows_every_prompt_and_sums_up() -> None:
    process = await start_demo()
    output, _ = await process.communicate()
    lines = output.decode().splitlines()
    assert process.returncode == 0, output.decode()
    assert sum(line.startswith("call ") for line in lines) >= 24
    for call in (3, 4):
        for speaker in ("caller", "agent "):
            assert sum(line.startswith(f"call {call} {speaker} ") for line in lines) >= 3
    assert lines[-1].startswith("OK: 4 calls, ")
    assert re.search(r" 0 missing, [6-9] told to FreeSWITCH, word error rate ", lines[-1])
    assert not [line for line in lines if "warning" in line.lower() or "error" in line.lower()][:-1]
    await group_gone(process.pid)


async def test_ctrl_c_ends_the_demonstration_and_everything_it_started() -> None:
    process = await start_demo()
    assert process.stdout is not None
    async for line in process.stdout:
        if line.startswith(b"call "):
            break
    os.killpg(process.pid, signal.SIGINT)
    rest = (await process.stdout.read()).decode()
    assert await process.wait() == 130
    assert "Traceback" not in rest
    assert rest.splitlines()[-1] == "stopped"
    await group_gone(process.pid)
