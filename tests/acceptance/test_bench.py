"""The benchmark of the whole gateway, as a person starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def bench(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *arguments], check=False, capture_output=True, text=True
    )


def test_two_calls_are_counted_right() -> None:
    done = bench("calls", "--calls", "2", "--seconds", "6", "--talk", "dialogue")
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout.splitlines()[-1])
    assert (told["calls"], told["seconds"], told["talk"], told["final_model"]) == (2, 6.0, "dialogue", "base")
    assert told["utterances"] >= 4
    assert (told["finals_lost"], told["failed"]) == (0, 0)
    assert told["wer"] <= 0.15
    assert 300 < told["final_p50_ms"] <= told["final_p95_ms"]  # the hangover alone is longer
    assert 0 < told["cpu_models"] < (os.cpu_count() or 1)
    assert told["memory_models_mb"] > 100


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--settings", "no-such.yaml"], "no-such.yaml: expected a readable settings file"),
        (["--speech", str(Path(__file__).parent)], "dev.tsv: expected a table of file, seconds and text"),
        (["--final-model", "base.en", "--settings", os.devnull, "--speech", "no-such"], "does not exist"),
    ],
)
@pytest.mark.parametrize("name", ["calls", "neighbour"])
def test_what_cannot_be_used_is_told_at_once(name: str, arguments: list[str], reason: str) -> None:
    done = bench(name, *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


async def test_ctrl_c_ends_it_with_everything_it_started() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.calls", "--calls", "1", "--seconds", "60"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # a process group of its own, as a terminal gives it
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if line == b"1 calls of 60 s\n":
            break
    os.killpg(process.pid, signal.SIGINT)
    async with asyncio.timeout(30):
        rest = (await process.stdout.read()).decode()  # ends when nobody holds the pipe any more
    assert await process.wait() == 130, rest
    assert rest.splitlines()[-1] == "stopped"
    assert "Traceback" not in rest
