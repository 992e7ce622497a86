"""Debian's Prometheus scrapes a gateway with calls, and every query of the dashboard and the alerts finds something."""

from __future__ import annotations

import asyncio
import shutil
import socket
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.callers.audiosocket import call_audiosocket
from tests.acceptance.test_gateway import PAUSE, running
from tests.gateway_under_test import Inbox
from tests.grafana import FOLDER, dashboard_queries, metrics_of, rules, without_threshold
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus here: apt-get install prometheus"),
]

CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: linescribe
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""

CALLS = 8
"""A minute of calls and twenty finals are what an estimate of the capacity wants."""

NOT_EVERYWHERE = {"stt_gpu_memory_used_bytes", "linescribe_gpu_memory_bytes", "linescribe_gpu_utilization_ratio"}
"""Only where there is a GPU."""


@asynccontextmanager
async def prometheus(tmp_path: Path, gateway_port: int) -> AsyncIterator[str]:
    """Run one that scrapes a gateway; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(rules=FOLDER / "alerts.yaml", port=gateway_port))
    with (tmp_path / "prometheus.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def ask(session: aiohttp.ClientSession, base: str, query: str) -> list[Any]:
    async with session.get(f"{base}/api/v1/query", params={"query": query}) as response:
        answer = await response.json()
    assert answer["status"] == "success", answer
    result: list[Any] = answer["data"]["result"]
    return result


async def is_scraped(session: aiohttp.ClientSession, base: str, times: int) -> bool:
    try:
        found = await ask(session, base, 'count_over_time(up{job="linescribe"}[5m])')
    except aiohttp.ClientConnectionError:
        return False
    return bool(found) and float(found[0]["value"][1]) >= times


async def test_every_query_finds_something(tmp_path: Path) -> None:
    inbox = Inbox()
    ends = {"DELIVERY__ENDPOINTS__0__INTERIMS": "true"}
    queries = [*dashboard_queries(), *(without_threshold(rule["expr"]) for rule in rules())]
    async with running(tmp_path, inbox, **ends) as process, aiohttp.ClientSession() as session:
        assert process.http_port is not None
        async with prometheus(tmp_path, process.http_port) as base:
            async with asyncio.timeout(60):
                while not await is_scraped(session, base, times=3):  # noqa: ASYNC110  it tells nobody when it has scraped
                    await asyncio.sleep(0.2)
            async with asyncio.TaskGroup() as group:
                for _ in range(CALLS):
                    place: Any = {"host": "127.0.0.1", "port": process.ports["audiosocket"], "call_uuid": uuid.uuid4()}
                    group.create_task(call_audiosocket((prompt("conf-onlyperson") + PAUSE) * 3, **place))
            await inbox.wait("call.ended", CALLS)
            async with asyncio.timeout(60):
                left = [query for query in queries if not metrics_of(query) & NOT_EVERYWHERE]
                while left := [query for query in left if not await ask(session, base, query)]:
                    await asyncio.sleep(0.5)
                    print(left)  # noqa: T201  shown where the time runs out
