"""What simulated calls play: files, read as the sound of one speaker."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from adapters.media.g711 import decoder
from adapters.stream import Encoding
from gateway.callers.plan import RATE_HZ

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class AudioFileError(Exception):
    """A file that cannot be played; the text names it and says what can be."""


def read_audio(path: Path, rate_hz: int = RATE_HZ) -> bytes:
    """Read a WAV file of any rate, or raw mu-law at 8 kHz, as 16-bit mono PCM. Raises AudioFileError."""
    try:
        if path.suffix.lower() == ".wav":
            return _read_wav(path, rate_hz)
        samples = np.frombuffer(decoder(Encoding.PCMU)(path.read_bytes()), "<i2").astype(np.float64)
        return _to_pcm(samples, RATE_HZ, rate_hz)
    except OSError as error:
        raise AudioFileError(f"{path}: {error.strerror}") from error
    except (wave.Error, EOFError, ValueError) as error:
        reason = str(error) or "it is cut short"
        raise AudioFileError(
            f"{path}: expected a WAV file of 8 or 16 bit PCM, or raw mu-law at 8 kHz: {reason}"
            f" (sox {path.name} -b 16 -e signed out.wav makes one)"
        ) from error


def stereo(left: bytes, right: bytes) -> bytes:
    """Interleave two speakers' 16-bit PCM; the shorter is followed by silence."""
    return _side_by_side(left, right).astype("<i2").tobytes()


def mixed(first: bytes, second: bytes) -> bytes:
    """Let two speakers' 16-bit PCM be heard as one, clipped where it is too loud."""
    pcm: bytes = np.clip(_side_by_side(first, second).sum(axis=1), -32768, 32767).astype("<i2").tobytes()
    return pcm


def _side_by_side(left: bytes, right: bytes) -> NDArray[np.int32]:
    samples = [np.frombuffer(pcm, "<i2").astype(np.int32) for pcm in (left, right)]
    length = max(map(len, samples))
    return np.stack([np.pad(each, (0, length - len(each))) for each in samples], axis=1)


def _read_wav(path: Path, wanted_hz: int) -> bytes:
    with wave.open(str(path), "rb") as file:
        rate_hz, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        data = file.readframes(file.getnframes())
    match width:
        case 1:
            samples = (np.frombuffer(data, np.uint8).astype(np.float64) - 128) * 256
        case 2:
            samples = np.frombuffer(data, "<i2").astype(np.float64)
        case _:
            raise ValueError(f"{width * 8} bits a sample; 8 and 16 can be played")
    return _to_pcm(samples.reshape(-1, channels).mean(axis=1), rate_hz, wanted_hz)


def _to_pcm(mono: NDArray[np.float64], rate_hz: int, wanted_hz: int) -> bytes:
    if rate_hz != wanted_hz:
        mono = signal.resample_poly(mono, wanted_hz, rate_hz)
    pcm: bytes = np.clip(np.rint(mono), -32768, 32767).astype("<i2").tobytes()
    return pcm
