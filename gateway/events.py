"""The public events: what a receiver of webhooks, a socket peer and the store are told.

Their fields are documented in docs/events.md, with an example of each that a test validates. Within
`schema` 1 fields are only ever added. Optional values are null, never absent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import msgspec

SCHEMA = 1


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The peer's own names for what it sent."""

    kind: str
    """The adapter, such as `audiosocket`."""
    listener: str
    call_id: str | None = None
    stream_id: str | None = None
    account_id: str | None = None


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong; `code` is from a closed set."""

    code: str
    message: str


class WordInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One word on the call's clock."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


class SegmentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of text on the call's clock."""

    text: str
    start_ms: int
    end_ms: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on every event."""

    type: ClassVar[str]

    call_id: str
    sequence: int
    source: Source
    schema: int = SCHEMA


class CallStarted(Event, frozen=True, kw_only=True):
    """The call's first stream was admitted."""

    type: ClassVar[str] = "call.started"

    parameters: dict[str, str]


class OnTrack(Event, frozen=True, kw_only=True):
    """What stands on every event of one track."""

    track: str
    role: str
    label: str | None


class TrackStarted(OnTrack, frozen=True, kw_only=True):
    """A speaker's audio begins."""

    type: ClassVar[str] = "track.started"

    duplicate: bool


class CallPaused(Event, frozen=True, kw_only=True):
    """From here on nothing is heard, until the call is resumed or ends."""

    type: ClassVar[str] = "call.paused"

    reason: str | None
    at_ms: int


class CallResumed(Event, frozen=True, kw_only=True):
    """The call is heard again."""

    type: ClassVar[str] = "call.resumed"

    at_ms: int


class DigitEvent(OnTrack, frozen=True, kw_only=True):
    """A key was pressed."""

    type: ClassVar[str] = "call.digit"

    digit: str
    at_ms: int


class CallMessage(Event, frozen=True, kw_only=True):
    """The peer sent text in mid-call; `source` tells by which stream."""

    type: ClassVar[str] = "call.message"

    text: str
    at_ms: int


class OfUtterance(OnTrack, frozen=True, kw_only=True):
    """What stands on every event of one utterance; the span is speech on the call's clock."""

    utterance_id: str
    start_ms: int
    end_ms: int


class TranscriptInterim(OfUtterance, frozen=True, kw_only=True):
    """The text so far, while somebody speaks: shown once or not at all. `sequence` is that of the last stored event."""

    type: ClassVar[str] = "transcript.interim"

    text: str
    revision: int
    stable_chars: int
    model: str
    latency_ms: int


class TranscriptFinal(OfUtterance, frozen=True, kw_only=True):
    """The text that stays."""

    type: ClassVar[str] = "transcript.final"

    text: str
    start_time: str
    end_of_turn: bool
    language: str | None
    language_probability: float | None
    confidence: float | None
    words: list[WordInfo] | None
    segments: list[SegmentInfo] | None
    model: str
    latency_ms: int


class TranscriptFailed(OfUtterance, frozen=True, kw_only=True):
    """Speech was heard in this span, and no text could be made of it."""

    type: ClassVar[str] = "transcript.failed"

    reason: str
    error: ErrorInfo


class CallEnded(Event, frozen=True, kw_only=True):
    """The call is over; no event of it follows. The counts let a receiver prove completeness."""

    type: ClassVar[str] = "call.ended"

    parameters: dict[str, str]
    reason: str
    error: ErrorInfo | None
    duration_ms: int | None
    audio_ms: dict[str, int] | None
    gap_ms: dict[str, int] | None
    utterances: int
    interims_shed: int
    failed: int
    suppressed: dict[str, int]
    last_sequence: int


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the store keeps it and a webhook carries it."""

    event_id: str
    """`webhook-id`: one per event for ever, the same on every attempt."""
    call_id: str
    sequence: int
    type: str
    body: bytes
    """UTF-8 JSON: `{"type", "timestamp", "data"}`."""


class EncodedInterim(msgspec.Struct, frozen=True, kw_only=True):
    """An interim as a webhook carries it. No store keeps it."""

    event_id: str
    """`webhook-id`: one per utterance and revision."""
    call_id: str
    utterance_id: str
    body: bytes
    """UTF-8 JSON, as of a stored event."""


class _Body(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: Event


_encoder = msgspec.json.Encoder()


def store(event: Event, wall_time: float) -> StoredEvent:
    """Encode an event once, for the store and every receiver."""
    return StoredEvent(
        event_id=f"msg_{event.call_id}_{event.sequence}",
        call_id=event.call_id,
        sequence=event.sequence,
        type=event.type,
        body=_encode(event, wall_time),
    )


def encode_interim(event: TranscriptInterim, wall_time: float) -> EncodedInterim:
    """Encode an interim once, for every receiver."""
    return EncodedInterim(
        event_id=f"msg_{event.utterance_id}_{event.revision}",
        call_id=event.call_id,
        utterance_id=event.utterance_id,
        body=_encode(event, wall_time),
    )


def encode_data(event: Event) -> bytes:
    """Encode what a socket's peer is sent: the event's `data` alone."""
    return _encoder.encode(event)


def _encode(event: Event, wall_time: float) -> bytes:
    return _encoder.encode(_Body(event.type, rfc3339(wall_time), event))


def rfc3339(wall_time: float) -> str:
    """Write seconds since the epoch as UTC with milliseconds."""
    moment = datetime.fromtimestamp(wall_time, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
