"""One trace a call, as a real collector's side of OTLP is sent it."""

from __future__ import annotations

import gzip
import itertools
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from yarl import URL

from config.errors import ConfigError
from gateway.service import Gateway
from tests.fakes import FakeEngine, bring_up
from tests.gateway_under_test import house, settings
from tests.sites import serving
from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
PAUSE = bytes(16 * 900)


class Collector:
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: set[str] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        content = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
        sent = ExportTraceServiceRequest.FromString(content)
        self.paths.add(request.path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.spans += [
            span for resource in sent.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]
        return web.Response()


def attributes(span: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}


async def test_a_call_is_one_trace(tmp_path: Path) -> None:
    collector = Collector()
    async with serving(collector.handle) as url:
        tracing: dict[str, Any] = {"TRACING__ENDPOINT": str(URL(url).origin()), "TRACING__HEADERS": "{x-key: abc}"}
        async with house(tmp_path, **tracing) as home:
            line = await home.call(SPEECH + PAUSE + SPEECH)
            await line.hang_up()
            (ended,) = await home.inbox.wait("call.ended")
    spans = collector.spans
    assert collector.paths == {"/v1/traces"}
    assert collector.headers[0]["x-key"] == "abc"
    assert len({span.trace_id for span in spans}) == 1
    (call,) = (span for span in spans if span.name == "call")
    assert attributes(call)["linescribe.call_id"] == ended["call_id"]
    assert attributes(call)["linescribe.reason"] == "hangup"
    utterances = [span for span in spans if span.name == "utterance"]
    assert [attributes(span)["linescribe.outcome"] for span in utterances] == ["final", "final"]
    assert all(span.parent_span_id == call.span_id for span in utterances)
    for utterance in utterances:
        phases = [span for span in spans if span.parent_span_id == utterance.span_id]
        assert [span.name for span in phases] == ["speech", "buffer", "decode", "emit"]
        assert phases[0].start_time_unix_nano == pytest.approx(utterance.start_time_unix_nano, abs=1e7)
        assert phases[-1].end_time_unix_nano == pytest.approx(utterance.end_time_unix_nano, abs=1e7)
        for before, after in itertools.pairwise(phases):
            assert before.end_time_unix_nano == pytest.approx(after.start_time_unix_nano, abs=1e7)
    told = str(spans)
    assert "utterance of" not in told  # what was said
    assert call.end_time_unix_nano >= max(span.end_time_unix_nano for span in utterances) - 1e7


async def test_what_failed_is_told(tmp_path: Path) -> None:
    collector = Collector()
    engine = FakeEngine(fails=lambda _: True)
    async with (
        serving(collector.handle) as url,
        house(tmp_path, engine=engine, TRACING__ENDPOINT=str(URL(url).origin())) as home,
    ):
        line = await home.call(SPEECH)
        await line.hang_up()
        await home.inbox.wait("call.ended")
        home.gateway.stop()
        await home.running
    (utterance,) = (span for span in collector.spans if span.name == "utterance")
    assert attributes(utterance)["linescribe.outcome"] == "failed"
    assert utterance.status.code == 2


async def test_calls_that_are_not_sampled_are_not_told(tmp_path: Path) -> None:
    collector = Collector()
    async with (
        serving(collector.handle) as url,
        house(tmp_path, TRACING__ENDPOINT=str(URL(url).origin()), TRACING__SAMPLE=0) as home,
    ):
        line = await home.call(SPEECH)
        await line.hang_up()
        await home.inbox.wait("call.ended")
        home.gateway.stop()
        await home.running
    assert collector.spans == []


async def test_a_collector_that_is_away_costs_no_call(tmp_path: Path) -> None:
    async with house(tmp_path, TRACING__ENDPOINT="http://127.0.0.1:1") as home:
        line = await home.call(SPEECH)
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        assert (ended["utterances"], ended["failed"]) == (1, 0)


def test_without_the_extra_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gateway.tracing", None)
    with pytest.raises(ConfigError, match=r"pip install 'linescribe\[otel\]'"):
        Gateway(settings(tmp_path, 1, TRACING__ENDPOINT="http://127.0.0.1:4318"), bring_up(FakeEngine()))
