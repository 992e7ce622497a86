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


def default_threads(weights: Weights, processes: int) -> int:
    """Choose a model's threads: one; for a large model its process's share of the cores, up to MOST_THREADS."""
    if (weights.directory / "model.bin").stat().st_size < SMALL_BYTES:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min((usable or 1) // processes, MOST_THREADS))


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
