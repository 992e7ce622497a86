"""`linescribe reload`, `drain` and `top`, as an operator runs them."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway_under_test import TOKEN, house, settings
from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("LINESCRIBE_")}


async def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run a command; give its status, what it prints and what it says on standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        env=CLEAN | {"COLUMNS": "100"} | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_what_a_reload_came_to_is_told(tmp_path: Path) -> None:
    changes: dict[str, Any] = {}
    port = 0

    async with house(tmp_path, read=lambda: settings(tmp_path, port, **changes)) as home:
        port = home.receiver_port
        assert await run("reload", "--state-dir", str(tmp_path)) == (0, "nothing has changed\n", "")
        changes |= {"CALLS__MAX_CALLS": 3, "AUDIOSOCKET__0__NAME": "other"}
        told = "taken over: calls.max_calls\nneeds a restart: audiosocket\n"
        assert await run("reload", "--state-dir", str(tmp_path)) == (0, told, "")


async def test_the_settings_file_tells_where_the_gateway_is(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(f"state_dir: {tmp_path / 'state'}\n")
    async with house(tmp_path / "state"):
        status, shown, _ = await run("top", "--once", "--config", str(config))
    assert (status, "serving" in shown) == (0, True)


@pytest.mark.parametrize("command", ["reload", "drain", "top"])
async def test_where_no_gateway_is_it_is_said(tmp_path: Path, command: str) -> None:
    status, shown, told = await run(command, "--state-dir", str(tmp_path))
    assert (status, shown) == (3, "")
    place = tmp_path / "control.sock"
    assert told == f"linescribe: no gateway answers at {place}: is it running, and are these its settings (--config)?\n"


async def test_a_drain_is_waited_for(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        line = await home.call(SPEECH)
        await home.inbox.wait("call.started")
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(run("drain", "--state-dir", str(tmp_path)))
            while home.gateway._registry.admitting:  # noqa: ASYNC110  the command is on its way
                await asyncio.sleep(0.01)
            await line.hang_up()
        assert draining.result() == (0, "draining: 1 calls in progress\nthe gateway has ended\n", "")


async def test_top_shows_calls_models_and_delivery(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        line = await home.call(SPEECH + bytes(16 * 900))
        await home.inbox.wait("transcript.final")
        status, shown, told = await run("top", "--once", "--state-dir", str(tmp_path))
        assert (status, told) == (0, "")
        for words in ("1 of 500", "fake int8", "final and interim", "can be written to", "of 1 utterances", "100.0%"):
            assert words in shown
        await line.hang_up()


async def test_top_looks_at_another_machine(tmp_path: Path) -> None:
    proxied: dict[str, Any] = {"HTTP__TRUSTED_PROXIES": '["127.0.0.1"]'}
    async with house(tmp_path, **proxied) as home:
        url = f"http://127.0.0.1:{home.http_port}"
        status, shown, _ = await run("top", "--once", "--url", url)
        assert (status, "serving" in shown) == (0, True)
        status, _, told = await run("top", "--once", "--url", f"{url}/elsewhere")
        assert (status, told) == (1, "linescribe: there is nothing at this path\n")
        status, _, told = await run("top", "--once", "--url", url, LINESCRIBE_TOP_TOKEN=TOKEN)
        assert status == 0
    status, _, told = await run("top", "--once", "--url", url)
    assert status == 3
    assert told.startswith(f"linescribe: {url} does not answer")
