"""Loading a model: how many threads it gets, and what to say when it cannot be loaded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asr.weights import Weights
    from config.settings import Models

MOST_THREADS = 4
"""More help one decode little and take from the others."""


def default_threads() -> int:
    """Count the cores this process may use, up to MOST_THREADS."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, MOST_THREADS)


def explained(weights: Weights, settings: Models, error: Exception) -> str:
    """Say why a model cannot be loaded, and what to do."""
    if "compute type" in str(error):
        remedy = "set models.compute_type to auto, or to one that the device has"
    elif settings.device == "cuda":
        remedy = "set models.device to cpu, or see to the NVIDIA driver and libraries"
    else:
        remedy = "remove the directory to have the weights fetched anew, or name others"
    return (
        f"cannot load model {weights.name!r} from {weights.directory}"
        f" (device {settings.device}, compute type {settings.compute_type}): {error}; {remedy}"
    )
