"""Who says what in simulated calls, and when. Pure; all chance comes from the generator that is handed in."""

from __future__ import annotations

import math
import statistics
import uuid
from typing import TYPE_CHECKING

import msgspec

# At run time too: msgspec resolves the annotations below.
from bench.prompts import FRAME_MS, Prompt, trimmed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

INBOUND, OUTBOUND = "inbound", "outbound"
"""The listeners of both sides of a call, each named for its role."""

SPREAD_SECONDS = 3.0
"""Calls start spread over so long, for so they do."""

LEAD_FRAMES = 25
PAUSE_FRAMES = 40
"""0.8 s: longer than the hangover, so that each prompt is an utterance of its own."""

SPEAKING = 0.45
"""The part of the time in which each side of a dialogue speaks."""

PAUSE_SIGMA = 0.5
"""How unlike the pauses of a dialogue are: the deviation of their logarithms."""

LONGEST_INNER_PAUSE_FRAMES = 15
"""What never stops speaking must not pause as long as the hangover."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and its place on its line."""

    prompt: int
    at_frame: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One connection: one speaker of a call."""

    call_uuid: str
    listener: str
    start_ms: int
    """When it connects, from the beginning of the run."""
    placed: tuple[Placed, ...]
    frames: int
    """Then it hangs up."""

    @property
    def speaker(self) -> str:
        """What its events are known by."""
        return speaker(self.call_uuid, self.listener)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """All lines of a run."""

    prompts: tuple[Prompt, ...]
    lines: tuple[Line, ...]


def speaker(call_uuid: str, listener: str) -> str:
    """Name one side of one call."""
    return f"{call_uuid} {listener}"


def unbroken(prompts: Sequence[Prompt], calls: int, seconds: float, rng: Random) -> Script:
    """Let every call say one prompt after the other, with 0.8 s of silence between.

    What has begun before `seconds` is said to its end, so that the load is whole until then.
    """
    lines = []
    for _ in range(calls):
        start_ms = _start_ms(seconds, rng)
        placed, end = _place(prompts, _frames_until(seconds, start_ms), rng, lambda: PAUSE_FRAMES)
        lines.append(_line(_new_uuid(rng), INBOUND, start_ms, placed, end))
    return Script(prompts=tuple(prompts), lines=tuple(lines))


def dialogue(prompts: Sequence[Prompt], calls: int, seconds: float, rng: Random) -> Script:
    """Let two sides of every call take turns, each speaking 45 % of the time, with pauses of unlike lengths."""
    longest = statistics.mean(each.speech_frames for each in prompts) / (2 * SPEAKING)
    mean_frames = max(1.0, longest - statistics.mean(each.frames for each in prompts))
    mu = math.log(mean_frames) - PAUSE_SIGMA**2 / 2
    lines = []
    for _ in range(calls):
        start_ms, call_uuid = _start_ms(seconds, rng), _new_uuid(rng)
        placed, end = _place(
            prompts, _frames_until(seconds, start_ms), rng, lambda: round(rng.lognormvariate(mu, PAUSE_SIGMA))
        )
        for first, side in enumerate(rng.sample((INBOUND, OUTBOUND), 2)):
            lines.append(_line(call_uuid, side, start_ms, placed[first::2], end))
    return Script(prompts=tuple(prompts), lines=tuple(lines))


def with_neighbour(script: Script, seconds: float, rng: Random) -> Script:
    """Add one last line on which somebody never stops speaking."""
    fluent = [trimmed(each) for each in script.prompts if each.longest_pause_frames < LONGEST_INNER_PAUSE_FRAMES]
    chosen = fluent or [trimmed(each) for each in script.prompts]
    placed, end = _place(chosen, _frames_until(seconds, 0), rng, lambda: 0)
    behind = len(script.prompts)
    shifted = [Placed(prompt=behind + each.prompt, at_frame=each.at_frame) for each in placed]
    line = _line(_new_uuid(rng), INBOUND, 0, shifted, end)
    return Script(prompts=(*script.prompts, *chosen), lines=(*script.lines, line))


def _place(
    prompts: Sequence[Prompt], until_frame: int, rng: Random, pause: Callable[[], int]
) -> tuple[list[Placed], int]:
    """Put prompts one behind the other; tell also the frame after the last and its pause."""
    placed: list[Placed] = []
    at = LEAD_FRAMES
    order = _shuffled(len(prompts), rng)
    while at < until_frame or not placed:
        chosen = next(order)
        placed.append(Placed(prompt=chosen, at_frame=at))
        at += prompts[chosen].frames + pause()
    return placed, at


def _shuffled(count: int, rng: Random) -> Iterator[int]:
    """Go through all of them again and again, in another order each time."""
    while True:
        yield from rng.sample(range(count), count)


def _line(call_uuid: str, listener: str, start_ms: int, placed: Sequence[Placed], end: int) -> Line:
    return Line(
        call_uuid=call_uuid,
        listener=listener,
        start_ms=start_ms,
        placed=tuple(placed),
        frames=end + PAUSE_FRAMES,
    )


def _start_ms(seconds: float, rng: Random) -> int:
    return round(rng.uniform(0, min(SPREAD_SECONDS, seconds / 2)) * 1000)


def _frames_until(seconds: float, start_ms: int) -> int:
    return math.ceil((seconds * 1000 - start_ms) / FRAME_MS)


def _new_uuid(rng: Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
