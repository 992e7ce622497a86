"""Loading a model: how many threads it gets, and what to say when it cannot be loaded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asr.weights import Weights
    from config.settings import Models

MOST_THREADS = 4
"""More help one decode little and take from the others."""

SMALL_BYTES = 200_000_000
"""Weights of tiny and base are smaller. Their steps are so short that threads spend them on waiting for one another:
with base, two take as long as one (docs/performance.md)."""


MOST_WORKERS = 8
"""More batches side by side would be small ones."""


def default_threads(weights: Weights, processes: int) -> int:
    """Choose a worker's threads: one; for a large model its process's share of the cores, up to MOST_THREADS."""
    try:
        if (weights.directory / "model.bin").stat().st_size < SMALL_BYTES:
            return 1
    except FileNotFoundError:
        return 1  # whoever loads it says what is missing
    return max(1, min(_cores() // processes, MOST_THREADS))


def workers(weights: Weights, settings: Models, *, finals: bool) -> int:
    """Choose how many batches of a model are decoded side by side.

    As the settings say; else as many as the process's share of the cores has room for, so that a burst of finals has
    all of them, and half as many where there are only interims. A GPU is best used by one.
    """
    if settings.workers or settings.device != "cpu":
        return settings.workers or 1
    threads = settings.threads or default_threads(weights, settings.processes)
    room = max(1, min(_cores() // settings.processes // threads, MOST_WORKERS))
    return room if finals else max(1, room // 2)


def _cores() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether there was no room, in the words of CUDA, cuBLAS and C++."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in told or "alloc_failed" in told


def explained(weights: Weights, settings: Models, error: Exception) -> str:
    """Say why a model cannot be loaded, and what to do."""
    told = str(error).lower()
    if "compute type" in told:
        remedy = "set models.compute_type to auto, or to one that the device has"
    elif is_out_of_memory(error):
        remedy = (
            "choose a smaller model or a smaller models.compute_type such as int8_float16, or make room on the device"
        )
    elif settings.device == "cuda" or "cuda" in told or "cublas" in told:  # auto may have found a GPU
        remedy = (
            "see to the NVIDIA driver, to models.device_index, and to cuBLAS 12 (pip install 'linescribe[gpu]'),"
            " or set models.device to cpu"
        )
    else:
        remedy = "remove the directory to have the weights fetched anew, or name others"
    return (
        f"cannot load model {weights.name!r} from {weights.directory}"
        f" (device {settings.device}, compute type {settings.compute_type}): {error}; {remedy}"
    )
