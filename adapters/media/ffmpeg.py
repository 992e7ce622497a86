"""Audio out of any file that FFmpeg reads, which PyAV brings along; as a stream, so that length is no matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from adapters.media.audio_file import BLOCK_BYTES, MediaFileError, UnknownFormatError
from adapters.media.reframe import Reframer
from adapters.media.resample import OUTPUT_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from av.container.input import InputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

HOLE_SECONDS = 0.1
"""Stamps are uneven by less. More is audio that the file does not have; silence keeps what follows in its place."""

LONGEST_HOLE_SECONDS = 3600.0
"""Stamps that leap farther are wrong themselves; so are those that leap back by a second."""

CUT_SHORT_SECONDS, CUT_SHORT_PART = 2.0, 0.02
"""A file shorter by both than it announces has lost its end."""

UNKNOWN = "in no audio or video format that can be read, or cut short"

ESTIMATED = frozenset({"aac"})
"""Formats whose length is guessed from their first packets."""


class MediaFile:
    """An AudioFile of the best audio stream of a recording or video.

    `split` makes a track of each channel; otherwise all are mixed into one. Raises MediaFileError.
    """

    def __init__(self, path: Path, *, split: bool) -> None:
        self._container = _open(path)
        self._stream = _best(self._container)
        channels = self._stream.layout.nb_channels
        # FFmpeg would take three unnamed channels for stereo with a subwoofer, and leave the third out.
        self._average = not split and self._stream.layout.name == f"{channels} channels"
        self._layout = self._stream.layout if split or self._average else "mono"
        self._rows = channels if split or self._average else 1
        self.tracks = channels if split else 1
        self._resampler: av.AudioResampler | None = None
        self._form: tuple[str, str, int] | None = None
        self._zero: float | None = None
        if self._container.start_time is not None:
            self._zero = self._container.start_time / av.time_base
        self._seconds = 0.0
        self._gap_seconds = 0.0
        self._heard = False
        self._lost = _Lost()

    @property
    def duration_seconds(self) -> float | None:
        """How long the file says it is; None where it does not."""
        return None if self._container.duration is None else self._container.duration / av.time_base

    @property
    def gap_seconds(self) -> float:
        """What was missing so far between the first sound and the last."""
        return self._gap_seconds

    def blocks(self) -> Iterator[tuple[bytes, ...]]:
        """Give the audio as it is decoded. What cannot be decoded is left out, and told at the end."""
        cutters = [Reframer(BLOCK_BYTES) for _ in range(self.tracks)]
        for samples in self._samples():
            cut = (cutter.push(row.tobytes()) for cutter, row in zip(cutters, samples, strict=True))
            yield from zip(*cut, strict=True)
        rest = tuple(cutter.finish() for cutter in cutters)
        if all(rest):
            yield rest
        self._complain()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def _samples(self) -> Iterator[NDArray[np.int16]]:
        """Give samples at 16 kHz, a row for each track."""
        for frame in self._frames():
            if hole := self._hole(frame):
                yield from self._flush()
                yield from self._silence(hole)
            yield from self._resample(frame)
        yield from self._flush()

    def _frames(self) -> Iterator[AudioFrame]:
        for packet in self._packets():
            yield from self._decode(packet)

    def _packets(self) -> Iterator[Packet[av.AudioStream]]:
        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError as error:
            self._lost.note(self._seconds, error)

    def _decode(self, packet: Packet[av.AudioStream]) -> list[AudioFrame]:
        try:
            return packet.decode()
        except av.FFmpegError as error:
            self._lost.note(self._seconds, error)
            return []

    def _hole(self, frame: AudioFrame) -> float:
        """Tell how many seconds are missing before a frame, by its stamp."""
        if frame.time is None:
            return 0.0
        if self._zero is None:
            self._zero = frame.time
        hole = frame.time - self._zero - self._seconds
        if not -1.0 < hole < LONGEST_HOLE_SECONDS:
            self._zero += hole
        return hole if HOLE_SECONDS < hole < LONGEST_HOLE_SECONDS else 0.0

    def _silence(self, seconds: float) -> Iterator[NDArray[np.int16]]:
        self._seconds += seconds
        if self._heard:
            self._gap_seconds += seconds
        missing = round(seconds * OUTPUT_RATE_HZ)
        for start in range(0, missing, OUTPUT_RATE_HZ):
            yield np.zeros((self.tracks, min(OUTPUT_RATE_HZ, missing - start)), np.int16)

    def _resample(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if form != self._form:  # some streams change in the middle
            yield from self._flush()
            self._form = form
        if self._resampler is None:
            self._resampler = av.AudioResampler("s16", self._layout, OUTPUT_RATE_HZ)
        self._heard = True
        self._seconds += frame.samples / frame.sample_rate
        frame.pts = None  # time is kept above
        for resampled in self._resampler.resample(frame):
            yield self._by_track(resampled)

    def _flush(self) -> Iterator[NDArray[np.int16]]:
        """Give what the resampler holds back."""
        if self._resampler is not None:
            for resampled in self._resampler.resample(None):
                yield self._by_track(resampled)
            self._resampler = None

    def _by_track(self, frame: AudioFrame) -> NDArray[np.int16]:
        # Interleaved, for PyAV 18 reads beyond its memory where more than seven channels stand apart.
        rows = frame.to_ndarray().reshape(-1, self._rows).T.astype(np.int16, copy=False)
        return np.rint(rows.mean(axis=0, keepdims=True)).astype(np.int16) if self._average else rows

    def _complain(self) -> None:
        if not self._heard:
            raise MediaFileError("none of its audio can be decoded")
        if self._lost.packets:
            raise MediaFileError(str(self._lost))
        announced = self._stream.duration
        if announced is None or self._stream.time_base is None or self._container.format.name in ESTIMATED:
            return
        seconds = float(announced * self._stream.time_base)
        if seconds - self._seconds > max(CUT_SHORT_SECONDS, seconds * CUT_SHORT_PART):
            raise MediaFileError(f"cut short: it ends after {self._seconds:.1f} s of {seconds:.1f} s")


class _Lost:
    """What could not be decoded."""

    def __init__(self) -> None:
        self.packets = 0
        self._first = ""

    def note(self, at_seconds: float, error: av.FFmpegError) -> None:
        self.packets += 1
        self._first = self._first or f"damaged at {at_seconds:.1f} s ({error.strerror})"

    def __str__(self) -> str:
        return f"{self._first}: {self.packets} packet{'s'[: self.packets > 1]} left out"


def _open(path: Path) -> InputContainer:
    try:
        # By `file:` a name with a colon is no address, and a playlist cannot lead out to the network.
        return av.open(f"file:{path}", metadata_errors="ignore")
    except av.InvalidDataError as error:
        raise UnknownFormatError(UNKNOWN) from error
    except av.FFmpegError as error:
        raise MediaFileError(error.strerror) from error


def _best(container: InputContainer) -> av.AudioStream:
    """Choose the stream that a player would."""
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream):
        container.close()
        if container.format.name == "image2":  # a picture, or what it takes for one by the name `.raw` alone
            raise UnknownFormatError(UNKNOWN)
        raise MediaFileError("there is no audio in it")
    return stream
