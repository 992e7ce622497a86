"""What a simulated Asterisk call sends, and when: packets, keys, holds, an early end. Pure."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

import msgspec

from adapters.asterisk.audiosocket import Kind, encode
from adapters.stream import DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE_HZ = 8_000
BYTES_PER_MS = RATE_HZ // 1000 * 2

DIGIT_SECONDS = 0.2
"""A key leaves so long a hole in the audio, and is told when it ends (Asterisk 23.5, RFC 2833)."""


class At(msgspec.Struct, frozen=True):
    """Something that happens when so much of the file has been played."""

    seconds: float
    what: str


class CallPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is played. All times are seconds."""

    packet_ms: int = 20
    """The caller's packet time: AudioSocket's frames follow it."""
    digits: tuple[At, ...] = ()
    holds: tuple[At, ...] = ()
    """`what` is how long frames stop; the file goes on after it where it was."""
    hang_up_at: float | None = None
    """Seconds into the call, holds included."""
    reset: bool = False
    """End the connection with a reset instead of an orderly FIN."""
    linger: float = 1.0
    """Stay connected so long after the last frame, sending nothing."""


class Step(msgspec.Struct, frozen=True):
    """A packet of audio, or a key that was pressed, and its time from the beginning of the call."""

    at: float
    what: bytes | At


class Send(msgspec.Struct, frozen=True):
    """One frame and its time, from the beginning of the call."""

    at: float
    frame: bytes


def parse_at(text: str) -> At:
    """Read `SECONDS:WHAT`. Raises ValueError, whose text is what was read."""
    seconds, colon, what = text.partition(":")
    moment = _seconds(seconds)
    if not colon or not what or moment is None:
        raise ValueError(text)
    return At(moment, what)


def _seconds(text: str) -> float | None:
    """Read a time; None for what is none."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def parse_digit(text: str) -> At:
    """Read `SECONDS:KEY`. Raises ValueError."""
    at = parse_at(text)
    if at.what.upper() not in DIGITS:
        raise ValueError(text)
    return At(at.seconds, at.what.upper())


def parse_hold(text: str) -> At:
    """Read `SECONDS:SECONDS`. Raises ValueError."""
    at = parse_at(text)
    if not _seconds(at.what):
        raise ValueError(text)
    return at


def steps(audio: bytes, packet_bytes: int, plan: CallPlan) -> Iterator[Step]:
    """Lay audio out as the packets and keys of one call, in order, each packet cut off when it is asked for."""
    end = float("inf") if plan.hang_up_at is None else plan.hang_up_at
    told = sorted(
        (Step(digit.seconds + DIGIT_SECONDS + _held(digit.seconds, plan), digit) for digit in plan.digits), key=_time
    )
    ordered = heapq.merge(_packets(audio, packet_bytes, plan), told, key=_time)
    return itertools.takewhile(lambda step: step.at < end, ordered)


def _time(step: Step) -> float:
    return step.at


def _packets(audio: bytes, size: int, plan: CallPlan) -> Iterator[Step]:
    for number, start in enumerate(range(0, len(audio), size)):
        played = number * plan.packet_ms / 1000
        if not any(digit.seconds <= played < digit.seconds + DIGIT_SECONDS for digit in plan.digits):
            yield Step(played + _held(played, plan), audio[start : start + size])


def schedule(pcm: bytes, plan: CallPlan) -> list[Send]:
    """Lay 16-bit mono PCM at 8 kHz out as the frames of one `AudioSocket()` call, in order."""
    return [Send(step.at, _frame(step.what)) for step in steps(pcm, plan.packet_ms * BYTES_PER_MS, plan)]


def _frame(what: bytes | At) -> bytes:
    if isinstance(what, At):
        return encode(Kind.DIGIT, what.what.encode())
    return encode(Kind.SLIN, what)


def _held(played: float, plan: CallPlan) -> float:
    """Tell how long frames have stopped before so much of the file."""
    return sum(float(hold.what) for hold in plan.holds if hold.seconds <= played)
