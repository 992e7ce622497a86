"""The pages that tell how a gateway fares, through its life, and who may read which."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from gateway import __version__
from gateway.cli.control import request
from gateway.delivery.database import FILE_NAME
from gateway.service import Gateway
from gateway.status import Status
from tests.fakes import FakeEngine
from tests.gateway_under_test import TOKEN, House, house, settings
from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Models

SPEECH = prompt("conf-onlyperson")
PAUSE = bytes(16 * 900)

PAGES = ("/health/status", "/status", "/system", "/metrics", "/metrics.json")
FROM_ELSEWHERE = {"X-Forwarded-For": "192.0.2.9"}
PROXY: dict[str, Any] = {"HTTP__TRUSTED_PROXIES": '["127.0.0.1"]'}


async def get(port: int | None, path: str, **headers: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        content = await response.read()
    return response.status, msgspec.json.decode(content) if "json" in response.content_type else content.decode()


class Start:
    """Models that take their time."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.loaded = asyncio.Event()

    async def load(self, _models: Models) -> FakeEngine:
        self.asked.set()
        await self.loaded.wait()
        return FakeEngine()


async def test_a_start_can_be_watched(tmp_path: Path, unused_tcp_port: int) -> None:
    start = Start()
    gateway = Gateway(settings(tmp_path, 1, HTTP__PORT=unused_tcp_port), start.load)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(gateway.run())
        await start.asked.wait()
        assert await get(unused_tcp_port, "/health/live") == (200, {"status": "alive"})
        starting = {"status": "starting", "reasons": ["loading the models"]}
        assert await get(unused_tcp_port, "/health/startup") == (503, starting)
        assert (await get(unused_tcp_port, "/health/ready"))[0] == 503
        status, told = await get(unused_tcp_port, "/status")
        assert (status, told["stage"], told["doing"]) == (200, "starting", "loading the models")
        for path in ("/v1/calls", "/freeswitch", "/twilio/voice"):
            status, told = await get(unused_tcp_port, path)
            assert (status, told["error"]["code"]) == (503, "starting")
        start.loaded.set()
        while (await get(unused_tcp_port, "/health/startup"))[0] == 503:
            pass
        assert await get(unused_tcp_port, "/ready") == (200, {"status": "ready"})
        gateway.stop()
        await running


async def test_a_start_that_is_stopped_ends(tmp_path: Path) -> None:
    start = Start()
    gateway = Gateway(settings(tmp_path, 1), start.load)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(gateway.run())
        await start.asked.wait()
        gateway.stop()
        await running


async def test_the_short_names_are_the_same_pages(home: House) -> None:
    for short, page in {"/health": "/health/live", "/ready": "/health/ready"}.items():
        assert await get(home.http_port, short) == await get(home.http_port, page)
    assert (await get(home.http_port, "/status"))[1].keys() == (await get(home.http_port, "/health/status"))[1].keys()
    _, index = await get(home.http_port, "/")
    assert index.keys() == {"name", "pages"}  # which version it is, strangers need not know
    for page in index["pages"]:
        assert (await get(home.http_port, page))[0] == 200


async def test_a_gateway_that_drains_lives_and_is_not_ready(home: House) -> None:
    line = await home.call()
    await home.inbox.wait("call.started")
    home.gateway.stop()
    assert await get(home.http_port, "/health/ready") == (503, {"status": "not ready", "reasons": ["draining"]})
    assert (await get(home.http_port, "/health/live"))[0] == 200
    assert (await get(home.http_port, "/health/startup"))[0] == 200
    await line.hang_up()


async def test_a_decode_that_does_not_end_is_no_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.pulse.OVERRUN_SECONDS", 0.2)
    engine = FakeEngine(held=True)
    async with house(tmp_path, engine=engine, MODELS__DECODE_LIMIT_SECONDS=0.1) as home:
        assert (await get(home.http_port, "/health/live"))[0] == 200
        line = await home.call(SPEECH + PAUSE)
        await engine.wait_begun(1)
        async with asyncio.timeout(30):
            while (await get(home.http_port, "/health/live"))[0] == 200:
                pass
        stuck = {"status": "stuck", "reasons": ["a decode has been running for too long"]}
        assert await get(home.http_port, "/health/live") == (503, stuck)
        await engine.let_go()
        await home.inbox.wait("transcript.final")
        assert (await get(home.http_port, "/health/live"))[0] == 200
        await line.hang_up()


async def test_a_disk_that_takes_nothing_is_no_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.database.BUSY_SECONDS", 0.1)
    monkeypatch.setattr("gateway.delivery.writer.RETRY_SECONDS", 0.1)
    monkeypatch.setattr("gateway.pulse.STORE_SECONDS", 1.0)  # a round is shorter
    async with house(tmp_path) as home:
        line = await home.call(SPEECH + PAUSE)
        await home.inbox.wait("transcript.final")
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as neighbour:
            neighbour.execute("BEGIN EXCLUSIVE")
            await line.hang_up()
            while (await get(home.http_port, "/health/ready"))[0] == 200:
                pass
            end = asyncio.get_running_loop().time() + 2.0
            while asyncio.get_running_loop().time() < end:
                assert (await get(home.http_port, "/health/live"))[0] == 200
        await home.inbox.wait("call.ended")


async def test_the_status_tells_what_there_is(home: House) -> None:
    line = await home.call(SPEECH + PAUSE)
    await home.inbox.wait("transcript.final")
    _, told = await get(home.http_port, "/health/status")
    status = msgspec.convert(told, Status)
    assert (status.version, status.stage, status.unready) == (__version__, "serving", [])
    assert (status.calls.live, status.calls.streams, status.calls.admitting) == (1, 1, True)
    assert status.calls.load_percent == 0.2  # of 500
    assert [model.name for model in status.decoding.models] == ["fake int8"]
    assert (status.decoding.utterances.count, status.decoding.utterances.success) == (1, 1.0)
    assert status.decoding.finals.count == 1
    assert status.decoding.finals.p50_ms is not None
    assert status.delivery.writable
    assert status.delivery.endpoints["test"].state == "well"
    await line.hang_up()
    await home.inbox.wait("call.ended")
    await home.until_no_calls()
    _, told = await get(home.http_port, "/health/status")
    assert (told["calls"]["live"], told["calls"]["ended"]) == (0, {"hangup": 1})


async def test_what_fails_and_who_is_refused_is_told(tmp_path: Path) -> None:
    engine = FakeEngine(fails=lambda _: True)
    async with house(tmp_path, engine=engine, CALLS__MAX_CALLS=1) as home:
        line = await home.call(SPEECH + PAUSE)
        await home.inbox.wait("transcript.failed")
        other = await home.call()
        await other.rest()
        await other.hang_up()
        _, told = await get(home.http_port, "/status")
        assert told["decoding"]["utterances"] == {"count": 1, "success": 0.0, "timeout": 0.0}
        assert told["calls"]["refused"] == {"full": 1}
        assert told["calls"]["load_percent"] == 100
        await line.hang_up()


async def test_what_came_in_is_counted(home: House) -> None:
    line = await home.call(SPEECH)
    await line.hang_up()
    await home.inbox.wait("call.ended")
    await home.until_no_calls()
    _, page = await get(home.http_port, "/metrics")
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in page.splitlines() if line[0] != "#"}
    frames = -(-len(SPEECH) // 320)
    assert values["linescribe_frames_total"] == frames
    assert values["linescribe_audio_seconds_total"] == pytest.approx(len(SPEECH) / 16_000, abs=0.001)
    assert values['stt_jobs_processed_total{job_type="final",status="success"}'] == 1
    assert values['stt_decode_duration_seconds_count{job_type="final"}'] == 1
    for phase in ("buffer", "queue", "inference", "emit"):
        assert values[f'linescribe_phase_seconds_count{{job_type="final",phase="{phase}"}}'] == 1
    assert values["linescribe_final_seconds_count"] == 1
    assert values["linescribe_event_loop_lag_seconds_count"] > 0
    assert values['linescribe_calls_ended_total{reason="hangup"}'] == 1


async def test_the_machine_is_told(home: House) -> None:
    _, told = await get(home.http_port, "/system")
    assert told["processors"] >= 1
    assert [process["pid"] for process in told["processes"]] == [os.getpid()]  # the engine is in the same
    assert all(process["threads"] > 0 and process["memory_bytes"] > 0 for process in told["processes"])


async def test_metrics_are_told_as_values(home: House) -> None:
    _, told = await get(home.http_port, "/metrics.json")
    assert told["linescribe_calls"]["samples"] == [{"name": "linescribe_calls", "labels": {}, "value": 0.0}]


@pytest.mark.parametrize("page", PAGES)
async def test_a_stranger_may_not_read_it(tmp_path: Path, page: str) -> None:
    async with house(tmp_path, **PROXY) as home:
        status, told = await get(home.http_port, page, **FROM_ELSEWHERE)
        assert (status, told["error"]["code"]) == (401, "unauthorized")
        assert "http.monitors" in told["error"]["message"]
        assert (await get(home.http_port, page, **FROM_ELSEWHERE, Authorization="Bearer " + "x" * 32))[0] == 401
        assert (await get(home.http_port, page, **FROM_ELSEWHERE, Authorization=f"Bearer {TOKEN}"))[0] == 200
        assert (await get(home.http_port, page))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [FROM_ELSEWHERE, {"Forwarded": "for=192.0.2.9"}, {"Via": "1.1 proxy"}, {"Host": "evil.example"}, {"Host": "[::"}],
    ids=str,
)
async def test_neither_a_proxy_nor_a_browser_makes_strangers_local(home: House, headers: dict[str, str]) -> None:
    status, _ = await get(home.http_port, "/status", **headers)
    assert status == 401


async def test_this_machine_goes_by_several_names(tmp_path: Path) -> None:
    async with house(tmp_path, HTTP__PUBLIC_URL="https://calls.example") as home:
        for host in ("localhost", "127.0.0.1:8080", "[::1]:8080"):
            assert (await get(home.http_port, "/status", Host=host))[0] == 200


@pytest.mark.parametrize("changes", [{"HTTP__MONITORS": '["192.0.2.0/24"]'}, {"HTTP__ACCEPT_ANYBODY": "true"}], ids=str)
async def test_who_is_let_in_may(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with house(tmp_path, **PROXY, **changes) as home:
        for page in PAGES:
            assert (await get(home.http_port, page, **FROM_ELSEWHERE))[0] == 200


async def test_anybody_may_ask_whether_it_lives(tmp_path: Path) -> None:
    async with house(tmp_path, **PROXY) as home:
        for page in ("/", "/health", "/health/live", "/health/startup", "/health/ready", "/ready"):
            assert (await get(home.http_port, page, **FROM_ELSEWHERE))[0] == 200


async def test_without_http_the_socket_tells(tmp_path: Path) -> None:
    async with house(tmp_path, HTTP__PORT="null", FREESWITCH="[]", ASTERISK_WEBSOCKET="[]", TWILIO="[]"):
        assert (await request(tmp_path, "GET", "/admin/status"))["stage"] == "serving"
