"""The transcript of an audio file, and how it reads as text and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from unicodedata import category

import msgspec

from gateway.events import WordInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asr.types import Hypothesis
    from gateway.file_speech import FileUtterance

UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Controls, surrogates, separators of lines and paragraphs. What only joins or parts letters belongs to the text."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one utterance: a text, or an error."""

    start_ms: int
    end_ms: int
    track: str | None
    text: str
    language: str | None = None
    confidence: float | None = None
    words: tuple[WordInfo, ...] | None = None
    error: str | None = None


class FileTranscript(msgspec.Struct, frozen=True, kw_only=True):
    """Everything said in one file."""

    file: str
    duration_ms: int
    gap_ms: int
    """How much of that is silence in the place of audio that the file does not have."""
    language: str | None
    """In which most of it is said; None where nothing is."""
    model: str | None
    utterances: tuple[Line, ...]
    suppressed: dict[str, int]
    """Utterances without words, by reason."""
    error: str | None
    """Why this is not all of the file."""


def decoded(said: FileUtterance, heard: Hypothesis, *, words: bool) -> Line:
    """Put a hypothesis on the file's clock."""
    begins = said.audio_ms
    timed = (
        WordInfo(
            text=word.text, start_ms=begins + word.start_ms, end_ms=begins + word.end_ms, confidence=word.confidence
        )
        for word in heard.words
    )
    return Line(
        start_ms=said.start_ms,
        end_ms=said.end_ms,
        track=said.track,
        text=heard.text,
        language=heard.language,
        confidence=heard.confidence,
        words=tuple(timed) if words else None,
    )


def undecoded(said: FileUtterance, reason: str) -> Line:
    """Name an utterance of which there is no text."""
    return Line(start_ms=said.start_ms, end_ms=said.end_ms, track=said.track, text="", error=reason)


def main_language(lines: Iterable[Line]) -> str | None:
    """Tell in which language most of the time is spoken."""
    spoken: Counter[str] = Counter()
    for line in lines:
        if line.language is not None:
            spoken[line.language] += line.end_ms - line.start_ms + 1
    return spoken.most_common(1)[0][0] if spoken else None


def text_line(line: Line, *, timestamps: bool) -> str:
    """Write one utterance as one line."""
    parts = [f"[{span(line)}]"] if timestamps else []
    parts += [f"{line.track}:"] if line.track is not None else []
    return printable(" ".join([*parts, *line.text.split()]))


def span(line: Line) -> str:
    """Write when it was said, as `00:12.3-00:14.5`."""
    return f"{clock_text(line.start_ms)}-{clock_text(line.end_ms)}"


def clock_text(time_ms: int) -> str:
    """Write a time as people do, to the tenth of a second: `00:12.3`, `1:00:12.3`."""
    tenths = time_ms // 100
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}:' if hours else ''}{minutes:02}:{rest // 10:02}.{rest % 10}"


def printable(text: str) -> str:
    """Take out what could steer a terminal, break a line or not be written at all."""
    return "".join("\N{REPLACEMENT CHARACTER}" if category(char) in UNPRINTABLE else char for char in text)


def text_page(transcript: FileTranscript, *, timestamps: bool) -> str:
    """Write a whole file, one utterance a line; what was not decoded is left out."""
    lines = (text_line(line, timestamps=timestamps) for line in transcript.utterances if line.error is None)
    return "".join(f"{line}\n" for line in lines)


def json_line(transcript: FileTranscript) -> str:
    """Write a whole file as one line of JSON."""
    return msgspec.json.encode(transcript).decode() + "\n"


def json_page(transcript: FileTranscript) -> str:
    """Write a whole file as JSON to be read by people, too."""
    return msgspec.json.format(msgspec.json.encode(transcript), indent=2).decode() + "\n"
