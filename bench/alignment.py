"""What was said held against what was heard: which words are wrong, and which utterances are lost. Pure."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from gateway.demo.score import word_errors, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TOLERANCE_MS = 300
"""A final may begin and end so much early or late."""

KEPT_ENOUGH = 0.2
"""An utterance is lost when a smaller part of its words has anything in its place. Wrong words are no loss, and numbers
and names that are spelled become fewer words when they are heard."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance of the script; milliseconds on the call's clock, seconds when its speech was sent."""

    speaker: str
    text: str
    start_ms: int
    end_ms: int
    began_at: float
    ended_at: float


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """An interim or a final."""

    speaker: str
    utterance_id: str
    text: str
    start_ms: int
    end_ms: int
    at: float
    """When it was received."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How it compares."""

    words: int
    errors: int
    lost: tuple[Said, ...]


def compare(said: Iterable[Said], finals: Iterable[Heard]) -> Verdict:
    """Compare word by word what belongs together by its time, however it was cut into finals."""
    total = errors = 0
    lost: list[Said] = []
    for utterances, heard in _groups(said, finals):
        texts = [words(each.text) for each in utterances]
        expected = [word for text in texts for word in text]
        found = [word for each in heard for word in words(each.text)]
        total += len(expected)
        errors += word_errors(expected, found)
        kept = iter(counterparts(expected, found))
        for each, text in zip(utterances, texts, strict=True):
            if sum(next(kept) for _ in text) < KEPT_ENOUGH * len(text):
                lost.append(each)
    return Verdict(words=total, errors=errors, lost=tuple(lost))


def counterparts(said: Sequence[str], heard: Sequence[str]) -> list[bool]:
    """Tell of each word said whether it, or another in its place, was heard."""
    kept = [False] * len(said)
    for _, start, stop, begin, end in SequenceMatcher(None, said, heard, autojunk=False).get_opcodes():
        for place in range(start, min(stop, start + end - begin)):
            kept[place] = True
    return kept


def overlapping(said: Said, heard: Iterable[Heard]) -> list[Heard]:
    """Find what was heard at the time of an utterance; where nothing was, what was heard close to it."""
    near = [each for each in heard if _overlap(said, each, TOLERANCE_MS)]
    return [each for each in near if _overlap(said, each, 0)] or near


def _overlap(said: Said, heard: Heard, tolerance_ms: int) -> bool:
    return heard.start_ms <= said.end_ms + tolerance_ms and said.start_ms - tolerance_ms <= heard.end_ms


def _groups(said: Iterable[Said], finals: Iterable[Heard]) -> Iterable[tuple[list[Said], list[Heard]]]:
    """Cut each speaker's time where neither anything said nor anything heard goes across."""
    everything: list[Said | Heard] = [*said, *finals]
    everything.sort(key=lambda each: (each.speaker, _start(each)))
    for _, of_speaker in groupby(everything, key=lambda each: each.speaker):
        utterances: list[Said] = []
        heard: list[Heard] = []
        end = -TOLERANCE_MS
        for each in of_speaker:
            if _start(each) > end and (utterances or heard):
                yield utterances, heard
                utterances, heard = [], []
            if isinstance(each, Said):
                utterances.append(each)
                end = max(end, each.end_ms + TOLERANCE_MS)
            else:
                heard.append(each)
                end = max(end, each.end_ms)
        yield utterances, heard


def _start(each: Said | Heard) -> int:
    return each.start_ms - TOLERANCE_MS if isinstance(each, Said) else each.start_ms
