"""What the gateway's side of a model process holds: its lanes, and what has been heard of a batch."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from asr.types import ModelError, ModelErrorCode, ModelRole
from asr.windows import Windows
from asr.worker_link import CONTEXT
from asr.worker_process import PLACE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asr.types import DecodeRequest, Hypothesis, OnAnswer
    from asr.weights import Weights
    from asr.worker_process import Answer
    from config.settings import Models


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What serves a lane."""

    name: str
    """Name and compute type, as it stands in hypotheses."""
    roles: tuple[ModelRole, ...]
    compute_type: str
    device: str
    source: str


class Lane:
    """One model and the shared memory for what it decodes.

    A RawArray has no name in the file system, so that no way of dying can leave it behind.
    """

    def __init__(self, weights: Weights, roles: tuple[ModelRole, ...], settings: Models) -> None:
        self.weights = weights
        self.windows = Windows.of(weights.name, full=settings.window == "full")
        self.roles = roles
        self.model: LoadedModel | None = None
        self.free = asyncio.Lock()
        self.largest_batch = settings.batch_size
        self.slot = CONTEXT.RawArray("B", settings.batch_size * PLACE_BYTES)

    def write(self, requests: Sequence[DecodeRequest]) -> None:
        """Lay the requests' audio down, each in its place."""
        view = memoryview(self.slot).cast("B")
        for request, at in zip(requests, count(step=PLACE_BYTES), strict=False):
            view[at : at + len(request.audio)] = request.audio


class Reply:
    """What has been heard of a batch. What is too long for the shared memory is not asked for."""

    def __init__(self, batch: Sequence[DecodeRequest], on_answer: OnAnswer) -> None:
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers: dict[int, Hypothesis | ModelError] = {}
        self._on_answer = on_answer
        self._places = [place for place, request in enumerate(batch) if len(request.audio) <= PLACE_BYTES]
        self.fitting = [batch[place] for place in self._places]
        self._all = len(batch)
        for place in set(range(len(batch))) - set(self._places):
            self._settle(place, ModelError(ModelErrorCode.FAILED, "the audio is longer than 30 seconds"))

    def take(self, number: int, answer: Answer) -> None:
        """Hear what became of one of those that were asked for."""
        failure = ModelError(ModelErrorCode.FAILED, answer.error or "no answer")
        self._settle(self._places[number], answer.hypothesis or failure)
        if len(self.answers) == self._all and not self.whole.done():
            self.whole.set_result(None)

    def _settle(self, place: int, answer: Hypothesis | ModelError) -> None:
        self.answers[place] = answer
        self._on_answer(place, answer)
