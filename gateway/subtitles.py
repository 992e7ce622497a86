"""Subtitles: utterances cut into cues by the times of their words, and written as SubRip and WebVTT. Pure."""

from __future__ import annotations

import html
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from gateway.file_transcript import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.events import WordInfo
    from gateway.file_transcript import Line

LINE_CHARACTERS = 42
LONGEST_MS = 7_000
SHORTEST_MS = 1_000
"""A cue stays so long where the next one lets it."""

SENTENCE_ENDS = (*".?!…。", "\N{FULLWIDTH QUESTION MARK}", "\N{FULLWIDTH EXCLAMATION MARK}")


class Cue(msgspec.Struct, frozen=True, kw_only=True):
    """One subtitle of one or two lines."""

    start_ms: int
    end_ms: int
    track: str | None
    lines: tuple[str, ...]


class _Piece(msgspec.Struct, frozen=True):
    """What is never divided between lines."""

    text: str
    start_ms: int
    end_ms: int
    spaced: bool = True
    """Whether a blank stands before it."""


def cues(utterances: Iterable[Line], *, labelled: bool = False) -> list[Cue]:
    """Cut utterances into cues, in the order in which they begin.

    Within a track none overlaps another. `labelled` lets the first line begin with the track's label.
    """
    by_track = sorted(utterances, key=lambda line: line.track or "")
    found: list[Cue] = []
    for track, lines in groupby(by_track, key=lambda line: line.track):
        label = (f"{printable(track)[: LINE_CHARACTERS - 1]}:",) if labelled and track else ()
        drafts = [draft for line in lines for draft in _drafts(_pieces(line), label)]
        found += _timed(drafts, track, label)
    return sorted(found, key=lambda cue: (cue.start_ms, cue.end_ms))


def subrip(utterances: Iterable[Line]) -> str:
    """Write SubRip (.srt)."""
    return "".join(
        f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n{_subrip_text(cue)}\n\n"
        for number, cue in enumerate(cues(utterances, labelled=True), 1)
    )


def webvtt(utterances: Iterable[Line]) -> str:
    """Write WebVTT (.vtt; W3C, WebVTT, section 4)."""
    return "WEBVTT\n\n" + "".join(
        f"{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n{_webvtt_text(cue)}\n\n" for cue in cues(utterances)
    )


def _subrip_text(cue: Cue) -> str:
    return "\n".join(cue.lines).replace("-->", "->")  # there is no way to escape it


def _webvtt_text(cue: Cue) -> str:
    voice = f"<v {html.escape(printable(cue.track), quote=False)}>" if cue.track else ""
    return voice + "\n".join(html.escape(line, quote=False) for line in cue.lines)


def _time(time_ms: int, point: str) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{point}{milliseconds:03}"


def _pieces(line: Line) -> list[_Piece]:
    """Divide an utterance where it may be divided."""
    text = " ".join(line.text.split())
    words = _as_written(line.words or (), text, line.start_ms)
    if words is None:  # no times, or times of other words than those of the text
        words = _spread(text, line.start_ms, line.end_ms)
    return list(_together(part for word in words for part in _short(word)))


def _as_written(words: Sequence[WordInfo], text: str, start_ms: int) -> list[_Piece] | None:
    """Find the words in their text, and with it where a blank stands: some languages have none.

    The decoder counts the quiet before the first word to it; speech detection knows better.
    """
    pieces, at = [], 0
    for word in words:
        spaced = text.startswith(" ", at)
        if not text.startswith(word.text, at + spaced):
            return None
        at += spaced + len(word.text)
        pieces.append(_Piece(word.text, max(start_ms, word.start_ms), word.end_ms, spaced=spaced))
    return pieces if at == len(text) else None


def _spread(text: str, start_ms: int, end_ms: int) -> list[_Piece]:
    """Give each word of a text a time by its length."""
    each_ms = (end_ms - start_ms) / max(1, len(text))
    pieces, at = [], 0
    for word in text.split():
        begin, at = at, at + len(word)
        pieces.append(_Piece(word, round(start_ms + begin * each_ms), round(start_ms + at * each_ms)))
        at += 1
    return pieces


def _short(word: _Piece) -> Iterator[_Piece]:
    """Divide what is longer than a line."""
    if len(word.text) <= LINE_CHARACTERS:
        yield word
        return
    parts = [word.text[at : at + LINE_CHARACTERS] for at in range(0, len(word.text), LINE_CHARACTERS)]
    each_ms = (word.end_ms - word.start_ms) // len(parts)
    for number, part in enumerate(parts):
        start = word.start_ms + number * each_ms
        yield _Piece(part, start, start + each_ms, spaced=word.spaced and not number)


def _together(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """Join what is written without blanks, unless that is a whole sentence of a language that has none."""
    run: list[_Piece] = []
    for piece in [*pieces, None]:
        if run and (piece is None or piece.spaced):
            text = "".join(each.text for each in run)
            if len(text) <= LINE_CHARACTERS and run[-1].end_ms - run[0].start_ms <= LONGEST_MS:
                yield _Piece(text, run[0].start_ms, run[-1].end_ms, spaced=run[0].spaced)
            else:
                yield from run
            run = []
        if piece is not None:
            run.append(piece)


def _drafts(pieces: Iterable[_Piece], label: Sequence[str]) -> Iterator[list[_Piece]]:
    """Put pieces together to cues that are neither too long nor too wide; rather end with a sentence."""
    draft: list[_Piece] = []
    for piece in pieces:
        if draft and (
            piece.end_ms - draft[0].start_ms > LONGEST_MS
            or not _lines([*draft, piece], label)
            or (draft[-1].text.endswith(SENTENCE_ENDS) and len(_joined(draft)) > LINE_CHARACTERS)
        ):
            yield draft
            draft = []
        draft.append(piece)
    if draft:
        yield draft


def _lines(pieces: Sequence[_Piece], label: Sequence[str]) -> tuple[str, ...]:
    """Write pieces on a line, or on two that are as equal as can be; empty when two are not enough."""
    tokens = [*(_Piece(name, 0, 0) for name in label), *pieces]
    if label:
        tokens[1] = msgspec.structs.replace(tokens[1], spaced=True)
    whole = _joined(tokens)
    if len(whole) <= LINE_CHARACTERS:
        return (whole,)
    pairs = [(_joined(tokens[:at]), _joined(tokens[at:])) for at in range(1, len(tokens))]
    fitting = [pair for pair in pairs if max(map(len, pair)) <= LINE_CHARACTERS]
    return min(fitting, key=lambda pair: abs(len(pair[0]) - len(pair[1])), default=())


def _joined(pieces: Sequence[_Piece]) -> str:
    return printable("".join(" " * piece.spaced + piece.text for piece in pieces).strip())


def _timed(drafts: Sequence[Sequence[_Piece]], track: str | None, label: Sequence[str]) -> Iterator[Cue]:
    """Give each cue a time of its own, after the one before it."""
    spans: list[tuple[int, int]] = []
    free_ms = 0
    for draft in drafts:
        start = max(draft[0].start_ms, free_ms)
        free_ms = max(start + 1, min(draft[-1].end_ms, start + LONGEST_MS))
        spans.append((start, free_ms))
    limits = [*(start for start, _ in spans), free_ms + SHORTEST_MS][1:]
    for draft, (start, end), limit in zip(drafts, spans, limits, strict=True):
        shown_until = max(end, min(start + SHORTEST_MS, limit))
        yield Cue(start_ms=start, end_ms=shown_until, track=track, lines=_lines(draft, label))
