"""A hundred stereo forks of FreeSWITCH at once, sent by another process as its modules would send them."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from tests.gateway_under_test import house
from tests.recordings import write_wav
from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path

CALLS = 100
ROLES = ("inbound", "outbound")
SPEECH = np.frombuffer(prompt("conf-onlyperson"), "<i2")
"""Three seconds."""


@pytest.mark.timeout(300)
async def test_all_of_a_hundred_stereo_forks_are_heard_and_told_and_nothing_is_shed(tmp_path: Path) -> None:
    # At real time, for which asyncio's debug mode leaves no room.
    asyncio.get_running_loop().set_debug(enabled=False)
    caller = write_wav(tmp_path / "caller.wav", SPEECH)
    agent = write_wav(tmp_path / "agent.wav", np.pad(SPEECH, (4_000, 0)))
    async with house(tmp_path) as home:
        with capture_logs() as logs:
            calls = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "call", "freeswitch", "--both", str(caller), str(agent)),
                *("--calls", str(CALLS), "--end", "graceful", "--hangup-after", "0.2"),
                *("--url", f"ws://127.0.0.1:{home.http_port}/freeswitch"),
                stdout=asyncio.subprocess.PIPE,
            )
            printed, _ = await calls.communicate()
            await home.inbox.wait("call.ended", CALLS)
    assert calls.returncode == 0
    lines = printed.decode().splitlines()
    assert len([line for line in lines if line.endswith("2 texts received, ended by the caller")]) == CALLS
    told = Counter(tuple(line.split()[:2]) for line in lines if "utterance of" in line)
    assert told == {(ended["source"]["call_id"], each): 1 for ended in home.inbox.of("call.ended") for each in ROLES}
    audio_ms = len(SPEECH) / 8 + 700
    for ended in home.inbox.of("call.ended"):
        assert (ended["reason"], ended["utterances"], ended["failed"], ended["interims_shed"]) == ("stopped", 2, 0, 0)
        assert ended["audio_ms"] == {track: pytest.approx(audio_ms, abs=25) for track in ROLES}
    assert len(home.inbox.of("transcript.final")) == 2 * CALLS
    assert [each for each in logs if each["log_level"] in {"warning", "error", "critical"}] == []
