"""`linescribe outbox` beside a gateway's delivery that runs, and without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from config.load import load
from gateway.delivery import deliveries as module
from gateway.delivery.database import FILE_NAME
from gateway.delivery.deliveries import Deliveries
from gateway.delivery.posting import new_sessions
from gateway.delivery.recipients import Recipient
from gateway.events import StoredEvent
from tests.sites import SECRETS, HeldSite, Site, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
TEXT = "my words \u001b[31m"

clock, wall = time.monotonic, time.time  # noqa: TID251  tests live in real time


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.02)


def event(call_id: str, sequence: int) -> StoredEvent:
    body = {"type": "transcript.final", "timestamp": "2025-10-09T08:53:20.000Z", "data": {"text": TEXT}}
    return StoredEvent(
        event_id=f"msg_{call_id}_{sequence}",
        call_id=call_id,
        sequence=sequence,
        type="transcript.final",
        body=msgspec.json.encode(body),
    )


class Desk:
    """A settings file, what delivers by it, and the command beside it."""

    def __init__(self, folder: Path, **urls: str) -> None:
        self.folder = folder
        self.file = folder / "my.yaml"
        self.state = folder / "state"
        endpoints = [{"name": name, "url": url, "secrets": [SECRETS[0].reveal()]} for name, url in urls.items()]
        delivery = {"endpoints": endpoints, "retry_seconds": [3600.0], "jitter": 0, "breaker_failures": 1000}
        self.file.write_text(json.dumps({"state_dir": str(self.state), "delivery": delivery}))

    @contextlib.asynccontextmanager
    async def delivering(self) -> AsyncIterator[Deliveries]:
        settings = load(self.file, {})
        deliveries = Deliveries(settings.delivery, self.state, clock=clock, wall=wall, random=lambda: 0.5)
        await deliveries.open()
        async with new_sessions() as sessions, asyncio.TaskGroup() as group:
            running = group.create_task(deliveries.run(sessions))
            yield deliveries
            running.cancel()
        await deliveries.close(5)

    async def run(self, *words: str, status: int = 0, answer: str = "") -> str:
        """Run the command; give what it says on both channels."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "outbox", *words),
            env={"LINESCRIBE_CONFIG": str(self.file), "COLUMNS": "60"},
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(answer.encode()), 30)
        assert process.returncode == status, out.decode()
        return out.decode()

    async def figures(self, name: str) -> dict[str, Any]:
        told = json.loads(await self.run("status", "--json"))
        (found,) = (each for each in told["endpoints"] if each["name"] == name)
        return dict(found)


async def publish(deliveries: Deliveries, *calls: str, events: int = 2, to: tuple[str, ...] = ("crm",)) -> None:
    for call_id in calls:
        for sequence in range(1, events + 1):
            await deliveries.publish(event(call_id, sequence), [Recipient(name) for name in to])


async def ids(site: Site, count: int) -> list[str]:
    return [(await site.next())[0]["webhook-id"] for _ in range(count)]


async def settled(deliveries: Deliveries) -> None:
    """Wait until nothing can be sent now, and all that was is settled."""
    assert await deliveries.finish(10) is not None


async def test_an_endpoint_that_wanted_no_more_is_seen_and_enabled(tmp_path: Path) -> None:
    site = Site(410)
    async with serving(site.handle) as url:
        desk = Desk(tmp_path, crm=url)
        async with desk.delivering() as deliveries:
            await publish(deliveries, "a")
            await ids(site, 1)
            await settled(deliveries)
            told = await desk.run("status")
            assert "disabled: HTTP 410" in told
            assert "a gateway uses it" in told
            assert "linescribe outbox enable crm" in told
            await desk.run("status", "--check", status=1)
            assert "the endpoint is disabled (HTTP 410" in await desk.run("list")
            assert "crm is enabled" in await desk.run("enable", "crm")
            assert "crm was not disabled" in await desk.run("enable", "crm")
            assert await ids(site, 2) == ["msg_a_1", "msg_a_2"]
            await settled(deliveries)
        await desk.run("status", "--check")
        assert "no gateway uses it" in await desk.run("status")


async def test_an_endpoint_is_left_alone_for_a_while(tmp_path: Path) -> None:
    site = Site()
    async with serving(site.handle) as url:
        desk = Desk(tmp_path, crm=url)
        async with desk.delivering() as deliveries:
            await publish(deliveries, "first")
            await ids(site, 2)
            await desk.run("disable", "crm", "--reason", "new database")
            assert (await desk.figures("crm"))["disabled"] == "new database"
            await publish(deliveries, "a")
            await settled(deliveries)
            assert site.requests.empty()
            await desk.run("enable", "crm")
            assert await ids(site, 2) == ["msg_a_1", "msg_a_2"]


async def test_dead_letters_are_tried_again(tmp_path: Path) -> None:
    site = Site(*[500] * 4)
    async with serving(site.handle) as url:
        desk = Desk(tmp_path, crm=url)
        async with desk.delivering() as deliveries:
            await publish(deliveries, "a", "b")
            await ids(site, 2)
            await settled(deliveries)
            assert "tried again in 59 m (HTTP 500)" in await desk.run("list", "--call", "a")
            assert "2 deliveries to be tried now" in await desk.run("retry")
            await ids(site, 2)
            assert await ids(site, 2) == ["msg_a_2", "msg_b_2"], "the first of each was given up"
            await settled(deliveries)
            assert (await desk.figures("crm"))["dead"] == 2
            assert "retry --only dead --endpoint crm" in await desk.run("status")
            assert "dead " in await desk.run("list", "--state", "dead")
            assert "0 deliveries" in await desk.run("retry", "--only", "pending")
            assert "1 delivery" in await desk.run("retry", "--only", "dead", "--call", "a")
            assert await ids(site, 1) == ["msg_a_1"]
            await settled(deliveries)
            assert (await desk.figures("crm"))["dead"] == 1


async def test_a_receiver_that_has_lost_something_is_sent_it_again_in_order(tmp_path: Path) -> None:
    crm, archive = Site(), Site()
    async with serving(crm.handle) as url, serving(archive.handle) as other:
        desk = Desk(tmp_path, crm=url, archive=other)
        async with desk.delivering() as deliveries:
            await publish(deliveries, "a", "b", events=4)
            await ids(crm, 8)
            await settled(deliveries)
            assert "4 deliveries to be sent again" in await desk.run("redeliver", "--call", "a")
            assert await ids(crm, 4) == [f"msg_a_{number}" for number in range(1, 5)]
            assert "1 delivery" in await desk.run("redeliver", "--event", "msg_b_3")
            assert await ids(crm, 1) == ["msg_b_3"]
            assert "8 deliveries" in await desk.run("redeliver", "--since", "1h", "--to", "archive")
            assert sorted(await ids(archive, 8)) == sorted(f"msg_{call}_{n}" for call in "ab" for n in range(1, 5))
            assert "0 deliveries" in await desk.run("redeliver", "--until", "1h")
            await settled(deliveries)


async def test_what_nobody_needs_is_discarded(tmp_path: Path) -> None:
    held = HeldSite()
    async with serving(held.handle) as url:
        desk = Desk(tmp_path, crm=url)
        async with desk.delivering() as deliveries:
            await publish(deliveries, "a", events=3)
            await ids(held, 1)
            told = await desk.run("discard", "--endpoint", "crm", answer="n\n", status=1)
            assert "Discard what is not delivered of 3 events?" in told
            assert (await desk.figures("crm"))["pending"] == 3
            told = await desk.run("discard", "--endpoint", "crm", "--yes")
            assert "2 deliveries discarded" in told
            assert "1 are just being tried, and left" in told
            held.released.set()
            await settled(deliveries)
        assert held.answered == 1
        assert (await desk.figures("crm"))["pending"] == 0
        assert "discarded by the operator" in await desk.run("list", "--state", "discarded")


async def test_long_work_is_told_of_and_live_calls_go_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path, crm="http://127.0.0.1:1/")
    async with desk.delivering() as deliveries:
        await asyncio.gather(*(publish(deliveries, f"c{number}", events=1) for number in range(2500)))
        async with asyncio.TaskGroup() as group:
            working = group.create_task(desk.run("discard", "--all", "--yes"))
            number = 0
            while not working.done():
                number += 1
                await deliveries.publish(event("live", number), [])
        told = working.result()
    assert [line for line in told.splitlines() if "%" in line][-1] == "discarding: 100 % of 2500 events"
    assert number > 10


async def test_events_are_shown_with_what_has_become_of_them(tmp_path: Path) -> None:
    site = Site()
    async with serving(site.handle) as url:
        desk = Desk(tmp_path, crm=url)
        async with desk.delivering() as deliveries:
            await publish(deliveries, "a")
            await ids(site, 2)
            await settled(deliveries)
    shown = await desk.run("show", "msg_a_1")
    assert "crm: delivered" in shown
    assert "my words" in shown
    assert "\u001b" not in shown, "a caller's words steer no terminal"
    assert "my words" not in await desk.run("show", "--call", "a", "--no-body")
    told = [json.loads(line) for line in (await desk.run("show", "--call", "a", "--json")).splitlines()]
    assert [each["event_id"] for each in told] == ["msg_a_1", "msg_a_2"]
    assert told[0]["body"]["data"]["text"] == TEXT
    assert told[0]["deliveries"][0]["state"] == "delivered"
    assert "msg_x is not in the store" in await desk.run("show", "msg_x", status=1)
    assert "nothing" in await desk.run("list")
    assert "msg_a_2" in await desk.run("list", "--state", "delivered", "--limit", "1")


async def test_urls_that_calls_have_brought_are_not_shown(tmp_path: Path) -> None:
    desk = Desk(tmp_path, crm="http://127.0.0.1:1/")
    async with desk.delivering() as deliveries:
        brought = Recipient("theirs", "https://hooks.example.com/s3cret?token=1")
        await deliveries.outbox.append(event("a", 1), [brought])
    for words in (["list"], ["list", "--json"], ["show", "msg_a_1"], ["show", "msg_a_1", "--json"], ["status"]):
        told = await desk.run(*words)
        assert "s3cret" not in told
        assert "hooks.example.com" in told
    assert "not in the settings" in await desk.run("status")


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["redeliver"], 2, "Say what: --call"),
        (["discard"], 2, "Say what: --endpoint"),
        (["show"], 2, "Name an event, or a call"),
        (["retry", "--since", "yesterday"], 2, "write 90m, 24h or 7d for so long ago"),
        (["retry", "--since", "1h", "--until", "2h"], 2, "that is no time at all"),
        (["retry", "--endpoint", "cmr"], 2, "there is no endpoint 'cmr'"),
        (["enable", "cmr"], 2, "those of the settings and of the store: crm"),
        (["redeliver", "--call", "a", "--to", "cmr"], 2, "expected an endpoint of the settings"),
        (["redeliver", "--call", "a", "--to", "crm", "--endpoint", "crm"], 2, "name one of them"),
        (["status", "--state-dir", "/nowhere"], 1, "there is no event store"),
        (["list", "--state", "lost"], 2, "'lost' is not one of"),
    ],
)
async def test_what_cannot_be_done_is_said(tmp_path: Path, words: list[str], status: int, told: str) -> None:
    desk = Desk(tmp_path, crm="http://127.0.0.1:1/")
    async with desk.delivering():
        pass
    assert told in " ".join((await desk.run(*words, status=status)).split())


async def test_a_store_that_is_none_or_of_tomorrow_is_left_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path, crm="http://127.0.0.1:1/")
    desk.state.mkdir()
    (desk.state / FILE_NAME).write_text("Dear diary, " * 100)
    assert "expected an event store of Linescribe" in await desk.run("status", status=1)
    (desk.state / FILE_NAME).write_bytes(b"")
    assert "nothing was ever stored here" in await desk.run("status", status=1)
