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


class AudioFileError(Exception):
    """A file that cannot be played; the text names it and says what can be."""


def read_audio(path: Path) -> bytes:
    """Read a WAV file of any rate, or raw mu-law at 8 kHz, as 16-bit mono PCM at 8 kHz. Raises AudioFileError."""
    try:
        if path.suffix.lower() == ".wav":
            return _read_wav(path)
        return decoder(Encoding.PCMU)(path.read_bytes())
    except OSError as error:
        raise AudioFileError(f"{path}: {error.strerror}") from error
    except (wave.Error, EOFError, ValueError) as error:
        reason = str(error) or "it is cut short"
        raise AudioFileError(
            f"{path}: expected a WAV file of 8 or 16 bit PCM, or raw mu-law at 8 kHz: {reason}"
            f" (sox {path.name} -b 16 -e signed out.wav makes one)"
        ) from error


def _read_wav(path: Path) -> bytes:
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
    mono = samples.reshape(-1, channels).mean(axis=1)
    if rate_hz != RATE_HZ:
        mono = signal.resample_poly(mono, RATE_HZ, rate_hz)
    pcm: bytes = np.clip(np.rint(mono), -32768, 32767).astype("<i2").tobytes()
    return pcm
