"""The prompts that Asterisk ships at 8 and at 16 kHz, with their texts, through our own media path."""

from __future__ import annotations

import audioop
import gzip
import re
import wave
from contextlib import closing
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from adapters.media.audio_file import MediaFileError
from adapters.media.files import open_audio
from adapters.media.track import MediaTrack
from adapters.stream import AudioFrame
from bench.utterances import PCMU, Utterance
from gateway.demo.score import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

FEWEST_WORDS = 3
LONGEST_SECONDS = 30.0
"""Whisper hears so much at a time."""

RATE_HZ = 8_000
FRAME_MS = 20
FRAME_BYTES = 160
"""Of mu-law at 8 kHz."""

SHIPPED_IN = "asterisk-core-sounds-en-wav and asterisk-core-sounds-en-g722"
TEXTS_SHIPPED_IN = "asterisk-core-sounds-en"

_SPOKEN = re.compile(r"[A-Za-z\s.,;:!?'\-]+")
"""What can be counted as words: no digits, no symbols, no <stage directions> or [tones]."""


class BandError(Exception):
    """Material that is not there; the text names the package that brings it."""


class Prompt(Utterance, frozen=True, kw_only=True):
    """One prompt in both bands. `audio` is that of 16 kHz."""

    mu_law: bytes
    """As a telephone sends it: 8 kHz, one byte a sample."""


def parse_texts(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give name and text of each prompt that can be scored: three words or more, and nothing but words."""
    for line in lines:
        name, colon, text = line.strip().partition(":")
        said = text.strip()
        if colon and not name.startswith(";") and _SPOKEN.fullmatch(said) and len(words(said)) >= FEWEST_WORDS:
            yield name, said


def read_texts(file: Path) -> list[tuple[str, str]]:
    """Read the texts, packed or not. Raises BandError."""
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
    except (OSError, ValueError, EOFError) as error:
        raise BandError(f"{file}: expected the texts of Debian's {TEXTS_SHIPPED_IN} (--texts): {error}") from error
    return list(parse_texts(text.splitlines()))


def read_prompts(sounds: Path, texts: Path) -> list[Prompt]:
    """Read every prompt that has a text and both recordings. Raises BandError where there is none."""
    prompts = []
    for name, text in read_texts(texts):
        wide, narrow = sounds / f"{name}.g722", sounds / f"{name}.wav"
        if wide.exists() and narrow.exists():
            prompts.append(Prompt(name=name, text=text, audio=_wide(wide), mu_law=_narrow(narrow)))
    short_enough = [each for each in prompts if len(each.mu_law) <= LONGEST_SECONDS * RATE_HZ]
    if not short_enough:
        raise BandError(f"{sounds}: expected .wav and .g722 of the same prompts, from Debian's {SHIPPED_IN} (--sounds)")
    return short_enough


def _wide(path: Path) -> bytes:
    try:
        with closing(open_audio(path)) as file:
            return b"".join(block for (block,) in file.blocks())
    except MediaFileError as error:
        raise BandError(f"{path}: {error}") from error


def _narrow(path: Path) -> bytes:
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE_HZ, 1, 2):
                raise BandError(f"{path}: expected 16-bit mono at 8 kHz")
            return audioop.lin2ulaw(file.readframes(file.getnframes()), 2)
    except (OSError, EOFError, wave.Error) as error:
        raise BandError(f"{path}: {error}") from error


def narrowed(audio: bytes) -> bytes:
    """Make mu-law at 8 kHz of PCM at 16 kHz."""
    return mu_law_of(np.frombuffer(audio, "<i2").astype(np.float64), 16_000)


def mu_law_of(samples: NDArray[np.float64], rate_hz: int) -> bytes:
    """Make mu-law at 8 kHz of samples at any rate."""
    ratio = Fraction(RATE_HZ, rate_hz)
    narrow = signal.resample_poly(samples, ratio.numerator, ratio.denominator)
    return audioop.lin2ulaw(np.clip(np.rint(narrow), -32768, 32767).astype("<i2").tobytes(), 2)


def frames(mu_law: bytes) -> list[bytes]:
    """Cut into packets of 20 ms; the last may be shorter."""
    return [mu_law[start : start + FRAME_BYTES] for start in range(0, len(mu_law), FRAME_BYTES)]


def received(packets: Iterable[bytes | None], *, stamped: bool = True) -> bytes:
    """Bring packets to 16 kHz through a track; None is one that was lost.

    Where packets are `stamped`, a loss becomes a gap of its length, which is silence; else what follows closes up, as
    by AudioSocket.
    """
    media = MediaTrack(0.0)
    blocks: list[bytes] = []
    for number, packet in enumerate(packets):
        moment = number * FRAME_MS / 1000
        if packet is None:
            continue
        if stamped:
            blocks += media.reach(moment + FRAME_MS / 10_000)  # whole frames, and a hair for what floats lose
        blocks += media.push(AudioFrame("bench", PCMU, packet), moment)
    return b"".join([*blocks, *media.finish()])
