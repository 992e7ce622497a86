"""One speaker within a call: its audio, brought to 16 kHz and cut into utterances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from adapters.media.resample import BLOCK_MS
from adapters.media.track import MediaTrack
from asr.pacing import Fullness, Pacer, Step, fullness, tail_ms
from asr.pressure import Level
from asr.speech import SpeechTrack
from asr.types import BYTES_PER_MS
from config.settings import LONGEST_DECODE_MS, Interims
from gateway.transcript import SAMPLES_PER_MS, Spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from adapters.media.stamped import StampClock
    from adapters.stream import AudioFrame, Peer, Track
    from asr.speech import Utterance
    from gateway.events import Source
    from gateway.routes import CallSettings


class Glimpse(msgspec.Struct, frozen=True, eq=False):
    """An utterance that is still open, as it is now, and what is worth doing about it."""

    track: CallTrack
    spoken: Spoken
    step: Step
    fullness: Fullness = Fullness.ROOM
    """How near the audio is to as much as an interim hears."""


class CallTrack:
    """Joins the media path of a track to its speech path. `zero` is the track's first moment.

    Of a `duplicate` another track carries the same speaker already; one that is not `decoded` is only counted.
    Where there are settings for `interims`, open utterances are shown as they grow, as far as the `level` of pressure
    lets them. The tracks of one stream share `stamps`.
    """

    def __init__(
        self,
        track: Track,
        *,
        call_id: str,
        source: Source,
        peer: Peer,
        settings: CallSettings,
        zero: float,
        offset_ms: int,
        duplicate: bool = False,
        decoded: bool = True,
        interims: Interims | None = None,
        level: Callable[[], Level] = lambda: Level.NORMAL,
        stamps: StampClock | None = None,
    ) -> None:
        self.track = track
        self.source = source
        self.peer = peer
        self.settings = settings
        self.duplicate = duplicate
        self.decoded = decoded
        self.live = True
        """Whether its stream has not ended."""
        self.media = MediaTrack(zero, stamps)
        self.speech = SpeechTrack(settings.speech)
        self._pacer = Pacer(interims)
        self._interims = interims or Interims()
        self._level = level
        self._call_id = call_id
        self._zero_ms = offset_ms
        self._reached_ms: int | None = None
        self._arrived_at = zero
        self._let_go = (0, 0)
        """An utterance by its number, and the sample from which on its interims hear it."""

    def push(self, frame: AudioFrame, arrived_at: float) -> Iterator[Spoken | Glimpse]:
        """Take a frame; give the utterances it ends."""
        self._arrived_at = arrived_at
        return self._hear(self.media.push(frame, arrived_at))

    def tick(self, now: float) -> Iterator[Spoken | Glimpse]:
        """Let silence pass if frames have stopped, and keep to the clock; give the utterances this ends."""
        yield from self._hear(self.media.fill(now))
        if not self.speech.speaking:
            yield from self._hear(self.media.settle(now))

    def reach(self, moment: float) -> Iterator[Spoken | Glimpse]:
        """Let silence pass up to a moment; give the utterances this ends."""
        return self._hear(self.media.reach(moment))

    def finish(self, *, end_of_turn: bool = True) -> Iterator[Spoken | Glimpse]:
        """Give what is still open when the stream has ended, or nothing more is to be heard for now."""
        yield from self._hear(self.media.finish())
        rest = self.speech.finish(end_of_turn=end_of_turn)
        if rest is not None:
            yield self._spoken(rest)

    def let_go(self, utterance: int, sample: int) -> None:
        """Let the interims of an utterance hear it from a sample on; what is told of an earlier one changes nothing."""
        self._let_go = max(self._let_go, (utterance, sample))

    def __str__(self) -> str:
        rest = (
            f"webrtcvad({self.settings.speech.vad_aggressiveness}) -> utterances" if self.decoded else "(not decoded)"
        )
        return f"{self.media} -> {rest}"

    def _hear(self, blocks: Iterable[bytes]) -> Iterator[Spoken | Glimpse]:
        for block in blocks:
            if not self.decoded:
                self._zero_ms += BLOCK_MS  # should it be decoded from here on, its speech begins here
                continue
            utterance = self.speech.push(block, self._arrived_at)
            if utterance is not None:
                yield self._spoken(utterance)
            elif self.speech.speaking:
                yield from self._while_speaking()

    def _while_speaking(self) -> Iterator[Glimpse]:
        speech = self.speech
        step = self._pacer.step(speech.utterances, speech.spoken_blocks, speech.silent_blocks, self._level)
        if step is Step.INTERIM:
            yield self._interim()
        elif step is not None:
            yield Glimpse(self, self._place(speech.snapshot(LONGEST_DECODE_MS)), step)

    def _interim(self) -> Glimpse:
        level = self._level()
        utterance, sample = self._let_go
        heard = self.speech.snapshot(
            tail_ms(self._interims, level), sample if utterance == self.speech.utterances else 0
        )
        full = fullness(len(heard.audio) // BYTES_PER_MS, self._interims, level)
        return Glimpse(self, self._place(heard), Step.INTERIM, full)

    def _spoken(self, utterance: Utterance) -> Spoken:
        spoken = self._place(utterance)
        self._reached_ms = spoken.end_ms
        return spoken

    def _place(self, utterance: Utterance) -> Spoken:
        """Put an utterance on the call's clock."""
        # The clock is put back as the track begins, and between utterances; none begins before the last has ended.
        offset_ms = self._zero_ms - self.media.put_back_ms
        if self._reached_ms is not None:
            offset_ms += max(0, self._reached_ms - offset_ms - utterance.start_sample // SAMPLES_PER_MS)
        return Spoken(
            utterance_id=f"{self._call_id}_{self.track.id}_{utterance.number}",
            track=self.track,
            source=self.source,
            peer=self.peer,
            settings=self.settings,
            utterance=utterance,
            offset_ms=offset_ms,
        )
