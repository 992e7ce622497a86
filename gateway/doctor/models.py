"""The models: their weights, and what they are to be decoded by."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from rich.filesize import decimal

from asr.cublas import LIBRARIES, preload_cublas
from gateway.doctor.findings import error, good, warning
from gateway.doctor.machine import memory
from gateway.inventory import inventory
from gateway.machine import Gpus
from gateway.models import cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from config.settings import Models
    from gateway.doctor.findings import Finding
    from gateway.inventory import Known
    from gateway.machine import Gpu

DRIVER = "libcuda.so.1"

FACTORS = {"int8": 0.6, "int8_float16": 0.6, "float16": 1.1, "float32": 2.1, "auto": 1.1}
"""Memory of a model for a byte of its weights, which are half-precision on disk: roughly, and rather too much."""

APART_BYTES = 300_000_000
"""Libraries, and what a batch takes, of one process."""

UNKNOWN_BYTES = 3_000_000_000
"""Taken for weights that are not here: large-v3 has as many."""

SIZES = {"turbo": 1620, "distil": 1510, "tiny": 78, "base": 148, "small": 484, "medium": 1530, "large": 3090}
"""Megabytes, by what stands in a name: the first that does."""


def weights(settings: Models) -> Iterator[Finding]:
    """Look whether the weights that the settings name are here."""
    try:
        known = [each for each in inventory(settings, cache_dir(settings)) if each.roles]
    except OSError as problem:
        yield error("weights", f"the cache cannot be read: {problem}", "set models.cache_dir, or chown it")
        return
    for each in known:
        yield _weights(each, offline=settings.offline)


def _weights(known: Known, *, offline: bool) -> Finding:
    if known.place in {"cache", "package", "directory"}:
        return good("weights", f"{known.name}: {known.place}")
    if known.source is None:
        return error(
            "weights",
            f"there is no model {known.name!r}",
            "linescribe models list shows the names; a directory is written with its whole path",
        )
    if offline:
        return error(
            "weights",
            f"{known.name} is not here, and models.offline forbids to fetch it",
            f"linescribe models fetch {known.name}, on a machine that may, and copy models.cache_dir",
        )
    return warning(
        "weights",
        f"{known.name} is not here: the first start waits until it is fetched",
        f"linescribe models fetch {known.name}",
    )


def room(settings: Models) -> Iterator[Finding]:
    """Look whether the models fit where they are to be: on a GPU, or in main memory."""
    wanted = wanted_bytes(settings)
    if settings.device == "cpu":
        yield memory(wanted * settings.processes)
        return
    yield from gpu(settings, wanted * settings.processes, Gpus().look(), _can_load)


def wanted_bytes(settings: Models) -> int:
    """Guess what one process of models takes."""
    names = {settings.interim, settings.final}
    return int(sum(_size(name) for name in names) * FACTORS[settings.compute_type]) + APART_BYTES


def _size(name: str) -> int:
    short = name.rsplit("/", 1)[-1]
    found = [size for word, size in SIZES.items() if word in short]
    return found[0] * 1_000_000 if found else UNKNOWN_BYTES


def gpu(settings: Models, wanted: int, gpus: Sequence[Gpu], can_load: Callable[[str], bool]) -> Iterator[Finding]:
    """Look at NVIDIA's driver, at cuBLAS, and at the memory of the GPUs that are named."""
    tell = error if settings.device == "cuda" else warning
    if not can_load(DRIVER):
        yield tell(
            "gpu-driver",
            f"NVIDIA's driver is not here ({DRIVER})",
            "install it, and see nvidia-smi; in a container: --gpus all; or models.device: cpu",
        )
        return
    yield good("gpu-driver", "it is here")
    preload_cublas()
    missing = [name for name in LIBRARIES if not can_load(name)]
    if missing:
        yield tell("cublas", f"missing: {', '.join(missing)}", "pip install 'linescribe[gpu]'")
    else:
        yield good("cublas", "version 12 is here")
    yield from (_room_on(index, wanted, gpus) for index in settings.device_index)


def _room_on(index: int, wanted: int, gpus: Sequence[Gpu]) -> Finding:
    if not gpus:
        return warning(
            "gpu-memory", "GPUs cannot be looked at", "pip install 'linescribe[gpu]' (nvidia-ml-py), and see nvidia-smi"
        )
    found = next((each for each in gpus if each.gpu_id == index), None)
    if found is None:
        return error("gpu-memory", f"there is no GPU {index}", "see nvidia-smi, and models.device_index")
    free = found.memory_total_bytes - found.memory_used_bytes
    if free < wanted:
        return error(
            "gpu-memory",
            f"GPU {index} ({found.name}) has {decimal(free)} free; the models may want {decimal(wanted)}",
            "smaller models, models.compute_type int8_float16, or see nvidia-smi who else is there",
        )
    return good(
        "gpu-memory", f"GPU {index} ({found.name}) has {decimal(free)} free of {decimal(found.memory_total_bytes)}"
    )


def _can_load(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
