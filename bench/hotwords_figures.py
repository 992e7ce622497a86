"""What hotwords did to texts: names written right, the words around them, names that nobody said. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.demo.score import word_errors, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.hotwords_material import Sentence

ROOM = 3
"""A name that is written wrong may take so many words more than it has."""


class NameFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How sentences with names came out."""

    sentences: int
    names_right: int
    rest_words: int
    rest_errors: int
    invented: int
    """Names that were listed, not said, and written."""
    empty: int


class PlainFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How prompts came out in which no listed name is said."""

    words: int
    errors: int
    invented: int
    lost: int
    """Texts with fewer than half as many words as without hotwords."""
    changed: int
    """Texts with other words than without hotwords."""


def holds(text: str, name: str) -> bool:
    """Tell whether a name stands in a text, whatever its case."""
    wanted, there = words(name), words(text)
    return any(there[start : start + len(wanted)] == wanted for start in range(len(there) - len(wanted) + 1))


def invented(text: str, said: str, listed: Iterable[str]) -> list[str]:
    """Give the names that were listed and written but not said."""
    return [name for name in listed if holds(text, name) and not holds(said, name)]


def rest_errors(sentence: Sentence, text: str) -> int:
    """Count what is wrong around a name, whatever stands in its own place."""
    before, after, heard = words(sentence.before), words(sentence.after), words(text)
    longest = len(words(sentence.name)) + ROOM
    return min(
        word_errors(before, heard[:begin]) + word_errors(after, heard[end:])
        for begin in range(len(heard) + 1)
        for end in range(begin, min(len(heard), begin + longest) + 1)
    )


def name_figures(sentences: Sequence[Sentence], texts: Sequence[str], lists: Sequence[Sequence[str]]) -> NameFigures:
    """Score sentences with names, each decoded with its own list."""
    return NameFigures(
        sentences=len(sentences),
        names_right=sum(holds(text, each.name) for each, text in zip(sentences, texts, strict=True)),
        rest_words=sum(len(words(each.before)) + len(words(each.after)) for each in sentences),
        rest_errors=sum(rest_errors(each, text) for each, text in zip(sentences, texts, strict=True)),
        invented=sum(
            len(invented(text, each.text, listed)) for each, text, listed in zip(sentences, texts, lists, strict=True)
        ),
        empty=sum(not words(text) for text in texts),
    )


def plain_figures(
    said: Sequence[str], without: Sequence[str], texts: Sequence[str], lists: Sequence[Sequence[str]]
) -> PlainFigures:
    """Score prompts without names against their texts and against what was heard `without` hotwords."""
    return PlainFigures(
        words=sum(len(words(each)) for each in said),
        errors=sum(word_errors(words(each), words(text)) for each, text in zip(said, texts, strict=True)),
        invented=sum(len(invented(text, each, listed)) for each, text, listed in zip(said, texts, lists, strict=True)),
        lost=sum(2 * len(words(text)) < len(words(before)) for before, text in zip(without, texts, strict=True)),
        changed=sum(words(before) != words(text) for before, text in zip(without, texts, strict=True)),
    )
