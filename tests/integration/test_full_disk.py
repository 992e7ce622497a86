"""Calls while the event store cannot be written to: they are heard, and nothing of them is lost."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import aiohttp

from gateway.delivery import deliveries
from gateway.delivery.database import FILE_NAME
from tests.gateway_under_test import House, house
from tests.sound import prompt
from tests.websocket_lines import line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

SPEECH = prompt("conf-onlyperson")
PAUSE = bytes(16 * 900)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Let the store take nothing: to its writer a lock is what a full disk is, trouble that may pass."""
    with contextlib.closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as neighbour:
        neighbour.execute("BEGIN EXCLUSIVE")
        yield


async def ready(home: House) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{home.http_port}/health/ready") as answer,
    ):
        return answer.status, await answer.text()


async def metric(home: House, name: str) -> float:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{home.http_port}/metrics") as answer,
    ):
        (value,) = (each.split()[1] for each in (await answer.text()).splitlines() if each.startswith(f"{name} "))
    return float(value)


async def test_calls_go_on_and_are_told_what_they_said(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert await ready(home) == (200, '{"status":"ready"}\n')
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say('{"callId":"c1"}')
            await fork.speak(SPEECH + PAUSE, 320)
            await fork.hear()
            await home.inbox.wait("transcript.final")  # the socket hears of it before it is stored
            with locked(tmp_path):
                for _ in range(3):
                    await fork.speak(SPEECH + PAUSE, 320)
                    assert (await fork.hear())["data"]["text"].startswith("utterance of")
                status, reasons = await ready(home)
                assert (status, "event store" in reasons) == (503, True)
                assert await metric(home, "linescribe_outbox_writable") == 0
                assert await metric(home, "linescribe_outbox_waiting_events") == 3
                await fork.hang_up()
                assert len(home.inbox.of("transcript.final")) == 1
        (ended,) = await home.inbox.wait("call.ended")
        assert home.inbox.types("c1").count("transcript.final") == 4
        assert (ended["utterances"], ended["failed"], ended["reason"]) == (4, 0, "hangup")
        assert (await ready(home))[0] == 200


async def test_when_memory_would_fill_new_calls_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_ACCEPTING", 4)
    async with house(tmp_path) as home:
        with locked(tmp_path):
            first = [await home.call() for _ in range(3)]
            for each in first:
                await each.say(SPEECH)
            while (await metric(home, "linescribe_outbox_waiting_events")) < 4:
                pass
            late = await home.call()
            assert await late.rest() == b"\x00\x00\x00", "the dialplan goes on at once"
            assert await metric(home, 'linescribe_refused_total{reason="unstorable"}') == 1
            assert await metric(home, "linescribe_admitting") == 0
            for each in (*first, late):
                await each.hang_up()
        await home.inbox.wait("call.ended", 3)


async def test_it_is_not_ready_while_it_drains(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = await home.call()
        await home.inbox.wait("call.started")
        home.gateway.stop()
        status, reasons = await ready(home)
        assert (status, "draining" in reasons) == (503, True)
        await call.hang_up()
