"""What an operator does, and what befalls a service, under calls in progress with real weights: nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from gateway.callers.audiosocket import call_audiosocket
from gateway.cli.control import request
from gateway.demo.score import word_errors, words
from tests.acceptance.test_gateway import MOST_WORD_ERRORS, PAUSE, running
from tests.gateway_under_test import Inbox
from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.demo.process import GatewayProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

SAID = "You are currently the only person in this conference"
CALLS = 4
TIMES = 8
"""So often it is said in each call: half a minute."""


async def model_process(state: Path) -> int:
    """Tell which process holds the models, once there is one."""
    while not (workers := (await request(state, "GET", "/admin/status"))["decoding"]["workers"]):
        pass
    return int(workers[0])


def write(config: Path, settings: dict[str, Any]) -> None:
    config.write_text(json.dumps(settings))


async def command(*arguments: str, state: Path) -> tuple[int, str]:
    """Run one of the commands."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments, "--state-dir", str(state)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


async def trouble(process: GatewayProcess, inbox: Inbox, config: Path, state: Path) -> None:
    """Do to a gateway with calls all that may be done to it, one thing after the other."""
    await inbox.wait("transcript.final", CALLS)
    before = await model_process(state)
    os.kill(before, signal.SIGKILL)  # a dead worker
    await inbox.wait_logged("model_process.restarting")
    await inbox.wait("transcript.final", 2 * CALLS)
    assert await model_process(state) != before

    changed: dict[str, Any] = {"calls": {"max_calls": CALLS}, "models": {"compute_type": "float32"}}
    write(config, changed)
    process.send_signal(signal.SIGHUP)  # other settings, and other models with them
    await inbox.wait_logged("settings taken over")
    await inbox.wait_logged("models swapped")
    status, told = await command("reload", state=state)
    assert (status, told) == (0, "nothing has changed\n")

    write(config, changed | {"calls": {"max_cals": 1}})
    status, told = await command("reload", state=state)
    assert status == 1
    assert "unknown key; did you mean 'max_calls'?" in told

    await inbox.wait("transcript.final", 4 * CALLS)
    status, told = await command("drain", "--no-wait", state=state)
    assert (status, told) == (0, f"draining: {CALLS} calls in progress\n")


async def test_nothing_is_lost_whatever_is_done(tmp_path: Path) -> None:
    inbox, config, state = Inbox(), tmp_path / "gateway.yaml", tmp_path / "state"
    write(config, {})
    async with running(tmp_path, inbox, CONFIG=str(config)) as process:
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(
                    call_audiosocket(
                        (prompt("conf-onlyperson") + PAUSE) * TIMES,
                        host="127.0.0.1",
                        port=process.ports["audiosocket"],
                        call_uuid=uuid.uuid4(),
                    )
                )
                for _ in range(CALLS)
            ]
            group.create_task(trouble(process, inbox, config, state))
        assert await process.wait() == 0
    assert inbox.of("transcript.failed") == []
    for call in calls:
        name = call.result().call_uuid
        finals = inbox.of("transcript.final", name)
        said, heard = words(SAID) * TIMES, words(" ".join(final["text"] for final in finals))
        assert word_errors(said, heard) <= MOST_WORD_ERRORS * len(said), " ".join(heard)
        (ended,) = inbox.of("call.ended", name)
        assert (ended["reason"], ended["failed"]) == ("hangup", 0)
        assert ended["utterances"] == len(finals) + sum(ended["suppressed"].values())
        assert inbox.types(name)[-1] == "call.ended"
    models = {final["model"] for final in inbox.of("transcript.final")}
    assert models == {"base int8", "base float32"}
