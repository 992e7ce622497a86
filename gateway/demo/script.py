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


TURNS = 6
"""What is said in a dialogue, by both together: it is as long as the other calls."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said; times count from the beginning of its call."""

    text: str
    start_ms: int
    end_ms: int


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One speaker's part of a call, or all of it: 16-bit mono PCM at 8 kHz, and what is said in it."""

    pcm: bytes
    prompts: tuple[Prompt, ...]


def scripts() -> list[Script]:
    """Read the demonstration's calls of one speaker."""
    return [_script(said) for said in _said()]


def dialogue() -> tuple[Script, Script]:
    """Make a call of two speakers, who say in turn what the other calls begin with."""
    turns = [turn for pair in zip(*_said(), strict=True) for turn in pair][:TURNS]
    whole = _script(turns)
    first, second = (_part(whole, whole.prompts[speaker::2]) for speaker in range(2))
    return first, second


def _part(whole: Script, prompts: tuple[Prompt, ...]) -> Script:
    """Leave of a call only some of what is said in it."""
    pcm = bytearray(len(whole.pcm))
    for prompt in prompts:
        heard = slice(prompt.start_ms * BYTES_PER_MS, (prompt.end_ms + 1) * BYTES_PER_MS)
        pcm[heard] = whole.pcm[heard]
    return Script(pcm=bytes(pcm), prompts=prompts)


def _said() -> list[list[tuple[bytes, str]]]:
    """Read what is said in each call, as PCM and as text."""
    folder = resources.files("gateway.demo") / "prompts"
    lines = (folder / "prompts.tsv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(lines, delimiter="\t")
    decode = decoder(Encoding.PCMU)
    return [
        [(decode((folder / row["file"]).read_bytes()), row["text"]) for row in of_call]
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
