"""The whole of how the gateway fares, as one object: for `/health/status`, `linescribe top` and people."""

from __future__ import annotations

import platform
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from gateway import __version__
from gateway.events import rfc3339
from gateway.tallies import RECENT_SECONDS, Quantiles, Ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asr.types import DecodeKind
    from gateway.metrics.sources import Entrance, Live, Loaded, Outgoing, Queue


VERSIONS = {"python": platform.python_version()} | {
    name: metadata.version(name) for name in ("ctranslate2", "faster-whisper", "onnxruntime")
}


class Stage(StrEnum):
    """Where a gateway is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Life(msgspec.Struct, kw_only=True):
    """The same, and what is known of it; changed by the gateway alone."""

    stage: Stage = Stage.STARTING
    doing: str = "opening the event store"
    """What the start is at."""
    started_wall: float
    fingerprint: str
    """Of the settings that apply: it differs where they do."""
    reloaded_wall: float | None = None


class CallsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Calls."""

    live: int
    streams: int
    admitting: bool
    most: int
    """calls.max_calls."""
    capacity: int | None
    """Estimate of how many the machine bears."""
    load_percent: float
    """Calls of that estimate, or of `most` while there is none."""
    ended: dict[str, int]
    refused: dict[str, int]


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for the models."""

    backpressure: str
    waiting: dict[str, int]
    final_wait_seconds: float
    audio_seconds: dict[str, float]


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is loaded."""

    name: str
    roles: tuple[str, ...]
    device: str
    compute_type: str
    source: str


class DecodingStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The models, and what they come to."""

    models: tuple[ModelStatus, ...]
    workers: tuple[int, ...]
    """Process ids."""
    loading: str | None
    """Models that are about to take over."""
    seconds: float
    """The ratios and delays below are of so many seconds, the last ones."""
    utterances: Ratios
    finals: Quantiles
    """From the last sound to the final."""
    first_interims: Quantiles
    """From the first sound to what was shown first."""
    real_time_factor: dict[str, float | None]
    """By kind of request, since the start."""


class EndpointStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint."""

    state: str
    pending: int
    oldest_seconds: float | None
    dead_letters: int


class DeliveryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The event store, and who is sent what lies there."""

    writable: bool
    waiting_events: int
    store_bytes: int
    endpoints: dict[str, EndpointStatus]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    version: str
    versions: dict[str, str]
    """Of Python, and of what decodes."""
    stage: Stage
    doing: str | None
    """What a start is at."""
    unready: list[str]
    """Why no new calls should be sent here; empty: they should."""
    started: str
    reloaded: str | None
    uptime_seconds: float
    settings: str
    """Fingerprint."""
    calls: CallsStatus
    queue: QueueStatus
    decoding: DecodingStatus
    delivery: DeliveryStatus


class Reporter:
    """Draws it up from what metrics are read from, too."""

    def __init__(
        self,
        life: Life,
        live: Live,
        entrance: Entrance,
        queue: Queue,
        outgoing: Outgoing,
        loaded: Loaded,
        *,
        unready: Callable[[], Sequence[str]],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._life = life
        self._live = live
        self._entrance = entrance
        self._queue = queue
        self._outgoing = outgoing
        self._loaded = loaded
        self._unready = unready
        self._clock = clock
        self._wall = wall

    def status(self) -> Status:
        """Tell how it is now."""
        life, wall = self._life, self._wall()
        return Status(
            version=__version__,
            versions=VERSIONS,
            stage=life.stage,
            doing=life.doing if life.stage is Stage.STARTING else None,
            unready=list(self._unready()),
            started=rfc3339(life.started_wall),
            reloaded=None if life.reloaded_wall is None else rfc3339(life.reloaded_wall),
            uptime_seconds=round(wall - life.started_wall, 1),
            settings=life.fingerprint,
            calls=self._calls(),
            queue=self._queued(),
            decoding=self._decoding(),
            delivery=self._delivery(wall),
        )

    def _calls(self) -> CallsStatus:
        live, entrance = self._live, self._entrance
        room = min(entrance.capacity or live.most, live.most)
        return CallsStatus(
            live=live.calls,
            streams=live.streams,
            admitting=live.admitting,
            most=live.most,
            capacity=entrance.capacity,
            load_percent=round(100 * live.calls / max(room, 1), 1),
            ended={str(reason): count for reason, count in live.tallies.ended.items() if count},
            refused={str(reason): count for reason, count in entrance.refused.items() if count},
        )

    def _queued(self) -> QueueStatus:
        queue = self._queue
        return QueueStatus(
            backpressure=queue.level.name.lower(),
            waiting={str(kind): count for kind, count in queue.backlog.waiting.items()},
            final_wait_seconds=round(queue.predicted_wait(self._clock()), 3),
            audio_seconds={place: round(seconds, 1) for place, seconds in queue.backlog.places.items()},
        )

    def _decoding(self) -> DecodingStatus:
        now, loaded, tallies = self._clock(), self._loaded, self._live.tallies
        return DecodingStatus(
            models=tuple(
                ModelStatus(
                    name=model.name,
                    roles=tuple(map(str, model.roles)),
                    device=model.device,
                    compute_type=model.compute_type,
                    source=model.source,
                )
                for model in loaded.models
            ),
            workers=tuple(loaded.pids),
            loading=f"{loaded.loading.interim}, {loaded.loading.final}" if loaded.loading else None,
            seconds=RECENT_SECONDS,
            utterances=tallies.ratios(now),
            finals=tallies.recent_finals(now),
            first_interims=tallies.recent_first_interims(now),
            real_time_factor={str(kind): self._factor(kind) for kind in self._queue.done},
        )

    def _factor(self, kind: DecodeKind) -> float | None:
        factor = self._queue.done[kind].real_time_factor
        return None if factor is None else round(factor, 3)

    def _delivery(self, wall: float) -> DeliveryStatus:
        outgoing = self._outgoing
        return DeliveryStatus(
            writable=outgoing.writable,
            waiting_events=outgoing.accepting,
            store_bytes=outgoing.overview.used_bytes,
            endpoints={
                name: EndpointStatus(
                    state=outgoing.states[name].name.lower(),
                    pending=line.pending,
                    oldest_seconds=None if line.oldest_stored_at is None else round(wall - line.oldest_stored_at, 1),
                    dead_letters=line.dead,
                )
                for name, line in outgoing.lines.items()
            },
        )
