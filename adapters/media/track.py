"""The media path of one track: a chain built once per format, which can print itself."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from adapters.media.g711 import decoder
from adapters.media.reframe import Reframer
from adapters.media.resample import BLOCK_MS, BLOCKS_PER_SECOND, OUTPUT_RATE_HZ, Resampler
from adapters.media.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from adapters.stream import AudioFormat, AudioFrame


class MediaTrack:
    """Turns one track's frames into continuous mono 16 kHz PCM: 16-bit little-endian blocks of 20 ms.

    `zero` is the moment, on the clock of arrivals, at which the track's time begins. The format may change
    from frame to frame; what was heard before it stays in its place.
    """

    def __init__(self, zero: float) -> None:
        self._timeline = Timeline(zero)
        self._chain: _Chain | None = None
        self._audio_seconds = 0.0
        self._put_back_seconds = 0.0

    @property
    def audio_ms(self) -> int:
        """Audio received."""
        return round(self._audio_seconds * 1000)

    @property
    def gap_ms(self) -> int:
        """Holes that were made up with silence."""
        return round(self._timeline.gap_seconds * 1000)

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
        """Take a frame; give the blocks it completes."""
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
        """Give blocks of silence if frames have stopped."""
        return self._silence(self._timeline.fill(now))

    def reach(self, moment: float) -> Iterable[bytes]:
        """Give the silence that is missing up to a moment."""
        return self._silence(self._timeline.reach(moment))

    def settle(self, now: float) -> Iterable[bytes]:
        """Agree with the clock again, to be called while nobody speaks; give the silence that this takes."""
        seconds = self._timeline.settle(now)
        if seconds < 0:
            self._put_back_seconds -= seconds
        return self._silence(seconds)

    def finish(self) -> Iterable[bytes]:
        """Give what is left when the stream has ended: at most one block, filled up with silence."""
        if self._chain is None:
            return ()
        self._timeline.pad(self._chain.missing_seconds)
        return self._chain.finish()

    def __str__(self) -> str:
        return str(self._chain) if self._chain else "(no audio yet)"

    def _change(self, form: AudioFormat) -> tuple[_Chain, list[bytes]]:
        if self._chain is not None and form == self._chain.format:
            return self._chain, []
        rest = list(self.finish())
        self._chain = _Chain(form)
        return self._chain, rest

    def _silence(self, seconds: float) -> Iterable[bytes]:
        if seconds <= 0:
            return ()
        if self._chain is None:
            return _silence(OUTPUT_RATE_HZ, seconds)
        return self._chain.push_linear(b"".join(_silence(self._chain.format.rate_hz, seconds)))


def _silence(rate_hz: int, seconds: float) -> list[bytes]:
    block = bytes(rate_hz // BLOCKS_PER_SECOND * 2)
    return [block] * round(seconds * BLOCKS_PER_SECOND)


class _Chain:
    """Everything that depends on the format of the frames."""

    def __init__(self, form: AudioFormat) -> None:
        self.format = form
        self._decode = decoder(form.encoding)
        self._reframer = Reframer(form.rate_hz // BLOCKS_PER_SECOND * 2)
        self._resample = Resampler(form.rate_hz).push if form.rate_hz != OUTPUT_RATE_HZ else None

    def push(self, payload: bytes) -> Iterator[bytes]:
        return self.push_linear(self._decode(payload))

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

    def __str__(self) -> str:
        return f"{self.format} -> timeline -> {OUTPUT_RATE_HZ} -> {BLOCK_MS} ms"
