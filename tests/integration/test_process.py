"""The gateway as a process of its own: how the demonstration, benchmarks and tests start and end one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.demo.process import GatewayProcessError, _end, _record, gateway_process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROGRAM = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: {act}); print(1, flush=True); time.sleep(60)"
)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"LINESCRIBE_LOG__LEVEL": "loud"}, "log.level"),
        ({"LINESCRIBE_MODELS__FINAL": "no-such-model", "LINESCRIBE_MODELS__OFFLINE": "true"}, "no-such-model"),
    ],
)
async def test_a_gateway_that_does_not_start_is_said_to_and_its_log_tells_why(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    records: list[Mapping[str, Any]] = []
    given = {"LINESCRIBE_STATE_DIR": str(tmp_path), "LINESCRIBE_MODELS__CACHE_DIR": str(tmp_path)} | settings
    with pytest.raises(GatewayProcessError, match=r"did not start: status [12]"):
        async with gateway_process(given, records.append):
            pytest.fail("it cannot be ready")
    assert told in str(records[-1])
    assert records[-1]["level"] == "error"


@pytest.mark.parametrize(
    ("line", "event", "level"),
    [
        (b'{"event": "ready", "level": "info"}\n', "ready", "info"),
        (b"Traceback (most recent call last):\n", "Traceback (most recent call last):", "error"),
        (b"[1, 2]\n", "[1, 2]", "error"),
        (b'{"no": "event"}\n', '{"no": "event"}', "error"),
        (b"\xff\n", "\N{REPLACEMENT CHARACTER}", "error"),
    ],
)
def test_whatever_a_process_writes_is_a_record(line: bytes, event: str, level: str) -> None:
    record = _record(line)
    assert (record["event"], record["level"]) == (event, level)


async def start(act: str) -> asyncio.subprocess.Process:
    """Start a program that does this on SIGTERM; it is ready when this returns."""
    process = await asyncio.create_subprocess_exec(
        *("python3", "-c", PROGRAM.format(act=act)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"1\n"
    return process


async def test_a_process_that_listens_is_ended_by_asking() -> None:
    process = await start("sys.exit(3)")
    await _end(process)
    assert process.returncode == 3


async def test_a_process_that_does_not_listen_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.demo.process.ASK_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr("gateway.demo.process.STOP_SECONDS", 0.1)
    process = await start("None")
    await _end(process)
    assert process.returncode == -9


async def test_a_process_that_has_ended_is_left_alone() -> None:
    process = await start("sys.exit(0)")
    process.terminate()
    await process.wait()
    await _end(process)
    assert process.returncode == 0
