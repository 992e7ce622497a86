"""Sound for tests: shipped prompts, brought to what each layer takes."""

from __future__ import annotations

from functools import cache
from importlib import resources

from adapters.media.g711 import decoder
from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding

SILENT_BLOCK = bytes(640)
"""20 ms at 16 kHz."""


@cache
def prompt(name: str) -> bytes:
    """Read a prompt of the demonstration as 16-bit mono PCM at 8 kHz."""
    file = resources.files("gateway.demo") / "prompts" / f"{name}.ulaw"
    return decoder(Encoding.PCMU)(file.read_bytes())


@cache
def _speech(name: str) -> tuple[bytes, ...]:
    frame = AudioFrame("x", AudioFormat(Encoding.L16, 8_000), prompt(name))
    return tuple(MediaTrack(0.0).push(frame, 0.0))


def speech_blocks(name: str) -> list[bytes]:
    """Read a prompt as blocks of 20 ms of 16-bit mono PCM at 16 kHz."""
    return list(_speech(name))
