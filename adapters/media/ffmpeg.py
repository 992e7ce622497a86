"""Audio out of any file that FFmpeg reads, which PyAV brings along; as a stream, so that length is no matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np

from adapters.media.audio_file import BLOCK_BYTES, MediaFileError, UnknownFormatError
from adapters.media.lengths import mp3_tells, riff_excess
from adapters.media.reframe import Reframer
from adapters.media.resample import OUTPUT_RATE_HZ
from adapters.media.stamps import Stamps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from av.container.input import InputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

CUT_SHORT_SECONDS, CUT_SHORT_PART = 2.0, 0.02
"""A file shorter by both than it announces has lost its end."""

LOWEST_RATE_HZ = 1_000
"""Less carries no speech, and would make hours of a few bytes."""

UNKNOWN = "in no audio or video format that can be read, or cut short"

TELLING = frozenset({"aiff", "ape", "au", "flac", "mov,mp4,m4a,3gp,3g2,mj2", "rm", "tak", "tta", "wv"})
"""Formats whose header has the length of each stream. That of the others is guessed from what is there."""

TELLING_OF_ALL = frozenset({"flv", "matroska,webm"})
"""Formats whose header has the length of the longest stream; where FFmpeg knows that of each, it is a guess."""

GUESSED_BY_SIZE = frozenset({"avi", "mp3", "wav"})
"""Formats that are asked again, see `lengths`."""

PLAIN_FORMATS = (
    "3gp,aac,ac3,ac4,act,aea,aiff,amr,amrnb,amrwb,ape,asf,asf_o,ast,au,avi,avr,caf,codec2,dhav,dsf,dss,dts,dtshd,dv,eac3,"
    "flac,flv,g722,g723_1,g726,g726le,g729,gsm,gxf,hcom,iff,ilbc,ircam,ivr,kux,lc3,live_flv,loas,lvf,matroska,mlp,mmf,mov,"
    "mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nsv,nut,ogg,oma,paf,pvf,qcp,rm,sbc,sds,shn,smjpeg,sox,spdif,swf,tak,truehd,"
    "tta,ty,voc,w64,wav,wsd,wtv,wv,xa,xwma"
)
"""What holds its audio itself. Playlists and their like (concat, hls, dash, sdp, image2 ...) would have other files
of this machine read, by whoever sends one; so they are not even begun."""

# Tags that are no UTF-8 are not for us. From PyAV 19 on they do no harm, and it knows no such option.
UNREADABLE_TAGS: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}  # noqa: PLR2004


class MediaFile:
    """An AudioFile of the best audio stream of a recording or video.

    `split` makes a track of each channel; otherwise all are mixed into one. Raises MediaFileError.
    """

    def __init__(self, path: Path, *, split: bool) -> None:
        self._path = path
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
        start = self._container.start_time
        self._stamps = Stamps(None if start is None else start / av.time_base)
        self._furthest = 0.0
        """The last stamp of all streams."""
        self._heard = False
        self._lost = _Lost()

    @property
    def duration_seconds(self) -> float | None:
        """How long the file says it is; None where it does not."""
        return None if self._container.duration is None else self._container.duration / av.time_base

    @property
    def gap_seconds(self) -> float:
        """What was missing so far between the first sound and the last."""
        return self._stamps.gap_seconds

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
            if hole := self._stamps.hole(frame.time):
                yield from self._flush()
                yield from self._silence(hole)
            yield from self._resample(frame)
        yield from self._flush()

    def _frames(self) -> Iterator[AudioFrame]:
        for packet in self._packets():
            yield from self._decode(packet)

    def _packets(self) -> Iterator[Packet[Any]]:
        """Give the audio's packets; of the others only their stamps matter."""
        try:
            for packet in self._container.demux():
                self._note_stamp(packet)
                if packet.stream.index == self._stream.index:
                    yield packet
        except av.FFmpegError as error:
            self._lost.note_end(self._stamps.seconds, error)
        except IndexError:  # how PyAV 18 may end, after all of ours, where a stream has begun in the middle
            return

    def _note_stamp(self, packet: Packet[Any]) -> None:
        if packet.pts is not None and packet.time_base is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._furthest = max(self._furthest, end)

    def _decode(self, packet: Packet[Any]) -> list[AudioFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError as error:
            self._lost.note(self._stamps.seconds, error)
            return []

    def _silence(self, seconds: float) -> Iterator[NDArray[np.int16]]:
        missing = round(seconds * OUTPUT_RATE_HZ)
        for start in range(0, missing, OUTPUT_RATE_HZ):
            yield np.zeros((self.tracks, min(OUTPUT_RATE_HZ, missing - start)), np.int16)

    def _resample(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if form != self._form:  # some streams change in the middle
            yield from self._flush()
            self._form = form
        if frame.sample_rate < LOWEST_RATE_HZ:
            raise MediaFileError(f"no speech can be in it: its sample rate is {frame.sample_rate} Hz")
        if self._resampler is None:
            self._resampler = av.AudioResampler("s16", self._layout, OUTPUT_RATE_HZ)
        self._heard = True
        self._stamps.place(frame.samples / frame.sample_rate)
        frame.pts = None  # time is kept by the stamps
        for resampled in _converted(self._resampler, frame):
            yield self._by_track(resampled)

    def _flush(self) -> Iterator[NDArray[np.int16]]:
        """Give what the resampler holds back."""
        if self._resampler is not None:
            for resampled in _converted(self._resampler, None):
                yield self._by_track(resampled)
            self._resampler = None

    def _by_track(self, frame: AudioFrame) -> NDArray[np.int16]:
        # Interleaved, for PyAV 18 reads beyond its memory where more than seven channels stand apart.
        rows = frame.to_ndarray().reshape(-1, self._rows).T.astype(np.int16, copy=False)
        return np.rint(rows.mean(axis=0, keepdims=True)).astype(np.int16) if self._average else rows

    def _complain(self) -> None:
        if not self._heard:
            raise MediaFileError("none of its audio can be decoded")
        if faults := self._lost.faults(self._stamps, self._missing_end()):
            raise MediaFileError("; ".join(faults))

    def _missing_end(self) -> float | None:
        """Tell how long it should be, if it is shorter."""
        seconds = self._announced()
        if seconds is None:
            return None
        missing = seconds - max(self._stamps.seconds, self._furthest)
        return seconds if missing > max(CUT_SHORT_SECONDS, seconds * CUT_SHORT_PART) else None

    def _announced(self) -> float | None:
        """Tell how long the file says it is, where that is no guess."""
        name, duration, base = self._container.format.name, self._stream.duration, self._stream.time_base
        if name in TELLING_OF_ALL:
            return self.duration_seconds if duration is None else None
        each = None if duration is None or base is None else float(duration * base)
        if name in GUESSED_BY_SIZE:
            return self._by_header(name, each)
        return each if name in TELLING else None

    def _by_header(self, name: str, guess: float | None) -> float | None:
        try:
            if not self._path.is_file():
                return guess  # and is none: FFmpeg sees no size of a pipe to guess by
            with self._path.open("rb") as file:
                if name == "mp3":
                    return guess if mp3_tells(file) else None
                excess = riff_excess(file)
        except OSError:  # it has gone, or has been taken away, since it was opened
            return None
        return None if excess is None else self._stamps.seconds * excess


class _Lost:
    """What could not be read or decoded."""

    def __init__(self) -> None:
        self._packets = 0
        self._first = ""
        self._end = ""

    def note(self, at_seconds: float, error: av.FFmpegError) -> None:
        self._packets += 1
        self._first = self._first or f"damaged at {at_seconds:.1f} s ({error.strerror})"

    def note_end(self, at_seconds: float, error: av.FFmpegError) -> None:
        self._end = f"nothing after {at_seconds:.1f} s could be read ({error.strerror})"

    def faults(self, stamps: Stamps, announced_seconds: float | None) -> list[str]:
        """Name everything; `announced_seconds` is how long it should be, if its end is missing."""
        faults = []
        if self._packets:
            faults.append(f"{self._first}: {self._packets} packet{'s'[: self._packets > 1]} left out")
        if stamps.astray_seconds is not None:
            faults.append(f"its stamps leap too often: from {stamps.astray_seconds:.1f} s on its times are too early")
        if self._end:
            faults.append(self._end)
        if announced_seconds is not None:
            faults.append(f"cut short: it ends after {stamps.seconds:.1f} s of {announced_seconds:.1f} s")
        return faults


def _converted(resampler: av.AudioResampler, frame: AudioFrame | None) -> list[AudioFrame]:
    try:
        return resampler.resample(frame)
    except av.FFmpegError as error:
        raise MediaFileError(f"its audio cannot be converted ({error.strerror})") from error


def _open(path: Path) -> InputContainer:
    options = {"format_whitelist": PLAIN_FORMATS, "protocol_whitelist": "file"}
    try:
        # By `file:` a name with a colon is no address.
        container: InputContainer = av.open(f"file:{path}", options=options, **UNREADABLE_TAGS)
    except (av.InvalidDataError, av.ArgumentError) as error:  # the second for what is not on the list
        raise UnknownFormatError(UNKNOWN) from error
    except av.FFmpegError as error:
        raise MediaFileError(error.strerror) from error
    return container


def _best(container: InputContainer) -> av.AudioStream:
    """Choose the stream that a player would."""
    stream = container.streams.best("audio")
    if isinstance(stream, av.AudioStream) and stream.codec_context is not None:
        return stream
    container.close()
    if isinstance(stream, av.AudioStream):
        raise MediaFileError("there is no decoder for its audio")
    raise MediaFileError("there is no audio in it")
