"""From settings to parts of the gateway."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from asr.policy import Limits
from asr.spool import Spool
from asr.types import BYTES_PER_MS
from config.errors import ConfigError
from gateway.normalizing import Normalizer, load_function
from gateway.observing import NoObserver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from config.settings import Models, Settings, Tracing
    from gateway.observing import Observer

MIB = 1 << 20


def waiting_limits(models: Models) -> Limits:
    """Tell how much audio may wait in memory."""
    return Limits(total=models.waiting_audio_mib * MIB, track=models.waiting_track_seconds * 1000 * BYTES_PER_MS)


def spool(settings: Settings, state_directory: Callable[[], Path]) -> Spool | None:
    """Make the place on disk where audio waits, if there is to be one."""
    most = settings.models.spool_mib * MIB
    return Spool(state_directory, most) if most else None


def observer(settings: Tracing, *, clock: Callable[[], float], wall: Callable[[], float]) -> Observer:
    """Make what follows calls, if somebody is to be told of them. Raises ConfigError."""
    if settings.endpoint is None:
        return NoObserver()
    try:
        tracing = importlib.import_module("gateway.tracing")
    except ImportError as error:
        raise ConfigError(f"tracing.endpoint wants OpenTelemetry: pip install 'linescribe[otel]' ({error})") from error
    traces: Observer = tracing.CallTraces(settings, clock=clock, wall=wall)
    return traces


def normalizer(settings: Settings) -> Normalizer | None:
    """Take the operator's function, if there is one. Raises ConfigError."""
    name = settings.transcripts.normalizer
    return Normalizer(load_function(name)) if name else None
