from __future__ import annotations

import io

from rich.console import Console

from gateway.cli.top_view import view
from gateway.status import (
    CallsStatus,
    DecodingStatus,
    DeliveryStatus,
    EndpointStatus,
    ModelStatus,
    QueueStatus,
    Stage,
    Status,
)
from gateway.tallies import Quantiles, Ratios


def status(stage: Stage = Stage.SERVING, live: int = 0, capacity: int | None = None) -> Status:
    return Status(
        version="1.2.3",
        versions={},
        stage=stage,
        doing="loading the models" if stage is Stage.STARTING else None,
        unready=["draining"] if stage is Stage.DRAINING else [],
        started="2026-01-01T00:00:00.000Z",
        reloaded=None,
        uptime_seconds=90_061.0,
        settings="abc123",
        calls=CallsStatus(
            live=live,
            streams=live,
            admitting=True,
            most=500,
            capacity=capacity,
            load_percent=100.0 * live / (capacity or 500),
            ended={"hangup": 4},
            refused={"overloaded": 2},
        ),
        queue=QueueStatus(
            backpressure="elevated",
            waiting={"final": 2, "speculative": 0, "interim": 5},
            final_wait_seconds=0.31,
            audio_seconds={"memory": 4.0, "disk": 0.0},
        ),
        decoding=DecodingStatus(
            models=(
                ModelStatus(
                    name="base int8", roles=("final", "interim"), device="cpu", compute_type="int8", source="cache"
                ),
            ),
            workers=(7,),
            loading="small, small",
            seconds=300.0,
            utterances=Ratios(count=40, success=0.975, timeout=0.0),
            finals=Quantiles(count=40, p50_ms=410, p95_ms=820),
            first_interims=Quantiles(count=0, p50_ms=None, p95_ms=None),
            real_time_factor={"final": 0.031, "interim": None},
        ),
        delivery=DeliveryStatus(
            writable=False,
            waiting_events=12,
            store_bytes=65_536,
            endpoints={"crm": EndpointStatus(state="resting", pending=9, oldest_seconds=61.4, dead_letters=1)},
        ),
    )


def shown(told: Status, trouble: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=110, color_system=None)
    console.print(view(told, trouble))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_everything_is_shown() -> None:
    told = shown(status(live=9, capacity=12))
    for words in (
        "Linescribe 1.2.3  serving  up 1 day, 1:01:01  settings abc123",
        "9 of 12",
        "hangup 4",
        "overloaded 2",
        "elevated",
        "a final waits 0.31 s; waiting: final 2, interim 5",
        "410 ms, p95 820 ms",
        "97.5%",
        "of 40 utterances",
        "small, small",
        "final 0.03",
        "cannot be written to",
        "12 events wait in memory",
        "resting",
        "9 to be delivered, oldest 61 s, 1 given up",
    ):
        assert words in told


def test_a_start_a_drain_and_trouble_are_said() -> None:
    assert "starting (loading the models)" in shown(status(Stage.STARTING))
    assert "not ready: draining" in shown(status(Stage.DRAINING))
    assert "no gateway answers" in shown(status(), "no gateway answers")
