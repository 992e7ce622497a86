"""Bringing the models up once, and telling what that took."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from asr.weights import unheard
from gateway.models import find_weights, start_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from asr.weights import Progress, Weights
    from asr.worker_batch import LoadedModel
    from config.settings import Models

PROC = Path("/proc")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Weights that were found, or fetched."""

    weights: Weights
    seconds: float


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was loaded."""

    model: LoadedModel
    seconds: float
    """To load it and to warm it up."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What a process holds of the machine's main memory; a GPU's own is not in it."""

    resident_bytes: int
    peak_bytes: int


class Warmth(msgspec.Struct, frozen=True, kw_only=True):
    """What it took to bring the models up."""

    begin_seconds: float
    """To begin the process, and to load the decoder's libraries."""
    loaded: tuple[Loaded, ...]
    memory: Memory | None
    """None where the system does not tell."""


async def find(settings: Models, *, clock: Callable[[], float], progress: Progress) -> list[Found]:
    """Find the weights that the settings name, final first, or fetch them. Raises WeightsError."""
    found = []
    for name in dict.fromkeys((settings.final, settings.interim)):
        begin = clock()
        weights = await find_weights(name, settings, progress)
        found.append(Found(weights=weights, seconds=clock() - begin))
    return found


async def warm(settings: Models, *, clock: Callable[[], float], on_loading: Callable[[str], None]) -> Warmth:
    """Start one process of models whose weights were found, and end it. Raises WeightsError or ModelLoadError."""
    settings = msgspec.structs.replace(settings, processes=1, device_index=settings.device_index[:1])
    marks = [clock()]

    def note(name: str) -> None:
        marks.append(clock())
        on_loading(name)

    engine = await start_models(settings, unheard, note)
    marks.append(clock())
    try:
        begin, *loading = (after - before for before, after in pairwise(marks))
        return Warmth(
            begin_seconds=begin,
            loaded=tuple(
                Loaded(model=model, seconds=seconds) for model, seconds in zip(engine.models, loading, strict=True)
            ),
            memory=memory(next(iter(engine.pids), None)),
        )
    finally:
        await engine.close()


def memory(pid: int | None, proc: Path = PROC) -> Memory | None:
    """Ask Linux what a process holds; None where there is no such process, or no Linux (proc(5), "status")."""
    try:
        status = (proc / str(pid) / "status").read_text()
    except OSError:
        return None
    kibibytes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    if len(kibibytes) < 2:  # noqa: PLR2004  a process that is ending holds nothing
        return None
    return Memory(resident_bytes=int(kibibytes["VmRSS"]) * 1024, peak_bytes=int(kibibytes["VmHWM"]) * 1024)
