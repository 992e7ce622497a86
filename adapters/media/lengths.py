"""How long a file says it is, read from its own header where FFmpeg guesses by the size of what is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

_BODIES = {b"WAVE": b"data", b"AVI ": b"LIST"}
"""The chunk that holds the audio, by the kind of RIFF file."""

_OPEN_BYTES = 0x7FFF_0000
"""From here on a size was written by a program that did not know it: SoX and arecord into a pipe, FFmpeg too."""

_MOST_PARTS = 1_000
"""Chunks, or tags, before the audio; a file of nothing else is not worth the time."""

_ID3_BYTES, _ID3_FOOTER = 10, 0x10
_FIRST_FRAME_BYTES = 200


def riff_excess(file: BinaryIO) -> float | None:
    """Tell how many times as long as it is the body of a WAV or AVI file should be: 1.0 where it is whole.

    None where it does not say. Little-endian RIFF; RF64 keeps its sizes elsewhere.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    header = file.read(12)
    body = _BODIES.get(header[8:]) if header[:4] == b"RIFF" else None
    for _ in range(_MOST_PARTS if body else 0):
        chunk, begins = file.read(8), file.tell()
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == body and (body == b"data" or begins + length > size):
            return max(1.0, length / (size - begins)) if 0 < length < _OPEN_BYTES and size > begins else None
        file.seek(begins + length + length % 2)
    return None


def mp3_tells(file: BinaryIO) -> bool:
    """Tell whether the first frame of an MP3 says how many there are, as all but the simplest encoders write it.

    Xing's or Fraunhofer's header; ID3 (id3.org, version 2.4.0, 3.1) may stand before it.
    """
    frame = b""
    for _ in range(_MOST_PARTS):
        frame = file.read(_FIRST_FRAME_BYTES)
        if frame[:3] != b"ID3" or len(frame) < _ID3_BYTES:
            break
        length = sum(byte << shift for byte, shift in zip(frame[6:_ID3_BYTES], (21, 14, 7, 0), strict=True))
        file.seek(_ID3_BYTES + length + _ID3_BYTES * bool(frame[5] & _ID3_FOOTER) - len(frame), os.SEEK_CUR)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))
