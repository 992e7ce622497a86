"""What the media streams of Twilio and its relatives carry, and when. Pure.

A stream here is one way: what `<Start><Stream>` forks. Nothing that a gateway sends is played, so no mark comes back;
keys may be pressed all the same, which Twilio itself tells on streams of `<Connect>` alone.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from adapters.stream import AudioFormat, Encoding
from gateway.callers.encoders import encoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.callers.plan import At

TRACKS = ("inbound", "outbound")
"""The caller, and what the caller hears."""


class Dialect(StrEnum):
    """Whose stream it is."""

    TWILIO = "twilio"
    TELNYX = "telnyx"
    SIGNALWIRE = "signalwire"
    PLIVO = "plivo"
    EXOTEL = "exotel"


_TELEPHONE = AudioFormat(Encoding.PCMU, 8_000)

FORMATS = {
    Dialect.TWILIO: (_TELEPHONE,),
    Dialect.TELNYX: (_TELEPHONE, AudioFormat(Encoding.PCMA, 8_000), AudioFormat(Encoding.L16, 16_000)),
    Dialect.SIGNALWIRE: (_TELEPHONE, *(AudioFormat(Encoding.L16, rate_hz) for rate_hz in (16_000, 24_000))),
    Dialect.PLIVO: (_TELEPHONE, *(AudioFormat(Encoding.L16, rate_hz) for rate_hz in (8_000, 16_000, 24_000))),
    Dialect.EXOTEL: tuple(AudioFormat(Encoding.L16, rate_hz) for rate_hz in (8_000, 16_000, 24_000)),
}
"""What each can be told to send, and first what it sends untold here."""

PACKETS_MS = {dialect: 100 if dialect is Dialect.EXOTEL else 20 for dialect in Dialect}
"""How long each one's packets are."""

_FROM_ZERO = frozenset({Dialect.TELNYX, Dialect.EXOTEL})
"""Whose timestamps count from the first packet, where those of others count from the beginning of the stream."""


class Shape(StrEnum):
    """How much the messages say."""

    FULL = "full"
    NO_TIMESTAMPS = "no-timestamps"
    MINIMAL = "minimal"
    """What test clients send that others wrote for Twilio's streams: two ids, then nothing but payloads."""


class End(StrEnum):
    """How a stream ends."""

    STOP = "stop"
    """By a stop, and then Close."""
    CLOSE = "close"
    """By a Close alone, which is Plivo's habit."""
    BREAK = "break"
    """By a reset of the connection."""


class StreamPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How audio is played. All times are seconds since the WebSocket opened."""

    dialect: Dialect = Dialect.TWILIO
    format: AudioFormat = _TELEPHONE
    tracks: int = 1
    """1: the caller alone; 2: what the caller hears, too."""
    packet_ms: int = 20
    begin: float = 0.12
    """When the first packet comes. Of Twilio 0.057 to 0.171 were recorded."""
    epoch_ms: int = 0
    """The wall clock when the WebSocket opened: Plivo's timestamps are of it, and so are the times of Telnyx's keys."""
    shape: Shape = Shape.FULL
    keys: tuple[At, ...] = ()
    end: End = End.STOP
    hang_up_at: float | None = None
    """When the stream ends; None: `linger` after the audio did."""
    linger: float = 1.0
    """The line is silent for so long, and the silence is sent, as everything is."""
    loss: float = 0.0
    """This share of the packets is never sent."""
    lost_have_numbers: bool = False
    """What is lost was counted before. Twilio loses before it counts: timestamps jump, and numbers have no gaps."""
    jitter_ms: int = 0
    """Messages come up to so much late, in their order."""
    reorder: float = 0.0
    """This share of the packets comes after the next one of its track. Only Telnyx makes no promise of order."""
    seed: int = 0
    """What is chance here is the same for the same seed."""

    def __post_init__(self) -> None:
        """Refuse what the dialect cannot do. Raises ValueError."""
        if self.format not in FORMATS[self.dialect]:
            known = ", ".join(map(str, FORMATS[self.dialect]))
            raise ValueError(f"{self.dialect} streams are of {known}; {self.format} is none of these")
        if self.tracks not in ((1,) if self.dialect is Dialect.EXOTEL else (1, 2)):
            raise ValueError(f"{self.dialect} streams have no {self.tracks} tracks")
        if self.shape is Shape.MINIMAL and self.dialect is not Dialect.TWILIO:
            raise ValueError("the minimal shape is one of twilio streams")
        if not (0 <= self.loss <= 1 and 0 <= self.reorder <= 1):
            raise ValueError("a share is a number from 0 to 1")

    @property
    def packet_bytes(self) -> int:
        """Tell how long a packet is."""
        return self.format.rate_hz * self.packet_ms // 1000 * self.format.encoding.bytes_per_sample

    @property
    def first_ms(self) -> int:
        """Tell the first packet's timestamp."""
        if self.dialect in _FROM_ZERO:
            return 0
        begin_ms = round(self.begin * 1000)
        return self.epoch_ms + begin_ms if self.dialect is Dialect.PLIVO else begin_ms

    def encode(self, pcm: bytes) -> bytes:
        """Make a track's payload of 16-bit PCM of the format's rate."""
        return encoder(self.format.encoding)(pcm)

    def ends_at(self, sounds: Sequence[bytes]) -> float:
        """Tell when a stream with these tracks' payloads ends."""
        if self.hang_up_at is not None:
            return self.hang_up_at
        return _exactly(self.begin + max(map(self.format.seconds, sounds)) + self.linger)

    def packets_until(self, at: float) -> int:
        """Count the packets of a track that are due before a time."""
        return max(0, math.ceil(_exactly((at - _exactly(self.begin)) * 1000 / self.packet_ms)))


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """A packet of audio."""

    track: str
    stamp_ms: int
    payload: bytes
    lost: bool = False
    """It is counted, and not sent."""


class Key(msgspec.Struct, frozen=True):
    """A key that the caller pressed."""

    digit: str
    epoch_ms: int


class Step(msgspec.Struct, frozen=True):
    """A packet or a key, and its time."""

    at: float
    what: Media | Key


def pick_format(dialect: Dialect, encoding: Encoding | None = None, rate_hz: int | None = None) -> AudioFormat:
    """Choose what a dialect sends of what is asked for; None asks for nothing. Raises ValueError."""
    fitting = [
        known for known in FORMATS[dialect] if encoding in {None, known.encoding} and rate_hz in {None, known.rate_hz}
    ]
    if not fitting:
        wanted = " ".join(str(each) for each in (encoding, rate_hz) if each is not None)
        raise ValueError(f"{dialect} streams are of {', '.join(map(str, FORMATS[dialect]))}; {wanted} is none of these")
    return fitting[0]


def steps(sounds: Sequence[bytes], plan: StreamPlan) -> Iterator[Step]:
    """Lay out what a stream carries, in order, each when it is asked for: `sounds` are its tracks' payloads."""
    ends_at = plan.ends_at(sounds)
    keys = sorted((_press(key, plan) for key in plan.keys if key.seconds < ends_at), key=_time)
    return _delayed(heapq.merge(_packets(sounds, plan, ends_at), keys, key=_time), plan)


def _press(key: At, plan: StreamPlan) -> Step:
    return Step(key.seconds, Key(key.what, plan.epoch_ms + round(key.seconds * 1000)))


def _exactly(seconds: float) -> float:
    """Make times of whole milliseconds equal that are, however they were added up."""
    return round(seconds, 6)


def _time(step: Step) -> float:
    return step.at


def chance(plan: StreamPlan, of: str) -> random.Random:
    """Give what decides one thing by chance, whatever else is left to chance."""
    return random.Random(f"{of} {plan.seed}")  # noqa: S311  no secret


def _packets(sounds: Sequence[bytes], plan: StreamPlan, ends_at: float) -> Iterator[Step]:
    size, silence, losing = plan.packet_bytes, plan.encode(bytes(2))[:1], chance(plan, "loss")
    for number in itertools.count():
        at = _exactly(plan.begin + number * plan.packet_ms / 1000)
        if at >= ends_at:
            return
        for track, sound in zip(TRACKS[: plan.tracks], sounds, strict=True):
            lost = losing.random() < plan.loss
            if lost and not plan.lost_have_numbers:
                continue
            payload = sound[number * size : (number + 1) * size].ljust(size, silence)
            stamp_ms = plan.first_ms + number * plan.packet_ms
            yield Step(at, Media(track=track, stamp_ms=stamp_ms, payload=payload, lost=lost))


def _delayed(punctual: Iterator[Step], plan: StreamPlan) -> Iterator[Step]:
    delaying, last = chance(plan, "jitter"), 0.0
    for step in punctual:
        last = max(last, step.at + delaying.uniform(0, plan.jitter_ms / 1000))
        yield Step(last, step.what)
