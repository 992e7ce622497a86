"""Sound for tests: shipped prompts, brought to what each layer takes."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from adapters.media.g711 import decoder
from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding

SPEECH = Path(__file__).parent / "speech"
SHORT_ANSWERS = tuple(sorted(file.stem for file in SPEECH.glob("*.ulaw")))
"""Prompts of one word: digits, letters, greetings."""

MUSIC = Path(__file__).parent / "music" / "macroform-cold_day.ulaw"

SILENT_BLOCK = bytes(640)
"""20 ms at 16 kHz."""


@cache
def prompt(name: str) -> bytes:
    """Read a prompt of the demonstration as 16-bit mono PCM at 8 kHz."""
    file = resources.files("gateway.demo") / "prompts" / f"{name}.ulaw"
    return decoder(Encoding.PCMU)(file.read_bytes())


def short_answer(name: str) -> bytes:
    """Read a prompt of one word as 16-bit mono PCM at 8 kHz."""
    return decoder(Encoding.PCMU)((SPEECH / f"{name}.ulaw").read_bytes())


def music() -> bytes:
    """Read six seconds of hold music as 16-bit mono PCM at 8 kHz."""
    return decoder(Encoding.PCMU)(MUSIC.read_bytes())


def blocks(pcm: bytes) -> list[bytes]:
    """Bring 16-bit mono PCM at 8 kHz to blocks of 20 ms at 16 kHz, the way that a call's audio takes."""
    frame = AudioFrame("x", AudioFormat(Encoding.L16, 8_000), pcm)
    return list(MediaTrack(0.0).push(frame, 0.0))


@cache
def _speech(name: str) -> tuple[bytes, ...]:
    return tuple(blocks(prompt(name)))


def speech_blocks(name: str) -> list[bytes]:
    """Read a prompt as blocks of 20 ms of 16-bit mono PCM at 16 kHz."""
    return list(_speech(name))
