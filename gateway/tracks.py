"""One speaker within a call: its audio, brought to 16 kHz and cut into utterances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.media.resample import BLOCK_MS
from adapters.media.track import MediaTrack
from asr.speech import SpeechTrack
from gateway.transcript import SAMPLES_PER_MS, Spoken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from adapters.stream import AudioFrame, Track
    from asr.speech import Utterance
    from gateway.events import Source
    from gateway.routes import CallSettings


class CallTrack:
    """Joins the media path of a track to its speech path. `zero` is the track's first moment.

    Of a `duplicate` another track carries the same speaker already; one that is not `decoded` is only counted.
    """

    def __init__(
        self,
        track: Track,
        *,
        call_id: str,
        source: Source,
        settings: CallSettings,
        zero: float,
        offset_ms: int,
        duplicate: bool = False,
        decoded: bool = True,
    ) -> None:
        self.track = track
        self.source = source
        self.settings = settings
        self.duplicate = duplicate
        self.decoded = decoded
        self.live = True
        """Whether its stream has not ended."""
        self.media = MediaTrack(zero)
        self.speech = SpeechTrack(settings.speech)
        self._call_id = call_id
        self._zero_ms = offset_ms
        self._reached_ms = 0
        self._arrived_at = zero

    def push(self, frame: AudioFrame, arrived_at: float) -> Iterator[Spoken]:
        """Take a frame; give the utterances it ends."""
        self._arrived_at = arrived_at
        return self._hear(self.media.push(frame, arrived_at))

    def tick(self, now: float) -> Iterator[Spoken]:
        """Let silence pass if frames have stopped, and keep to the clock; give the utterances this ends."""
        yield from self._hear(self.media.fill(now))
        if not self.speech.speaking:
            yield from self._hear(self.media.settle(now))

    def reach(self, moment: float) -> Iterator[Spoken]:
        """Let silence pass up to a moment; give the utterances this ends."""
        return self._hear(self.media.reach(moment))

    def finish(self) -> Iterator[Spoken]:
        """Give what is still open when the stream has ended."""
        yield from self._hear(self.media.finish())
        rest = self.speech.finish()
        if rest is not None:
            yield self._spoken(rest)

    def __str__(self) -> str:
        rest = (
            f"webrtcvad({self.settings.speech.vad_aggressiveness}) -> utterances" if self.decoded else "(not decoded)"
        )
        return f"{self.media} -> {rest}"

    def _hear(self, blocks: Iterable[bytes]) -> Iterator[Spoken]:
        for block in blocks:
            if not self.decoded:
                self._zero_ms += BLOCK_MS  # should it be decoded from here on, its speech begins here
                continue
            utterance = self.speech.push(block, self._arrived_at)
            if utterance is not None:
                yield self._spoken(utterance)

    def _spoken(self, utterance: Utterance) -> Spoken:
        # The clock is put back only between utterances, and no utterance begins before the one before it has ended.
        begins_ms = self._zero_ms - self.media.put_back_ms + utterance.start_sample // SAMPLES_PER_MS
        offset_ms = self._zero_ms - self.media.put_back_ms + max(0, self._reached_ms - begins_ms)
        self._reached_ms = offset_ms + utterance.end_sample // SAMPLES_PER_MS
        return Spoken(
            utterance_id=f"{self._call_id}_{self.track.id}_{utterance.number}",
            track=self.track,
            source=self.source,
            settings=self.settings,
            utterance=utterance,
            offset_ms=offset_ms,
        )
