from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gateway.receiver import Receiver
from tests.gateway_under_test import KEY, PATIENCE_SECONDS, Inbox, Line, house
from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")


def committed(state_dir: Path) -> dict[str, str]:
    """Read the ids and types of what is in the store, as whoever comes after a crash finds it."""
    (file,) = state_dir.glob("*.sqlite3")
    with closing(sqlite3.connect(file)) as db:
        return dict(db.execute("SELECT event_id, type FROM event"))


async def crash(state_dir: Path, port: int, point: str, nth: int) -> str:
    """Make a call to a gateway that kills itself at a point; tell the call's UUID."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "ignore", "-m", "tests.crashing_gateway", str(state_dir), str(port), point, str(nth)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            gateway_port = int(await process.stdout.readline())
            line = Line(*await asyncio.open_connection("127.0.0.1", gateway_port))
            await line.introduce()
            await line.say(SPEECH)
            line.writer.close()
            assert await process.wait() == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return line.name


@pytest.mark.parametrize("point", ["outbox.before_commit", "outbox.after_commit", "sender.after_post"])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_after_kill_9_every_committed_event_is_delivered_and_the_call_ended(
    tmp_path: Path, point: str, nth: int
) -> None:
    before = Inbox()
    receiver = Receiver([KEY], clock=time.time, on_event=before.take)  # noqa: TID251  tests live in real time
    port = await receiver.start("127.0.0.1", 0)
    try:
        name = await crash(tmp_path, port, point, nth)
    finally:
        await receiver.stop()
    stored = committed(tmp_path)
    assert set(before.ids) <= set(stored), "nothing is sent before it is committed"

    async with house(tmp_path) as home:
        if stored:
            (ended,) = await home.inbox.wait("call.ended")
        else:
            assert (point, nth) == ("outbox.before_commit", 1)
    after = home.inbox

    assert set(stored) <= set(before.ids) | set(after.ids)
    assert len(after.ids) == len(set(after.ids))
    if stored:
        assert ended["source"]["call_id"] == name
        expected = "hangup" if "call.ended" in stored.values() else "gateway_restart"
        assert ended["reason"] == expected
        assert ended["last_sequence"] == ended["sequence"] == len(stored) + (expected == "gateway_restart")
        assert ended["sequence"] == max(each["sequence"] for each in after.of_any())


async def test_a_restart_ends_each_call_once(tmp_path: Path) -> None:
    receiver = Receiver([KEY], clock=time.time, on_event=Inbox().take)  # noqa: TID251
    port = await receiver.start("127.0.0.1", 0)
    try:
        await crash(tmp_path, port, "outbox.after_commit", 2)
    finally:
        await receiver.stop()
    async with house(tmp_path) as home:
        await home.inbox.wait("call.ended")
    async with house(tmp_path) as home:
        line = await home.call()
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        assert ended["source"]["call_id"] == line.name
