"""Stand-ins for what is slow or random: an engine inside the test, and a model inside the real model process."""

from __future__ import annotations

import asyncio
import os
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from adapters.stream import Hearing
from asr.language import Known, among, likely_ones
from asr.types import (
    DecodeKind,
    DecodeRequest,
    Hypothesis,
    ModelError,
    ModelErrorCode,
    ModelLoadError,
    ModelRole,
    Word,
    ignore_answer,
)
from asr.worker_batch import LoadedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from adapters.stream import Transcript
    from asr.types import OnAnswer
    from asr.weights import Weights
    from config.settings import Models
    from gateway.engines import Load


def bring_up(*engines: FakeEngine) -> Load:
    """Stand in for what brings up models: these engines, one after the other."""
    left = list(engines)

    async def load(_settings: Models) -> FakeEngine:
        return left.pop(0)

    return load


class FakeEngine:
    """An Engine that answers "utterance of 1280 ms", at once or when the test lets it.

    `script` says how decodes go wrong, by their number from 1: CRASHED loses the batch, any other code is
    the answer to each of its requests. `text` makes the words out of a request, and `words` tells their times where
    that is wanted; those that `fails` names fail. Where it `hears` how likely each language is, it decodes in what that
    leads to when none is given, as the real model does.
    """

    def __init__(
        self,
        *,
        shared: bool = True,
        devices: int = 1,
        batch_size: int = 1,
        held: bool = False,
        script: Mapping[int, ModelErrorCode] | None = None,
        text: Callable[[DecodeRequest], str] | None = None,
        words: Callable[[DecodeRequest], Sequence[Word]] = lambda _request: (),
        confidence: float = 0.9,
        fails: Callable[[DecodeRequest], bool] = lambda _request: False,
        hears: Callable[[DecodeRequest], Mapping[str, float]] | None = None,
    ) -> None:
        self.script = dict(script or {})
        self.begun: list[DecodeRequest] = []
        """Every request that came to be decoded, in order."""
        self.on_begin: Callable[[DecodeRequest], object] = lambda _request: None
        self.batch_size = batch_size
        self.windows = 0
        """Longer requests have another window; 0: all have the same."""
        finals = tuple(range(0, 2 * devices, 2))
        self._lanes = {ModelRole.FINAL: finals, ModelRole.INTERIM: finals if shared else tuple(n + 1 for n in finals)}
        self._down: set[int] = set()
        self.busy: set[int] = set()
        """The lanes that decode."""
        self._text = text or _describe
        self._words = words
        self._confidence = confidence
        self._fails = fails
        self._hears = hears
        self._held = held
        self._decodes = 0
        self._permits = 0
        self._changed = asyncio.Condition()
        self.closed = False

    @property
    def pids(self) -> Sequence[int]:
        return () if self.closed else (os.getpid(),)

    @property
    def models(self) -> Sequence[LoadedModel]:
        roles = (ModelRole.FINAL, ModelRole.INTERIM)
        return (LoadedModel(name="fake int8", roles=roles, compute_type="int8", device="cpu", source="path"),)

    async def close(self) -> None:
        self.closed = True

    def lanes(self, role: ModelRole) -> Sequence[int]:
        return self._lanes[role]

    def largest_batch(self, lane: int) -> int:
        assert lane in {*self._lanes[ModelRole.FINAL], *self._lanes[ModelRole.INTERIM]}
        return self.batch_size

    def window(self, lane: int, audio_ms: int) -> float:
        assert lane in {*self._lanes[ModelRole.FINAL], *self._lanes[ModelRole.INTERIM]}
        return float(self.windows and audio_ms > self.windows)

    async def ready(self, lane: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: lane not in self._down)

    async def decode(
        self, lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer = ignore_answer
    ) -> list[Hypothesis | ModelError]:
        assert all(lane in self._lanes[request.kind.role] for request in batch)
        assert lane not in self.busy, "one batch per lane at a time"
        self.busy.add(lane)
        try:
            answers = await self._decode(batch)
            for place, answer in enumerate(answers):
                on_answer(place, answer)
            return answers
        finally:
            self.busy.remove(lane)

    async def set_down(self, *lanes: int) -> None:
        """Let these lanes, and no others, have no model that is loaded."""
        async with self._changed:
            self._down = set(lanes)
            self._changed.notify_all()

    async def _decode(self, batch: Sequence[DecodeRequest]) -> list[Hypothesis | ModelError]:
        self._decodes += 1
        code = self.script.get(self._decodes)
        self.begun.extend(batch)
        for request in batch:
            self.on_begin(request)
        async with self._changed:
            self._changed.notify_all()
            await self._changed.wait_for(lambda: not self._held or self._permits)
            self._permits = max(0, self._permits - 1)
        if code is ModelErrorCode.CRASHED:
            raise ModelError(code, "told to crash")
        if code:
            return [ModelError(code, "told to fail") for _ in batch]
        return [self._answer(request) for request in batch]

    def _answer(self, request: DecodeRequest) -> Hypothesis | ModelError:
        if self._fails(request):
            return ModelError(ModelErrorCode.FAILED, "told to fail")
        answer = Hypothesis(
            text=self._text(request),
            model="fake int8",
            confidence=self._confidence,
            words=tuple(self._words(request)) if request.options.word_times else (),
        )
        if self._hears is None or request.language is not None:
            return msgspec.structs.replace(answer, language=request.language if self._hears else None)
        known = request.known or Known()
        likely = among(self._hears(request), known.allowed)
        language = known.after(likely, request.speech_seconds).language or ""
        return msgspec.structs.replace(
            answer,
            language=language,
            language_probability=likely.get(language, 0.0),
            languages=likely_ones(likely),
        )

    async def release(self, decodes: int = 1) -> None:
        """Let so many held decodes end, those to come included."""
        async with self._changed:
            self._permits += decodes
            self._changed.notify_all()

    async def hold(self) -> None:
        """Let decodes wait for `release` from now on."""
        async with self._changed:
            self._held, self._permits = True, 0

    async def let_go(self) -> None:
        """Hold nothing any more."""
        async with self._changed:
            self._held = False
            self._changed.notify_all()

    async def wait_begun(self, requests: int) -> None:
        """Wait until so many requests have come to be decoded, all in all."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.begun) >= requests)


def _describe(request: DecodeRequest) -> str:
    return f"utterance of {request.audio_ms} ms"


class Telephone:
    """A Peer that remembers what it was sent, and whether it was closed."""

    def __init__(self, hearing: Hearing = Hearing.NOTHING) -> None:
        self.hearing = hearing
        self.sent: list[Transcript] = []
        self.closed = False
        self.sheds = 0
        """So many interims each transcript pushes out."""

    def send(self, transcript: Transcript) -> int:
        self.sent.append(transcript)
        return self.sheds

    def close(self) -> None:
        self.closed = True


STAND_IN = "tests.fakes:StandInModel"
"""The loader to give to ModelProcess."""


class StandInModel:
    """A model for the real model process. Its weights' name and a request's `initial_prompt` tell it what to do."""

    _loads = 0
    _meeting = threading.Barrier(2)

    def __init__(self, weights: Weights, settings: Models, _workers: int = 1) -> None:
        match weights.name:
            case "unloadable":
                raise ModelLoadError("these weights cannot be loaded; take others")
            case "mistaken":
                raise KeyError("a mistake in the loader")
            case "deadly":
                os._exit(7)
            case "endless":
                threading.Event().wait()
            case "flaky":
                _fail_if_told(weights.directory / "failures")
        self.name = f"{weights.name} {settings.compute_type}"
        self.compute_type: str = settings.compute_type
        self.device: str = settings.device
        self._warm = False
        self._load = StandInModel._loads = StandInModel._loads + 1

    def warm_up(self) -> None:
        if self.name.startswith("too large "):  # libraries and memory are missed at the first decode
            raise RuntimeError("CUDA failed with error out of memory")
        self._warm = True

    def decode(self, requests: Sequence[DecodeRequest]) -> Iterator[tuple[int, Hypothesis]]:
        """Answer with what arrived, so that a test can see that all of it did; the last first."""
        assert self._warm
        if self.name.startswith("unable ") and requests[0].kind is DecodeKind.FINAL:
            raise ValueError("told to fail")
        for request in requests:
            if request.options.initial_prompt == "crowd" and len(requests) > int(request.options.hotwords or ""):
                raise RuntimeError("CUDA failed with error out of memory")
        for place in reversed(range(len(requests))):
            yield place, self._decode(requests[place])

    def _decode(self, request: DecodeRequest) -> Hypothesis:
        match request.options.initial_prompt:
            case "raise":
                raise ValueError("told to")
            case "die":
                os._exit(7)
            case "meet":  # both lanes at once, or never
                self._meeting.wait(timeout=20)
            case "hold":  # until somebody has opened the FIFO for writing and closed it
                Path(request.options.hotwords or "").read_bytes()
            case "niceness":
                return Hypothesis(text=str(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())), model=self.name)
            case "garble":  # what the pipe cannot carry
                return Hypothesis(text="\ud800", model=self.name)
        text = f"load {self._load}, {request.audio_ms} ms, crc {zlib.crc32(request.audio):08x}"
        return Hypothesis(text=text, model=self.name)


def _fail_if_told(failures: Path) -> None:
    """Fail as often as the file says; each process counts it down by one."""
    left = int(failures.read_text())
    if left:
        failures.write_text(str(left - 1))
        raise ModelLoadError("flaky")
