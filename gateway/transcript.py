"""From what a model heard to what the public is told: hypotheses on the call's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from asr.types import SAMPLE_RATE_HZ, ModelError
from gateway.events import (
    ErrorInfo,
    SegmentInfo,
    Source,
    TranscriptFailed,
    TranscriptFinal,
    TranscriptInterim,
    WordInfo,
    rfc3339,
)

if TYPE_CHECKING:
    from adapters.stream import Peer, Track
    from asr.speech import Utterance
    from asr.types import Hypothesis
    from gateway.routes import CallSettings

SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """How a call's times relate: its own milliseconds, arrivals, and the wall."""

    zero: float
    """The call's media zero, on the clock of arrivals."""
    wall_zero: float
    """The same moment, in seconds since the epoch."""

    def ms(self, moment: float) -> int:
        """Put a moment of the clock of arrivals on the call's clock."""
        return round((moment - self.zero) * 1000)

    def wall(self, at_ms: int) -> str:
        """Put a time of the call's clock on the wall."""
        return rfc3339(self.wall_zero + at_ms / 1000)


class Spoken(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """An utterance with its place in the call."""

    utterance_id: str
    track: Track
    source: Source
    """The stream that it came by, ..."""
    peer: Peer
    """... and who is at its other end."""
    settings: CallSettings
    utterance: Utterance
    offset_ms: int
    """The track's first sample on the call's clock."""

    @property
    def start_ms(self) -> int:
        """Where speech begins on the call's clock, which what was said before the call does not put back."""
        return max(0, self.offset_ms + self.utterance.start_sample // SAMPLES_PER_MS)

    @property
    def end_ms(self) -> int:
        """Where speech ends on the call's clock."""
        return max(0, self.offset_ms + self.utterance.end_sample // SAMPLES_PER_MS)

    @property
    def audio_ms(self) -> int:
        """Where the decoded audio begins on the call's clock, or before it; a decoder's times count from there."""
        return self.offset_ms + self.utterance.origin_sample // SAMPLES_PER_MS

    def with_audio(self, audio: bytes) -> Spoken:
        """Give the same with its audio, which somebody else has kept."""
        return msgspec.structs.replace(self, utterance=msgspec.structs.replace(self.utterance, audio=audio))

    def without_audio(self) -> Spoken:
        """Give the same to whoever only waits for its text: what waits long is to lie in memory no more than once."""
        return self.with_audio(b"")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What an event needs of its call."""

    call_id: str
    source: Source
    sequence: int


def final(spoken: Spoken, heard: Hypothesis, place: Place, clock: Clock, now: float) -> TranscriptFinal:
    """Make the event of a decoded utterance."""
    begins, wanted = spoken.audio_ms, spoken.settings.transcripts
    words = [
        WordInfo(
            text=word.text,
            start_ms=max(0, begins + word.start_ms),
            end_ms=max(0, begins + word.end_ms),
            confidence=word.confidence,
        )
        for word in heard.words
    ]
    segments = [
        SegmentInfo(text=each.text, start_ms=max(0, begins + each.start_ms), end_ms=max(0, begins + each.end_ms))
        for each in heard.segments
    ]
    return TranscriptFinal(
        **_of_utterance(spoken, place),
        text=heard.text,
        start_time=clock.wall(spoken.start_ms),
        end_of_turn=spoken.utterance.end_of_turn,
        language=heard.language,
        language_probability=heard.language_probability,
        confidence=heard.confidence,
        words=words if wanted.words else None,
        segments=segments if wanted.segments else None,
        model=heard.model,
        latency_ms=latency_ms(spoken, now),
    )


def interim(
    spoken: Spoken, heard: Hypothesis, place: Place, now: float, *, revision: int, stable_chars: int
) -> TranscriptInterim:
    """Make the event of an utterance that is still open; `spoken` holds what was heard of it so far."""
    return TranscriptInterim(
        **_of_utterance(spoken, place),
        text=heard.text,
        revision=revision,
        stable_chars=stable_chars,
        model=heard.model,
        latency_ms=latency_ms(spoken, now),
    )


def latency_ms(spoken: Spoken, now: float) -> int:
    """Tell how long ago the last speech arrived."""
    return max(0, round((now - spoken.utterance.heard_at) * 1000))


def failed(spoken: Spoken, error: ModelError, place: Place) -> TranscriptFailed:
    """Make the event that names speech of which there is no text."""
    return TranscriptFailed(
        **_of_utterance(spoken, place),
        reason=error.code,
        error=ErrorInfo(code=error.code, message=error.message),
    )


def _of_utterance(spoken: Spoken, place: Place) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(place),
        "track": spoken.track.id,
        "role": spoken.track.role,
        "label": spoken.track.label,
        "utterance_id": spoken.utterance_id,
        "start_ms": spoken.start_ms,
        "end_ms": spoken.end_ms,
    }
