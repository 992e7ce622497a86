"""The media path of one track: a chain built once per format, which can print itself."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from adapters.media.g711 import decoder
from adapters.media.reframe import Reframer
from adapters.media.resample import BLOCK_MS, BLOCKS_PER_SECOND, OUTPUT_RATE_HZ, Resampler
from adapters.media.stamped import StampClock, StampedTimeline
from adapters.media.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from adapters.media.stamped import Piece
    from adapters.stream import AudioFormat, AudioFrame


class MediaTrack:
    """Turns one track's frames into continuous mono 16 kHz PCM: 16-bit little-endian blocks of 20 ms.

    `zero` is the moment, on the clock of arrivals, at which the track's time begins. The format may change
    from frame to frame; what was heard before it stays in its place. From the first frame with a stamp on, stamps
    are the clock; the tracks of one stream share their `stamps`.
    """

    def __init__(self, zero: float, stamps: StampClock | None = None) -> None:
        self._zero = zero
        self._stamps = stamps
        self._timeline = Timeline(zero)
        self._stamped: StampedTimeline | None = None
        self._chain: _Chain | None = None
        self.frames = 0
        """Received."""
        self._audio_seconds = 0.0
        self._put_back_seconds = 0.0

    @property
    def audio_ms(self) -> int:
        """Audio received, without what came too late."""
        return round(self._audio_seconds * 1000) - self.late_ms

    @property
    def gap_ms(self) -> int:
        """Holes that were made up with silence."""
        return round(self._clock.gap_seconds * 1000)

    @property
    def late_ms(self) -> int:
        """Audio that came after what follows it was heard, and was dropped."""
        return round(self._stamped.late_seconds * 1000) if self._stamped else 0

    @property
    def late_frames(self) -> int:
        """In how many frames that came."""
        return self._stamped.late_frames if self._stamped else 0

    @property
    def put_back_ms(self) -> int:
        """By how much the blocks given so far are more than their time.

        That is silence that late audio made needless, and what was said before the track's first moment.
        """
        return round(self._put_back_seconds * 1000)

    @property
    def format(self) -> AudioFormat | None:
        """What the last frame held; None before the first."""
        return self._chain.format if self._chain else None

    def push(self, frame: AudioFrame, arrived_at: float) -> Iterable[bytes]:
        """Take a frame; give the blocks that can be given now."""
        self.frames += 1
        if frame.wire_ms is not None or self._stamped is not None:
            return self._push_stamped(frame, arrived_at)
        before: Iterable[bytes] = ()
        current = self._chain
        if current is None or frame.format is not current.format:
            current, before = self._change(frame.format)
        seconds = frame.format.seconds(frame.payload)
        self._audio_seconds += seconds
        self._put_back_seconds += self._timeline.place(seconds, arrived_at)
        blocks = current.push(frame.payload)
        return chain(before, blocks) if before else blocks

    def fill(self, now: float) -> Iterable[bytes]:
        """Give what has waited long enough, and blocks of silence if frames have stopped."""
        waited = self._append(self._stamped.due(now)) if self._stamped else ()
        return [*waited, *self._silence(self._clock.fill(now))]

    def reach(self, moment: float) -> Iterable[bytes]:
        """Give the silence that is missing up to a moment, after what waits."""
        return [*self._flush(), *self._silence(self._clock.reach(moment))]

    def settle(self, now: float) -> Iterable[bytes]:
        """Agree with the clock again, to be called while nobody speaks; give the silence that this takes."""
        seconds = self._clock.settle(now)
        if seconds < 0:
            self._put_back_seconds -= seconds
        return self._silence(seconds)

    def finish(self) -> Iterable[bytes]:
        """Give what is left when the stream has ended: what waits, and at most one block, filled up with silence."""
        return [*self._flush(), *self._finish_block()]

    def __str__(self) -> str:
        if self._chain is None:
            return "(no audio yet)"
        return f"{self._chain.format} -> {self._clock} -> {OUTPUT_RATE_HZ} -> {BLOCK_MS} ms"

    @property
    def _clock(self) -> Timeline | StampedTimeline:
        return self._stamped or self._timeline

    def _push_stamped(self, frame: AudioFrame, arrived_at: float) -> Iterable[bytes]:
        if self._stamped is None:
            self._stamped = self._begin_stamped(frame.format)
        seconds = frame.format.seconds(frame.payload)
        self._audio_seconds += seconds
        return self._append(self._stamped.place(frame, seconds, arrived_at))

    def _begin_stamped(self, form: AudioFormat) -> StampedTimeline:
        self._chain = self._chain or _Chain(form)
        before = self._timeline
        return StampedTimeline(self._stamps or StampClock(), self._zero, before.position, before.filled_seconds)

    def _append(self, pieces: Sequence[Piece]) -> Iterable[bytes]:
        if len(pieces) == 1:  # nearly every frame
            return self._append_piece(*pieces[0])
        return [block for piece in pieces for block in self._append_piece(*piece)]

    def _append_piece(self, silence: float, frame: AudioFrame) -> Iterable[bytes]:
        current, before = self._change(frame.format)
        if silence:
            before = [*before, *current.push_silence(silence)]
        blocks = current.push(frame.payload)
        return chain(before, blocks) if before else blocks

    def _flush(self) -> Iterable[bytes]:
        return self._append(self._stamped.flush()) if self._stamped else ()

    def _finish_block(self) -> Iterable[bytes]:
        if self._chain is None:
            return ()
        self._clock.pad(self._chain.missing_seconds)
        return self._chain.finish()

    def _change(self, form: AudioFormat) -> tuple[_Chain, list[bytes]]:
        if self._chain is not None and form == self._chain.format:
            return self._chain, []
        rest = list(self._finish_block())
        self._chain = _Chain(form)
        return self._chain, rest

    def _silence(self, seconds: float) -> Iterable[bytes]:
        if seconds <= 0:
            return ()
        if self._chain is None:
            return [bytes(OUTPUT_RATE_HZ // BLOCKS_PER_SECOND * 2)] * round(seconds * BLOCKS_PER_SECOND)
        return self._chain.push_silence(seconds)


class _Chain:
    """Everything that depends on the format of the frames."""

    def __init__(self, form: AudioFormat) -> None:
        self.format = form
        self._decode = decoder(form.encoding)
        self._reframer = Reframer(form.rate_hz // BLOCKS_PER_SECOND * 2)
        self._resample = Resampler(form.rate_hz).push if form.rate_hz != OUTPUT_RATE_HZ else None

    def push(self, payload: bytes) -> Iterator[bytes]:
        return self.push_linear(self._decode(payload))

    def push_silence(self, seconds: float) -> Iterator[bytes]:
        return self.push_linear(bytes(2 * round(seconds * self.format.rate_hz)))

    def push_linear(self, pcm: bytes) -> Iterator[bytes]:
        blocks = self._reframer.push(pcm)
        return map(self._resample, blocks) if self._resample else blocks

    @property
    def missing_seconds(self) -> float:
        """What the block that has begun lacks; zero when none has."""
        return self._reframer.missing_bytes / 2 / self.format.rate_hz

    def finish(self) -> Iterator[bytes]:
        rest = self._reframer.finish()
        return self.push_linear(rest) if rest else iter(())
