from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import pytest

from asr.loading import SMALL_BYTES, default_threads, explained, is_out_of_memory, workers
from asr.weights import Weights
from config.settings import Models

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return Weights(name="it", directory=tmp_path, source="path")


@pytest.mark.parametrize(
    ("size", "cores", "processes", "threads"),
    [
        (SMALL_BYTES - 1, 16, 1, 1),
        (SMALL_BYTES, 16, 1, 4),
        (SMALL_BYTES, 3, 1, 3),
        (SMALL_BYTES, 8, 4, 2),
        (SMALL_BYTES, 2, 4, 1),
    ],
)
def test_threads(
    weights: Weights, size: int, cores: int, processes: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (weights.directory / "model.bin").open("wb") as file:
        file.truncate(size)  # takes no room
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))
    assert default_threads(weights, processes) == threads


@pytest.mark.parametrize(
    ("size", "cores", "settings", "expected"),
    [
        (1, 2, Models(), (2, 1)),
        (1, 1, Models(), (1, 1)),
        (1, 6, Models(), (6, 3)),
        (1, 64, Models(), (8, 4)),
        (1, 8, Models(processes=2), (4, 2)),
        (1, 2, Models(processes=4), (1, 1)),
        (1, 8, Models(threads=3), (2, 1)),
        (SMALL_BYTES, 16, Models(), (4, 2)),
        (SMALL_BYTES, 2, Models(), (1, 1)),
        (1, 8, Models(workers=3), (3, 3)),
        (1, 8, Models(device="cuda"), (1, 1)),
        (1, 8, Models(device="auto"), (1, 1)),
        (1, 8, Models(device="cuda", workers=2), (2, 2)),
        (None, 2, Models(), (2, 1)),  # what is missing is told by whoever loads it
    ],
)
def test_workers(
    weights: Weights,
    size: int | None,
    cores: int,
    settings: Models,
    expected: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if size is not None:
        with (weights.directory / "model.bin").open("wb") as file:
            file.truncate(size)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))
    assert (workers(weights, settings, finals=True), workers(weights, settings, finals=False)) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA failed with error out of memory"), True),
        (RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"), True),
        (MemoryError("std::bad_alloc"), True),
        (RuntimeError("CUDA failed with error invalid argument"), False),
        (ValueError("told to"), False),
    ],
)
def test_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize(
    ("device", "error", "remedy"),
    [
        ("cpu", ValueError("Requested float16 compute type, but the target device does not"), "models.compute_type"),
        ("cuda", RuntimeError("CUDA failed with error out of memory"), "smaller model"),
        ("cuda", RuntimeError("CUDA driver version is insufficient"), "linescribe[gpu]"),
        ("auto", RuntimeError("Library libcublas.so.12 is not found or cannot be loaded"), "linescribe[gpu]"),
        ("auto", RuntimeError("CUDA failed with error no kernel image is available"), "set models.device to cpu"),
        ("cpu", RuntimeError("Unable to open file 'model.bin'"), "remove the directory"),
    ],
)
def test_what_cannot_be_loaded_is_told_with_a_remedy(
    weights: Weights, device: Literal["auto", "cpu", "cuda"], error: Exception, remedy: str
) -> None:
    told = explained(weights, Models(device=device), error)
    assert str(error) in told
    assert remedy in told
