"""What is said in the demonstration's calls, and when. The prompts' origin stands in NOTICE."""

from __future__ import annotations

import csv
from importlib import resources
from itertools import groupby
from operator import itemgetter

import msgspec

from adapters.media.g711 import decoder
from adapters.stream import Encoding

BYTES_PER_MS = 16
"""Linear PCM at 8 kHz."""

PAUSE_MS = 1200
"""Between two prompts: longer than any hangover, so that each is an utterance of its own."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said; times count from the beginning of its call."""

    text: str
    start_ms: int
    end_ms: int


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One call: 16-bit mono PCM at 8 kHz, and what is said in it."""

    pcm: bytes
    prompts: tuple[Prompt, ...]


def scripts() -> list[Script]:
    """Read the demonstration's calls."""
    folder = resources.files("gateway.demo") / "prompts"
    lines = (folder / "prompts.tsv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(lines, delimiter="\t")
    decode = decoder(Encoding.PCMU)
    return [
        _script([(decode((folder / row["file"]).read_bytes()), row["text"]) for row in of_call])
        for _, of_call in groupby(rows, key=itemgetter("call"))
    ]


def _script(said: list[tuple[bytes, str]]) -> Script:
    pcm = bytearray(bytes(PAUSE_MS * BYTES_PER_MS // 2))
    prompts = []
    for audio, text in said:
        start = len(pcm)
        pcm += audio
        prompts.append(Prompt(text=text, start_ms=start // BYTES_PER_MS, end_ms=len(pcm) // BYTES_PER_MS))
        pcm += bytes(PAUSE_MS * BYTES_PER_MS)
    return Script(pcm=bytes(pcm), prompts=tuple(prompts))
