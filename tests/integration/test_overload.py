"""A gateway that cannot keep up turns new calls away, keeps those it has, and tells Prometheus so."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from tests.fakes import FakeEngine
from tests.gateway_under_test import PATIENCE_SECONDS, TOKEN, House, house
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
PAUSE = bytes(16 * 900)
DECODE_SECONDS = 0.2
UTTERANCES = 12
LIMIT_SECONDS = 0.5


@asynccontextmanager
async def slow_house(state_dir: Path) -> AsyncIterator[House]:
    """Run a gateway of which nothing is decoded until it is told to."""
    listeners = [{"port": 0, "account": "pbx"}, {"name": "others", "port": 0}]
    async with house(
        state_dir,
        engine=FakeEngine(held=True),
        AUDIOSOCKET=msgspec.json.encode(listeners).decode(),
        CALLS__FINAL_WAIT_SECONDS=LIMIT_SECONDS,
        CALLS__FINAL_WAIT_PATIENCE_SECONDS=0.3,
    ) as home:
        yield home


async def scrape(home: House) -> dict[str, float]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{home.http_port}/metrics") as response,
    ):
        assert response.status == 200
        families = list(text_string_to_metric_families(await response.text()))
    samples = [sample for family in families for sample in family.samples]
    return {sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value for sample in samples}


async def wait_for(home: House, when: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Ask again and again, as Prometheus does, until it is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not when(told := await scrape(home)):  # noqa: ASYNC110  nobody is told who reads metrics
            await asyncio.sleep(0.02)
    return told


async def register(home: House) -> tuple[int, str | None, str | None]:
    """Announce a call; give the status, Retry-After, and the code of the error."""
    url, body = f"http://127.0.0.1:{home.http_port}/v1/calls", {"stream_id": str(uuid.uuid4())}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.post(url, json=body) as response,
    ):
        answer = await response.json()
        return response.status, response.headers.get("Retry-After"), answer.get("error", {}).get("code")


async def test_a_gateway_that_cannot_keep_up_takes_no_new_calls_until_it_can(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with slow_house(tmp_path) as home:
            assert (await scrape(home))["linescribe_admitting"] == 1
            first = await home.call((SPEECH + PAUSE) * UTTERANCES)
            await home.engine.wait_begun(1)
            await asyncio.sleep(DECODE_SECONDS)  # so that a decode is known to take as long
            await home.engine.release()
            told = await wait_for(home, lambda told: not told["linescribe_admitting"])
            assert told["linescribe_final_wait_seconds"] > LIMIT_SECONDS
            assert told["stt_queue_depth final"] > 1
            assert told["linescribe_waiting_audio_seconds memory"] > 3
            assert (told["linescribe_calls"], told["stt_active_connections"]) == (1, 1)
            assert told["stt_backpressure_level"] == 2

            refused = await home.call(SPEECH, listener="others")
            assert await refused.rest() == b"\0\0\0"
            assert await register(home) == (503, "1", "overloaded")
            second = await home.call(SPEECH, call_uuid=first.uuid)
            told = await wait_for(home, lambda told: told["stt_active_connections"] == 2)
            assert (told["linescribe_calls"], told["linescribe_refused_total overloaded"]) == (1, 2)
            assert told["linescribe_refused_total full"] == 0

            await home.engine.let_go()
            await home.inbox.wait("transcript.final", UTTERANCES)
            await wait_for(home, lambda told: bool(told["linescribe_admitting"]))
            assert (await register(home))[0] == 201
            third = await home.call(SPEECH, listener="others")
            await home.inbox.wait("track.started", 1, third.name)
            for line in (first, refused, second, third):
                await line.hang_up()
            await home.inbox.wait("call.ended", 2)
    changes = [(each["log_level"], each["calls"]) for each in logs if "new calls are" in each["event"]]
    assert changes == [("warning", 1), ("info", 1)]
    told_of = [(each["reason"], each["listener"]) for each in logs if each["event"] == "stream refused"]
    assert told_of == [("overloaded", "others")]


@pytest.mark.parametrize(
    ("method", "status", "has_body"), [("GET", 200, True), ("HEAD", 200, False), ("POST", 405, True)]
)
async def test_metrics_are_read_and_nothing_else(tmp_path: Path, method: str, status: int, *, has_body: bool) -> None:
    async with house(tmp_path) as home, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{home.http_port}/metrics"
        async with session.request(method, url) as response:
            assert response.status == status
            assert bool(await response.read()) is has_body
            if status == 200:
                assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("accept", ["text/plain;version=abc", "application/openmetrics-text;version=x", "a,;b", "*/*"])
async def test_whatever_is_asked_for_is_answered(tmp_path: Path, accept: str) -> None:
    async with house(tmp_path) as home, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{home.http_port}/metrics"
        async with session.get(url, headers={"Accept": accept}) as response:
            assert response.status == 200
            assert "abc" not in response.headers["Content-Type"]
            assert "linescribe_calls 0.0" in await response.text()


async def test_openmetrics_for_who_asks_for_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{home.http_port}/metrics"
        accept = [("Accept", "application/openmetrics-text;version=1.0.0"), ("Accept", "text/plain;q=0.5")]
        async with session.get(url, headers=accept) as response:
            assert response.headers["Content-Type"].startswith("application/openmetrics-text")
            assert (await response.text()).endswith("# EOF\n")
