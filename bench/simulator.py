"""Asterisk's side of many AudioSocket calls at once, in a process of its own: it costs the gateway nothing.

    python -m bench.simulator < JOB

Reads a `Job` from standard input, and prints `Begun` and then `Done`, a line each, all as JSON. Times are of
`time.perf_counter`, which is one clock for all processes of a machine. One wheel paces all calls: it turns once in
20 ms, and each call has one of its ten notches, so that frames of different calls do not come at one moment.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from typing import TYPE_CHECKING, cast

import msgspec
import uvloop

from adapters.asterisk.audiosocket import Kind, encode
from bench.prompts import FRAME_BYTES, FRAME_MS, Prompt
from bench.scripts import Script  # noqa: TC001  at run time: msgspec resolves the annotations below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.scripts import Line

HOST = "127.0.0.1"
NOTCHES = 10
NOTCH_SECONDS = FRAME_MS / 1000 / NOTCHES
LATE_SECONDS = 0.010
BEGIN_AFTER_SECONDS = 0.3

SILENCE = encode(Kind.SLIN, bytes(FRAME_BYTES))

clock = time.perf_counter


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be simulated."""

    script: Script
    ports: dict[str, int]
    """Each listener's, by its name."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """The run begins."""

    at: float


class LineDone(msgspec.Struct, frozen=True, kw_only=True):
    """How one line went."""

    introduced_at: float
    """When its UUID was sent: the zero of its audio."""
    spoken: tuple[tuple[float, float], ...]
    """Of each of its prompts, in order, when the first and the last frame with speech were sent."""
    cut_off: bool
    """Whether the gateway hung up before everything was said."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How all of it went, line by line in the script's order."""

    lines: tuple[LineDone, ...]
    late_frames: int
    """Sent more than 10 ms after their time."""
    latest_ms: float
    frames: int


class _Call(asyncio.Protocol):
    """One connection: the UUID when it is made, then a frame whenever it is told to."""

    def __init__(self, line: Line, frames: Sequence[bytes]) -> None:
        self._line = line
        self._frames = frames
        self.sent_at: list[float] = []
        self.introduced_at = 0.0
        self.over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(encode(Kind.UUID, uuid.UUID(self._line.call_uuid).bytes))
        self.introduced_at = clock()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the base's signature
        self.over = True

    def send(self, now: float) -> None:
        """Send the next frame; after the last, hang up as Asterisk does, by FIN alone."""
        self._transport.write(self._frames[len(self.sent_at)])
        self.sent_at.append(now)
        if len(self.sent_at) == len(self._frames):
            self._transport.close()
            self.over = True

    def done(self, prompts: Sequence[Prompt]) -> LineDone:
        spans = [
            (each.at_frame + prompts[each.prompt].first_frame, each.at_frame + prompts[each.prompt].last_frame)
            for each in self._line.placed
        ]
        sent_at = self.sent_at
        return LineDone(
            introduced_at=self.introduced_at,
            spoken=tuple((sent_at[first], sent_at[last]) for first, last in spans if last < len(sent_at)),
            cut_off=len(sent_at) < len(self._frames),
        )


class _Wheel:
    """Paces the calls that were put on it, and knows how late it was."""

    def __init__(self, calls: int) -> None:
        self._notches: list[list[_Call]] = [[] for _ in range(NOTCHES)]
        self._to_come = calls
        self.late_frames = self.frames = 0
        self.latest = 0.0

    def add(self, number: int, call: _Call) -> None:
        self._to_come -= 1
        self._notches[number % NOTCHES].append(call)

    async def turn(self, begin: float) -> None:
        """Send each frame at its time, until every call that is to come has come and is over."""
        turns = 0
        while self._to_come or any(self._notches):
            due = begin + turns * NOTCH_SECONDS
            await asyncio.sleep(max(0.0, due - clock()))  # 0 too: sockets need their turn
            self._pass(turns % NOTCHES, due)
            turns += 1

    def _pass(self, number: int, due: float) -> None:
        calls = self._notches[number]
        for call in calls:
            if not call.over:
                now = clock()
                call.send(now)
                self._note(now - due)
        if any(call.over for call in calls):
            self._notches[number] = [call for call in calls if not call.over]

    def _note(self, late: float) -> None:
        self.frames += 1
        self.late_frames += late > LATE_SECONDS
        self.latest = max(self.latest, late)


async def simulate(job: Job) -> Done:
    """Make all calls, and tell how it went. Raises OSError where nobody answers."""
    encoded = [_encode(each) for each in job.script.prompts]
    calls = [_Call(line, _frames(line, encoded)) for line in job.script.lines]
    wheel = _Wheel(len(calls))
    begin = clock() + BEGIN_AFTER_SECONDS
    _tell(Begun(at=begin))
    async with asyncio.TaskGroup() as group:
        group.create_task(wheel.turn(begin))
        for number, (line, call) in enumerate(zip(job.script.lines, calls, strict=True)):
            group.create_task(_connect(wheel, number, call, job.ports[line.listener], begin + line.start_ms / 1000))
    return Done(
        lines=tuple(call.done(job.script.prompts) for call in calls),
        late_frames=wheel.late_frames,
        latest_ms=round(wheel.latest * 1000, 1),
        frames=wheel.frames,
    )


async def _connect(wheel: _Wheel, number: int, call: _Call, port: int, at: float) -> None:
    await asyncio.sleep(max(0.0, at - clock()))
    await asyncio.get_running_loop().create_connection(lambda: call, HOST, port)
    wheel.add(number, call)


def _encode(prompt: Prompt) -> list[bytes]:
    """Make the frames of a prompt, once for all calls that say it."""
    return [
        encode(Kind.SLIN, prompt.pcm[start : start + FRAME_BYTES]) for start in range(0, len(prompt.pcm), FRAME_BYTES)
    ]


def _frames(line: Line, encoded: Sequence[list[bytes]]) -> list[bytes]:
    frames = [SILENCE] * line.frames
    for each in line.placed:
        said = encoded[each.prompt]
        frames[each.at_frame : each.at_frame + len(said)] = said
    return frames


def _tell(what: Begun | Done) -> None:
    print(msgspec.json.encode(what).decode(), flush=True)


def main() -> None:
    """Do the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            _tell(runner.run(simulate(job)))
    except* OSError as errors:
        sys.exit(f"the simulator cannot call the gateway: {errors.exceptions[0]}")


if __name__ == "__main__":
    main()
