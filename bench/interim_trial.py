"""Calls one after the other, faster than real time: blocks of 20 ms, and decodes that take as long as they are told.

The models are real, and so is all that lies between the audio and the events. Only the clock is moved by hand, so that
the same lines come to the same, on whatever machine.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from adapters.stream import AudioFormat, AudioFrame, Encoding, Hearing, Track, TrackRole
from asr.scheduler import Scheduler
from asr.types import DecodeKind, ignore_answer
from bench.interim_scores import Final, Heard, Interim, Word
from bench.prompts import FRAME_BYTES, FRAME_MS
from config.settings import Transcripts
from gateway.events import Source
from gateway.means import Means, NoInterims
from gateway.publishing import Over, Publisher
from gateway.record import CallRecord
from gateway.routes import Facts, Routes
from gateway.tracks import CallTrack
from gateway.transcript import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.stream import Transcript
    from asr.types import DecodeRequest, Engine, Hypothesis, ModelError, ModelRole, OnAnswer
    from bench.interim_lines import Line
    from config.settings import Settings
    from gateway.delivery.recipients import Recipient
    from gateway.events import EncodedInterim, StoredEvent

L16 = AudioFormat(Encoding.L16, 8_000)


class _Nobody:
    """A peer that is told nothing."""

    hearing = Hearing.NOTHING

    def send(self, transcript: Transcript) -> int:  # noqa: ARG002  nothing is sent
        return 0

    def close(self) -> None:
        pass


TURNS = 30
"""More turns of the event loop than anything takes on its way through the parts."""


class Simulation:
    """An Engine over another, whose decodes take a set time on a clock that is moved by hand."""

    def __init__(self, engine: Engine, decode_ms: int) -> None:
        self._engine = engine
        self._decode_ms = decode_ms
        self._computing = 0
        self._computed = asyncio.Event()
        self._due: list[tuple[int, asyncio.Event]] = []
        self.now_ms = 0
        self.decodes = 0
        """Of interims."""
        self.timed = 0
        """Those of them that told the times of words."""
        self.decoded_ms = 0
        """The audio that they heard."""

    def seconds(self) -> float:
        """Tell the time."""
        return self.now_ms / 1000

    def lanes(self, role: ModelRole) -> Sequence[int]:
        """Tell which lanes serve a role."""
        return self._engine.lanes(role)

    def largest_batch(self, lane: int) -> int:
        """Tell how many requests a lane can decode together."""
        return self._engine.largest_batch(lane)

    def window(self, lane: int, audio_ms: int) -> float:
        """Tell in what window a lane looks at so much audio."""
        return self._engine.window(lane, audio_ms)

    async def ready(self, lane: int) -> None:
        """Wait until a lane can decode."""
        await self._engine.ready(lane)

    async def decode(
        self, lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer = ignore_answer
    ) -> list[Hypothesis | ModelError]:
        """Decode at once, and answer when it is time."""
        self._count(batch)
        due = asyncio.Event()
        self._due.append((self.now_ms + self._decode_ms, due))
        self._computing += 1
        try:
            answers = await self._engine.decode(lane, batch, ignore_answer)
        finally:
            self._computing -= 1
            self._computed.set()
        await due.wait()
        for place, answer in enumerate(answers):
            on_answer(place, answer)
        return answers

    async def pass_time(self, duration_ms: int) -> None:
        """Move the clock, and let everything happen that happens until then."""
        self.now_ms += duration_ms
        for at_ms, due in self._due:
            if at_ms <= self.now_ms:
                due.set()
        self._due = [(at_ms, due) for at_ms, due in self._due if not due.is_set()]
        await self.settle()

    async def settle(self) -> None:
        """Let everything happen that can happen at this moment; the clock stands still for models."""
        await _turn()
        while self._computing:
            self._computed.clear()
            await self._computed.wait()
            await _turn()

    def _count(self, batch: Sequence[DecodeRequest]) -> None:
        for request in batch:
            if request.kind is DecodeKind.INTERIM:
                self.decodes += 1
                self.timed += request.options.word_times
                self.decoded_ms += request.audio_ms


async def _turn() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def stream(lines: Sequence[Line], simulation: Simulation, settings: Settings) -> list[Heard]:
    """Say one line after the other, each on a call of its own; tell what was heard of each."""
    wanted = msgspec.structs.replace(settings, transcripts=Transcripts(words=True))
    async with asyncio.TaskGroup() as group:
        scheduler = Scheduler(simulation, clock=simulation.seconds, interims=settings.interims)
        serving = group.create_task(scheduler.run())
        heard = [
            await _Call(f"call-{number}", simulation, scheduler, wanted).say(line) for number, line in enumerate(lines)
        ]
        serving.cancel()
    return heard


class _Screen(NoInterims):
    """Keeps every interim, with its time."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._zero_ms = simulation.now_ms
        self.shown: list[Interim] = []

    def wanted(self, _recipients: Sequence[Recipient], /) -> bool:
        return True

    def show(self, interim: EncodedInterim, _recipients: Sequence[Recipient], /) -> None:
        data = msgspec.json.decode(interim.body)["data"]
        told = {name: data[name] for name in ("utterance_id", "text", "stable_chars")}
        self.shown.append(Interim(**told, at_ms=self._simulation.now_ms - self._zero_ms))


class _Call:
    """One call, from its audio to its events."""

    def __init__(self, call_id: str, simulation: Simulation, scheduler: Scheduler, settings: Settings) -> None:
        self._simulation = simulation
        self._screen = _Screen(simulation)
        self._stored: list[dict[str, Any]] = []
        means = Means(
            settings=settings,
            decoder=scheduler,
            publish=self._publish,
            interims=self._screen,
            clock=simulation.seconds,
            wall=simulation.seconds,
        )
        zero, source = simulation.seconds(), Source(kind="bench", listener="bench")
        clock = Clock(zero=zero, wall_zero=0.0)
        self._record = CallRecord(call_id, source, recipients=(), clock=clock, means=means, log=structlog.get_logger())
        self._publisher = Publisher(call_id, self._record, means, lambda _spoken: None)
        self._track = CallTrack(
            Track(id="inbound", role=TrackRole.INBOUND),
            call_id=call_id,
            source=source,
            peer=_Nobody(),
            settings=Routes(settings).choose(Facts(adapter="bench", listener="bench")),
            zero=zero,
            offset_ms=0,
            interims=settings.interims,
            level=lambda: scheduler.level,
        )

    async def say(self, line: Line) -> Heard:
        """Say a line and hang up."""
        await self._record.started({})
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(self._publisher.run())
            for at in range(0, len(line.pcm), FRAME_BYTES):
                await self._simulation.pass_time(FRAME_MS)
                frame = AudioFrame("inbound", L16, line.pcm[at : at + FRAME_BYTES])
                for found in self._track.push(frame, self._simulation.seconds()):
                    self._publisher.put(found)
                await self._simulation.settle()
            for rest in self._track.finish():
                self._publisher.put(rest)
            self._publisher.put(Over())
            while not publishing.done():
                await self._simulation.pass_time(FRAME_MS)
        return self._heard(line)

    async def _publish(self, event: StoredEvent, _recipients: Sequence[Recipient]) -> None:
        self._stored.append(msgspec.json.decode(event.body))

    def _heard(self, line: Line) -> Heard:
        finals = [each["data"] for each in self._stored if each["type"] == "transcript.final"]
        return Heard(
            text=line.text,
            onset_ms=line.onset_ms,
            audio_ms=line.audio_ms,
            interims=tuple(self._screen.shown),
            finals=tuple(_final(data) for data in finals),
        )


def _final(data: dict[str, Any]) -> Final:
    return Final(
        words=tuple(Word(text=word["text"], end_ms=word["end_ms"]) for word in data["words"]),
        **{name: data[name] for name in ("utterance_id", "text", "start_ms", "end_ms")},
    )
