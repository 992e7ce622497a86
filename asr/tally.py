"""What lanes have done, all in all, by kind of request. Pure."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from asr.histogram import SECONDS, Histogram
from asr.types import DecodeKind, ModelErrorCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asr.types import ModelRole

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
WINDOWS = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0)
"""Seconds."""


class Phase(StrEnum):
    """What a request goes through."""

    BUFFER = "buffer"
    """From the last sound of what was said until it is known to have ended."""
    QUEUE = "queue"
    """From being asked for until a lane takes it; a final on trial is asked for before its end is known."""
    INFERENCE = "inference"
    """Until the model has answered."""
    EMIT = "emit"
    """Until its event is stored, in its turn."""


JOB_PHASES = (Phase.QUEUE, Phase.INFERENCE)
"""Those of every request; of the others only finals have all."""

SUCCESS, CANCELLED = "success", "cancelled"
STATUSES = (SUCCESS, CANCELLED, *ModelErrorCode)
"""How a request can end."""


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """What lanes have done for a role, all in all; what was lost is not counted."""

    lanes: int
    requests: int
    """That were answered."""
    seconds: float
    """That the lanes were at them, added up."""


class Done(msgspec.Struct, kw_only=True):
    """What was done for one kind of request."""

    batches: Histogram = msgspec.field(default_factory=lambda: Histogram(SIZES))
    """By how many requests they held; those that were lost, too."""
    answered: int = 0
    retries: int = 0
    """How often one of them was decoded again, in a wider window or by chance."""
    seconds: float = 0.0
    """That lanes were at those batches of which something was answered."""
    audio_seconds: float = 0.0
    """How much audio was answered."""
    statuses: Counter[str] = msgspec.field(default_factory=lambda: Counter(dict.fromkeys(STATUSES, 0)))
    """How requests ended; all of STATUSES are there."""
    phases: dict[Phase, Histogram] = msgspec.field(
        default_factory=lambda: {phase: Histogram(SECONDS) for phase in JOB_PHASES}
    )
    windows: Histogram = msgspec.field(default_factory=lambda: Histogram(WINDOWS))
    """What was decoded, by the window it was looked at in first."""

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of a lane for a second of audio; None where nothing was answered."""
        return self.seconds / self.audio_seconds if self.audio_seconds else None


class Tally:
    """Adds it up."""

    def __init__(self) -> None:
        self._done = {kind: Done() for kind in DecodeKind}

    @property
    def done(self) -> Mapping[DecodeKind, Done]:
        """What was done; every kind is there."""
        return self._done

    def add(self, kind: DecodeKind, requests: int, *, answered: int, retries: int, seconds: float) -> None:
        """Count a batch that has come to its end."""
        done = self._done[kind]
        done.batches.add(requests)
        done.retries += retries
        if answered:
            done.answered += answered
            done.seconds += seconds

    def answer(self, kind: DecodeKind, *, audio_ms: int, window: float, queue: float, inference: float) -> None:
        """Count a request that was answered: how long its audio is, its window, and the seconds of its phases."""
        done = self._done[kind]
        done.audio_seconds += audio_ms / 1000
        done.windows.add(window)
        done.phases[Phase.QUEUE].add(queue)
        done.phases[Phase.INFERENCE].add(inference)

    def end(self, kind: DecodeKind, status: str) -> None:
        """Count a request that has come to its end, of whichever of STATUSES."""
        self._done[kind].statuses[status] += 1

    def effort(self, role: ModelRole, lanes: int) -> Effort:
        """Sum up what was done for a role by so many lanes."""
        done = [each for kind, each in self._done.items() if kind.role is role]
        return Effort(
            lanes=lanes,
            requests=sum(each.answered for each in done),
            seconds=sum((each.seconds for each in done), 0.0),
        )
