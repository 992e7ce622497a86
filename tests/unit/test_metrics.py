from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from adapters.stream import RefusalReason, StreamEnd
from asr.histogram import Histogram
from asr.pressure import Level
from asr.tally import SIZES, STATUSES, Done, Phase
from asr.types import DecodeKind, ModelErrorCode, ModelRole, Reason
from asr.worker_batch import LoadedModel
from gateway import __version__
from gateway.delivery.overview import Line, Overview, State
from gateway.machine import Gpu, MachineState, ProcessState
from gateway.metrics import Metrics
from gateway.tallies import Heard, Tallies

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(?P<name>[a-z_]+)` \| (?P<type>[a-z]+) \| (?P<labels>[^|]*)\|", re.MULTILINE)
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
MODEL = LoadedModel(
    name="base int8", roles=(ModelRole.FINAL, ModelRole.INTERIM), compute_type="int8", device="cpu", source="cache"
)


def process(job: str, pid: int, memory_bytes: int) -> ProcessState:
    return ProcessState(pid=pid, job=job, cpu_percent=12.5, memory_bytes=memory_bytes, threads=4, open_files=20)


MACHINE = MachineState(
    system="Linux",
    python="3.11.9",
    processors=2,
    load_1m=0.5,
    memory_total_bytes=8192,
    memory_available_bytes=4096,
    processes=(process("gateway", 1, 100), process("models", 2, 300), process("models", 3, 50)),
    gpus=(
        Gpu(
            gpu_id=0,
            name="a GPU",
            memory_used_bytes=2048,
            memory_total_bytes=4096,
            utilization_percent=40,
            temperature_celsius=None,
        ),
    ),
)


def histogram(values: dict[float, int], bounds: tuple[float, ...] = SIZES) -> Histogram:
    """Count some values."""
    made = Histogram(bounds)
    for value, times in values.items():
        made.add(value, times)
    return made


class Sight(msgspec.Struct, kw_only=True):
    """All that metrics are read from."""

    calls: int = 3
    streams: int = 5
    most: int = 20
    admitting: bool = True
    capacity: int | None = 12
    tallies: Tallies = msgspec.field(default_factory=Tallies)
    heard: Heard = msgspec.field(
        default_factory=lambda: Heard(frames=50, late_frames=2, audio_ms=1000, gap_ms=250, late_ms=40)
    )
    refused: dict[RefusalReason, int] = msgspec.field(default_factory=lambda: dict.fromkeys(RefusalReason, 0))
    waiting: dict[DecodeKind, int] = msgspec.field(default_factory=lambda: dict.fromkeys(DecodeKind, 0))
    places: dict[str, float] = msgspec.field(default_factory=lambda: {"memory": 7.5, "disk": 1.5})
    level: Level = Level.NORMAL
    done: dict[DecodeKind, Done] = msgspec.field(default_factory=lambda: {kind: Done() for kind in DecodeKind})
    models: tuple[LoadedModel, ...] = (MODEL, MODEL)
    pids: tuple[int, ...] = (11, 12)
    loading: Any = None

    @property
    def backlog(self) -> Sight:
        return self

    writable: bool = True
    accepting: int = 4
    overview: Overview = Overview(used_bytes=8192, lines={"crm": Line(pending=7, oldest_stored_at=900.0, dead=2)})
    lines: dict[str, Line] = msgspec.field(
        default_factory=lambda: {"crm": Line(pending=7, oldest_stored_at=900.0, dead=2), "archive": Line()}
    )
    states: dict[str, State] = msgspec.field(default_factory=lambda: {"crm": State.RESTING, "archive": State.WELL})
    attempts: dict[tuple[str, str], int] = msgspec.field(default_factory=lambda: {("crm", "refused"): 9})

    def predicted_wait(self, now: float) -> float:
        return now / 2


def metrics(sight: Sight) -> Metrics:
    return Metrics(sight, sight, sight, sight, sight, clock=lambda: 3.0, wall=lambda: 1000.0)


def values(sight: Sight, accept: str = "") -> dict[str, float]:
    """Give what is told by name and labels, but for what the process tells of itself and buckets that are empty."""
    body, _ = metrics(sight).page(accept, MACHINE)
    samples = [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]
    named = {sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value for sample in samples}
    return {
        name: value
        for name, value in named.items()
        if not name.startswith("process_") and (value or "_bucket" not in name)
    }


def empty(name: str, *labels: object) -> dict[str, float]:
    """Give what is told of a histogram in which nothing was counted."""
    return {" ".join(map(str, (f"{name}_{part}", *labels))): 0 for part in ("count", "sum")}


def test_everything_is_told_as_it_is() -> None:
    sight = Sight()
    sight.refused[RefusalReason.OVERLOADED] = 4
    sight.waiting[DecodeKind.SPECULATIVE] = 2
    sight.tallies.suppressed[Reason.MUSIC] = 6
    sight.tallies.failed[ModelErrorCode.DEADLINE] = 1
    sight.tallies.ended[StreamEnd.HANGUP] = 8
    sight.tallies.interims_shed = 7
    sight.done[DecodeKind.FINAL].statuses["success"] = 9
    assert values(sight) == {
        "stt_active_connections": 5,
        "linescribe_calls": 3,
        "linescribe_admitting": 1,
        **{f"linescribe_calls_ended_total {reason}": 8 * (reason is StreamEnd.HANGUP) for reason in StreamEnd},
        **{f"linescribe_refused_total {reason}": 4 * (reason is RefusalReason.OVERLOADED) for reason in RefusalReason},
        "linescribe_capacity_calls": 12,
        "linescribe_frames_total": 50,
        "linescribe_late_frames_total": 2,
        "linescribe_audio_seconds_total": 1,
        "linescribe_gap_seconds_total": 0.25,
        "linescribe_late_seconds_total": 0.04,
        **empty("linescribe_event_loop_lag_seconds"),
        **{f"linescribe_suppressed_total {reason}": 6 * (reason is Reason.MUSIC) for reason in Reason},
        **{f"linescribe_failed_total {code}": int(code is ModelErrorCode.DEADLINE) for code in ModelErrorCode},
        "linescribe_interims_shed_total": 7,
        **empty("linescribe_final_seconds"),
        **empty("linescribe_first_interim_seconds"),
        "stt_queue_depth final": 0,
        "stt_queue_depth speculative": 2,
        "stt_queue_depth interim": 0,
        "stt_backpressure_level": 0,
        "linescribe_final_wait_seconds": 1.5,
        "linescribe_waiting_audio_seconds memory": 7.5,
        "linescribe_waiting_audio_seconds disk": 1.5,
        **{
            f"stt_jobs_processed_total {kind} {status}": 9 * ((kind, status) == (DecodeKind.FINAL, "success"))
            for kind in DecodeKind
            for status in STATUSES
        },
        **{
            name: value
            for kind in DecodeKind
            for name, value in {
                **empty("stt_decode_duration_seconds", kind),
                **empty("linescribe_phase_seconds", kind, Phase.QUEUE),
                **empty("linescribe_phase_seconds", kind, Phase.INFERENCE),
                **empty("linescribe_batch_size", kind),
                **empty("linescribe_window_seconds", kind),
                f"linescribe_retries_total {kind}": 0.0,
                f"linescribe_decoded_audio_seconds_total {kind}": 0.0,
                f"linescribe_decode_busy_seconds_total {kind}": 0.0,
            }.items()
        },
        **empty("linescribe_phase_seconds", "final", Phase.BUFFER),
        **empty("linescribe_phase_seconds", "final", Phase.EMIT),
        "linescribe_models int8 cpu base int8 final": 2,
        "linescribe_models int8 cpu base int8 interim": 2,
        "linescribe_model_processes": 2,
        "linescribe_outbox_writable": 1,
        "linescribe_outbox_waiting_events": 4,
        "linescribe_outbox_bytes": 8192,
        "linescribe_outbox_oldest_seconds": 100,
        "linescribe_webhook_attempts_total crm refused": 9,
        "linescribe_webhook_pending crm": 7,
        "linescribe_webhook_pending archive": 0,
        "linescribe_webhook_oldest_seconds crm": 100,
        "linescribe_webhook_oldest_seconds archive": 0,
        "linescribe_webhook_dead_letters crm": 2,
        "linescribe_webhook_dead_letters archive": 0,
        "linescribe_webhook_endpoint_state crm": 1,
        "linescribe_webhook_endpoint_state archive": 0,
        f"linescribe_info 3.11.9 {__version__}": 1,
        "stt_gpu_memory_used_bytes 0": 2048,
        "linescribe_gpu_memory_bytes 0": 4096,
        "linescribe_gpu_utilization_ratio 0": 0.4,
        "linescribe_process_memory_bytes gateway": 100,
        "linescribe_process_memory_bytes models": 350,
    }


def test_batches_are_told_by_their_size() -> None:
    sight = Sight()
    sight.done[DecodeKind.INTERIM] = Done(batches=histogram({1: 5, 3: 2, 64: 1}), retries=6)
    told = {name: value for name, value in values(sight).items() if "batch_size" in name and " interim" in name}
    assert {name.removeprefix("linescribe_batch_size_"): value for name, value in told.items()} == {
        **{f"bucket interim {bound}": 5 for bound in ("1.0", "2.0")},
        **{f"bucket interim {bound}": 7 for bound in ("4.0", "8.0", "16.0", "32.0")},
        **{f"bucket interim {bound}": 8 for bound in ("64.0", "+Inf")},
        "count interim": 8,
        "sum interim": 5 + 6 + 64,
    }


def test_the_cost_of_a_second_of_audio_is_told_once_it_is_known() -> None:
    sight = Sight()
    sight.done[DecodeKind.FINAL] = Done(seconds=3.0, audio_seconds=12.0)
    factors = {name: value for name, value in values(sight).items() if "real_time_factor" in name}
    assert factors == {"linescribe_real_time_factor final": 0.25}


def test_the_same_is_told_as_plain_values() -> None:
    told = metrics(Sight()).values(MACHINE)
    assert told["stt_queue_depth"]["type"] == "gauge"
    assert {"name": "stt_queue_depth", "labels": {"queue_type": "final"}, "value": 0.0} in told["stt_queue_depth"][
        "samples"
    ]
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


def test_each_page_is_of_its_own_moment() -> None:
    sight = Sight()
    several = metrics(sight)
    several.page("", MACHINE)
    sight.streams, sight.admitting, sight.level = 6, False, Level.CRITICAL
    body = several.page("", MACHINE)[0].decode()
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
    body, told = metrics(Sight()).page(accept, MACHINE)
    assert told.startswith(content_type)
    parse: Any = text_string_to_metric_families if content_type == "text/plain" else _parse_openmetrics
    assert {family.name for family in parse(body.decode())} >= {"linescribe_calls", "linescribe_refused"}


def _parse_openmetrics(text: str) -> Any:
    return openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]


def test_the_page_names_what_there_is_and_nothing_else() -> None:
    rows = ROW.finditer(PAGE.read_text())
    told = {(row["name"], row["type"], *sorted(re.findall("`([a-z_]+)`", row["labels"]))) for row in rows}
    sight = Sight()
    sight.done[DecodeKind.FINAL] = Done(seconds=3.0, audio_seconds=12.0)
    body = metrics(sight).page("", MACHINE)[0].decode()
    there = {
        (family.name if family.type == "histogram" else sample.name, family.type, *sorted(set(sample.labels) - {"le"}))
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if not family.name.startswith("process_")
    }
    assert told == there


@pytest.mark.parametrize(
    "value", [*RefusalReason, *DecodeKind, *Phase, *STATUSES, *Reason, *StreamEnd, "gateway", "models"]
)
def test_the_page_names_every_value_of_a_label(value: str) -> None:
    assert f"`{value}`" in PAGE.read_text()
