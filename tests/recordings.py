"""Recordings for tests: samples written as files of every kind."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import av
import numpy as np

from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def tone(hz: float, seconds: float, rate_hz: int = 8_000) -> NDArray[np.int16]:
    """Make a tone of half the loudness that there is."""
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    samples: NDArray[np.int16] = np.rint(16_000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)
    return samples


def side_by_side(*channels: NDArray[np.int16]) -> NDArray[np.int16]:
    """Make rows of one length, by silence."""
    length = max(map(len, channels))
    return np.stack([np.pad(each, (0, length - len(each))) for each in channels])


def said(name: str, *, after_seconds: float = 0.0) -> NDArray[np.int16]:
    """Read a prompt at 8 kHz, after silence and before a second of it."""
    pcm = np.frombuffer(prompt(name), "<i2").astype(np.int16)
    return np.pad(pcm, (round(after_seconds * 8_000), 8_000))


def write_wav(path: Path, channels: NDArray[np.int16], rate_hz: int = 8_000) -> Path:
    """Write rows as the channels of a WAV file."""
    rows = np.atleast_2d(channels)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(rows))
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(rows.T.astype("<i2").tobytes())
    return path


def write_encoded(
    path: Path, codec: str, channels: NDArray[np.int16], rate_hz: int, *, hole_seconds: float = 0.0
) -> Path:
    """Encode rows at `rate_hz`; a hole is a leap of the stamps in the middle."""
    rows = np.atleast_2d(channels)
    layout = "stereo" if len(rows) == 2 else "mono"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        into = av.AudioResampler(stream.codec_context.format.name, layout, rate_hz)
        half, step = rows.shape[1] // 2, rate_hz // 10
        for start in range(0, rows.shape[1], step):
            piece = np.ascontiguousarray(rows[:, start : start + step].T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(piece, "s16", layout)
            frame.sample_rate = rate_hz
            for converted in into.resample(frame):
                converted.pts = start + (round(hole_seconds * rate_hz) if start >= half else 0)
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def write_video(
    path: Path, *, sound: NDArray[np.int16] | None = None, sound_after_seconds: float = 0.0, rate_hz: int = 8_000
) -> Path:
    """Write half a second of video, without sound or with some that may begin later."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=rate_hz, layout="mono") if sound is not None else None
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
        container.mux(stream.encode(None))
        if isinstance(audio, av.AudioStream) and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), "s16", "mono")
            frame.sample_rate = rate_hz
            frame.pts = round(sound_after_seconds * rate_hz)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path
