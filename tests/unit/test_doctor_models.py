"""What models want, and whether a GPU has it; the GPUs are told, for most machines have none."""

from __future__ import annotations

from typing import Any

import pytest

from config.settings import Models
from gateway.doctor.findings import Severity
from gateway.doctor.models import UNKNOWN_BYTES, _size, gpu, wanted_bytes
from gateway.machine import Gpu

GIB = 1 << 30


def card(gpu_id: int, used: int, total: int = 24 * GIB) -> Gpu:
    return Gpu(
        gpu_id=gpu_id,
        name="a GPU",
        memory_used_bytes=used,
        memory_total_bytes=total,
        utilization_percent=None,
        temperature_celsius=None,
    )


@pytest.mark.parametrize(
    ("name", "megabytes"),
    [
        ("tiny.en", 78),
        ("base", 148),
        ("large-v3", 3090),
        ("large-v3-turbo", 1620),
        ("distil-large-v3", 1510),
        ("Systran/faster-whisper-small", 484),
    ],
)
def test_a_model_is_as_large_as_its_name_says(name: str, megabytes: int) -> None:
    assert _size(name) == megabytes * 1_000_000


def test_a_model_of_another_name_is_taken_for_a_large_one() -> None:
    assert _size("somebody/whisper") == UNKNOWN_BYTES


def test_two_models_want_more_than_one_and_more_where_they_are_exact() -> None:
    one = wanted_bytes(Models(final="base", interim="base"))
    assert one < wanted_bytes(Models(final="base", interim="tiny"))
    assert one < wanted_bytes(Models(final="base", interim="base", compute_type="float32"))


def look(cards: list[Gpu], *, libraries: bool = True, **changes: Any) -> dict[str, Severity]:
    """Look with or without cuBLAS; the driver is there."""
    settings = Models(device="cuda", **changes)
    found = gpu(settings, 4 * GIB, cards, lambda name: libraries or name == "libcuda.so.1")
    return {finding.check: finding.severity for finding in found}


def test_a_gpu_with_room_is_well() -> None:
    assert set(look([card(0, used=GIB)]).values()) == {Severity.OK}


def test_a_gpu_without_room_is_not() -> None:
    assert look([card(0, used=22 * GIB)])["gpu-memory"] is Severity.ERROR


def test_each_gpu_that_is_named_is_looked_at() -> None:
    assert look([card(0, used=0), card(1, used=23 * GIB)], device_index=(0, 1))["gpu-memory"] is Severity.ERROR
    assert look([card(0, used=0)], device_index=(3,))["gpu-memory"] is Severity.ERROR


def test_gpus_that_cannot_be_looked_at_are_no_error() -> None:
    assert look([])["gpu-memory"] is Severity.WARNING


def test_cublas_is_missed() -> None:
    assert look([card(0, used=0)], libraries=False)["cublas"] is Severity.ERROR


def test_where_a_gpu_may_be_used_and_need_not_its_absence_is_a_warning() -> None:
    (found,) = gpu(Models(device="auto"), GIB, [], lambda _name: False)
    assert (found.check, found.severity) == ("gpu-driver", Severity.WARNING)
