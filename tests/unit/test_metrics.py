from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from adapters.stream import RefusalReason
from asr.pressure import Level
from asr.tally import Done
from asr.types import DecodeKind, Reason
from gateway.delivery.overview import Line, Overview
from gateway.metrics import Metrics

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(?P<name>[a-z_]+)` \| (?P<type>[a-z]+) \| (?P<labels>[^|]*)\|", re.MULTILINE)
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


class Sight(msgspec.Struct, kw_only=True):
    """All that metrics are read from."""

    calls: int = 3
    streams: int = 5
    admitting: bool = True
    capacity: int | None = 12
    suppressed: dict[Reason, int] = msgspec.field(default_factory=lambda: dict.fromkeys(Reason, 0))
    refused: dict[RefusalReason, int] = msgspec.field(default_factory=lambda: dict.fromkeys(RefusalReason, 0))
    waiting: dict[DecodeKind, int] = msgspec.field(default_factory=lambda: dict.fromkeys(DecodeKind, 0))
    places: dict[str, float] = msgspec.field(default_factory=lambda: {"memory": 7.5, "disk": 1.5})
    level: Level = Level.NORMAL
    done: dict[DecodeKind, Done] = msgspec.field(default_factory=lambda: {kind: Done() for kind in DecodeKind})

    @property
    def backlog(self) -> Sight:
        return self

    writable: bool = True
    accepting: int = 4
    overview: Overview = Overview(used_bytes=8192)
    lines: dict[str, Line] = msgspec.field(
        default_factory=lambda: {"crm": Line(pending=7, oldest_stored_at=900.0, dead=2), "archive": Line()}
    )
    states: dict[str, int] = msgspec.field(default_factory=lambda: {"crm": 1, "archive": 0})
    attempts: dict[tuple[str, str], int] = msgspec.field(default_factory=lambda: {("crm", "refused"): 9})

    def predicted_wait(self, now: float) -> float:
        return now / 2


def metrics(sight: Sight) -> Metrics:
    return Metrics(sight, sight, sight, sight, clock=lambda: 3.0, wall=lambda: 1000.0)


def values(sight: Sight, accept: str = "") -> dict[str, float]:
    body, _ = metrics(sight).page(accept)
    samples = [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]
    named = {sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value for sample in samples}
    return {name: value for name, value in named.items() if value or "_batch_size_bucket" not in name}


def test_everything_is_told_as_it_is() -> None:
    sight = Sight()
    sight.refused[RefusalReason.OVERLOADED] = 4
    sight.waiting[DecodeKind.SPECULATIVE] = 2
    sight.suppressed[Reason.MUSIC] = 6
    assert values(sight) == {
        "stt_active_connections": 5,
        "linescribe_calls": 3,
        "linescribe_admitting": 1,
        "linescribe_refused_total full": 0,
        "linescribe_refused_total draining": 0,
        "linescribe_refused_total unregistered": 0,
        "linescribe_refused_total overloaded": 4,
        "linescribe_refused_total unstorable": 0,
        "linescribe_capacity_calls": 12,
        "stt_queue_depth final": 0,
        "stt_queue_depth speculative": 2,
        "stt_queue_depth interim": 0,
        "stt_backpressure_level": 0,
        "linescribe_final_wait_seconds": 1.5,
        "linescribe_waiting_audio_seconds memory": 7.5,
        "linescribe_waiting_audio_seconds disk": 1.5,
        **{f"linescribe_batch_size_count {kind}": 0 for kind in DecodeKind},
        **{f"linescribe_batch_size_sum {kind}": 0 for kind in DecodeKind},
        **{f"linescribe_suppressed_total {reason}": 6 * (reason is Reason.MUSIC) for reason in Reason},
        **{f"linescribe_retries_total {kind}": 0 for kind in DecodeKind},
        "linescribe_outbox_writable": 1,
        "linescribe_outbox_waiting_events": 4,
        "linescribe_outbox_bytes": 8192,
        "linescribe_webhook_attempts_total crm refused": 9,
        "linescribe_webhook_pending crm": 7,
        "linescribe_webhook_pending archive": 0,
        "linescribe_webhook_oldest_seconds crm": 100,
        "linescribe_webhook_oldest_seconds archive": 0,
        "linescribe_webhook_dead_letters crm": 2,
        "linescribe_webhook_dead_letters archive": 0,
        "linescribe_webhook_endpoint_state crm": 1,
        "linescribe_webhook_endpoint_state archive": 0,
    }


def test_batches_are_told_by_their_size() -> None:
    sight = Sight()
    sight.done[DecodeKind.INTERIM] = Done(batches=Counter({1: 5, 3: 2, 64: 1}), retries=6)
    told = {name: value for name, value in values(sight).items() if name.endswith(" interim") or " interim " in name}
    assert {name.removeprefix("linescribe_"): value for name, value in told.items() if value} == {
        **{f"batch_size_bucket interim {bound}": 5 for bound in ("1.0", "2.0")},
        **{f"batch_size_bucket interim {bound}": 7 for bound in ("4.0", "8.0", "16.0", "32.0")},
        **{f"batch_size_bucket interim {bound}": 8 for bound in ("64.0", "+Inf")},
        "batch_size_count interim": 8,
        "batch_size_sum interim": 5 + 6 + 64,
        "retries_total interim": 6,
    }


def test_each_page_is_of_its_own_moment() -> None:
    sight = Sight()
    several = metrics(sight)
    several.page("")
    sight.streams, sight.admitting, sight.level = 6, False, Level.CRITICAL
    body = several.page("")[0].decode()
    for line in ("stt_active_connections 6.0", "linescribe_admitting 0.0", "stt_backpressure_level 2.0"):
        assert line in body.splitlines()


def test_a_capacity_that_is_not_known_is_absent() -> None:
    assert "linescribe_capacity_calls" not in values(Sight(capacity=None))
    assert values(Sight(capacity=0))["linescribe_capacity_calls"] == 0


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain"), ("*/*", "text/plain"), ("a,,;b", "text/plain"), (OPENMETRICS, "application/openmetrics-text")],
)
def test_the_format_is_the_one_that_is_asked_for(accept: str, content_type: str) -> None:
    body, told = metrics(Sight()).page(accept)
    assert told.startswith(content_type)
    parse: Any = text_string_to_metric_families if content_type == "text/plain" else _parse_openmetrics
    assert {family.name for family in parse(body.decode())} >= {"linescribe_calls", "linescribe_refused"}


def _parse_openmetrics(text: str) -> Any:
    return openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]


def test_the_page_names_what_there_is_and_nothing_else() -> None:
    rows = ROW.finditer(PAGE.read_text())
    told = {(row["name"], row["type"], *sorted(re.findall("`([a-z_]+)`", row["labels"]))) for row in rows}
    body = metrics(Sight()).page("")[0].decode()
    there = {
        (family.name if family.type == "histogram" else sample.name, family.type, *sorted(set(sample.labels) - {"le"}))
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }
    assert told == there


@pytest.mark.parametrize("value", [*RefusalReason, *DecodeKind])
def test_the_page_names_every_value_of_a_label(value: str) -> None:
    assert f"`{value}`" in PAGE.read_text()
