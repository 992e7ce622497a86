from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.lengths import mp3_tells, riff_excess

FRAME = b"\xff\xfb\x90\x64" + bytes(32)


def chunk(name: bytes, content: bytes, *, length: int | None = None) -> bytes:
    return name + struct.pack("<I", len(content) if length is None else length) + content + b"\0" * (len(content) % 2)


def riff(kind: bytes, *chunks: bytes) -> BytesIO:
    return BytesIO(chunk(b"RIFF", kind + b"".join(chunks)))


def id3(content: bytes, *, flags: int = 0) -> bytes:
    size = bytes(len(content) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0" + bytes([flags]) + size + content


@pytest.mark.parametrize(
    ("file", "excess"),
    [
        (riff(b"WAVE", chunk(b"fmt ", bytes(16)), chunk(b"data", bytes(100))), 1.0),
        (riff(b"WAVE", chunk(b"fmt ", bytes(16)), chunk(b"data", bytes(100), length=250)), 2.5),
        (riff(b"WAVE", chunk(b"odd ", bytes(3)), chunk(b"data", bytes(100), length=200)), 2.0),
        (riff(b"WAVE", chunk(b"data", bytes(100)), chunk(b"LIST", bytes(10), length=90)), 1.0),
        (riff(b"WAVE", chunk(b"data", bytes(100), length=0)), None),
        (riff(b"WAVE", chunk(b"data", bytes(100), length=0xFFFF_FFFF)), None),
        (riff(b"WAVE", chunk(b"data", bytes(100), length=0x7FFF_F000)), None),
        (riff(b"WAVE", chunk(b"data", b"", length=8)), None),
        (riff(b"WAVE", chunk(b"fmt ", bytes(16))), None),
        (riff(b"WAVE", chunk(b"none", b"") * 2_000, chunk(b"data", bytes(100), length=200)), None),
        (riff(b"AVI ", chunk(b"LIST", bytes(50)), chunk(b"LIST", bytes(100), length=300)), 3.0),
        (riff(b"AVI ", chunk(b"LIST", bytes(50)), chunk(b"LIST", bytes(100))), None),
        (riff(b"CDXA", chunk(b"data", bytes(100), length=200)), None),
        (BytesIO(b"RF64" + bytes(100)), None),
        (BytesIO(), None),
    ],
)
def test_how_much_longer_a_riff_should_be(file: BytesIO, excess: float | None) -> None:
    assert riff_excess(file) == excess


@given(st.binary(max_size=200), st.sampled_from([b"WAVE", b"AVI ", b""]))
def test_whatever_is_in_it_it_is_told_or_not(tail: bytes, kind: bytes) -> None:
    excess = riff_excess(BytesIO(b"RIFF\0\0\0\0" + kind + tail))
    assert excess is None or excess >= 1.0
    assert mp3_tells(BytesIO(b"ID3" + tail)) in {True, False}


@given(st.integers(1, 1_000), st.integers(1, 1_000))
def test_a_cut_wav_says_how_long_it_was(whole: int, part: int) -> None:
    data = riff(b"WAVE", chunk(b"fmt ", bytes(16)), chunk(b"data", b"\1" * whole)).getvalue()
    begins = data.index(b"data") + 8
    assert riff_excess(BytesIO(data[: begins + part][: begins + whole])) == max(1.0, whole / min(part, whole))


@pytest.mark.parametrize(
    ("content", "tells"),
    [
        (FRAME + b"Xing" + bytes(8), True),
        (FRAME + b"Info" + bytes(8), True),
        (FRAME + b"VBRI" + bytes(8), True),
        (FRAME + bytes(400), False),
        (FRAME + bytes(400) + b"Xing", False),
        (id3(bytes(300)) + FRAME + b"Xing", True),
        (id3(bytes(5)) + id3(bytes(9)) + FRAME + b"Xing", True),
        (id3(bytes(30), flags=0x10) + b"3DI" + bytes(7) + FRAME + b"Xing", True),
        (id3(bytes(60) + b"Xing" + bytes(300)) + FRAME + bytes(400), False),
        (b"ID3", False),
        (b"", False),
    ],
)
def test_whether_an_mp3_says_how_long_it_is(content: bytes, tells: bool) -> None:
    assert mp3_tells(BytesIO(content)) is tells
