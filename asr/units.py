"""Texts in units that can be compared: words, or characters where a script has no blanks. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asr.types import Word

_TOKEN = re.compile(r"\s*\S+")

_WITHOUT_BLANKS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"  # kana, Chinese characters
)

SWALLOWED = 0.5
"""What it costs that a unit beside a cut is not heard again; any other difference costs 1."""

Pair = tuple[int, int]
"""The places of a unit in two sequences."""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A word or character as it is shown."""

    head: str
    """With the blanks and marks before it."""
    tail: str
    """The marks behind it."""
    key: str
    """What it is compared by: without marks and case. Never empty."""
    end_ms: int | None = None
    """Where it ends in the audio, if that is known."""

    @property
    def text(self) -> str:
        """All of it."""
        return self.head + self.tail


def units(text: str, words: Sequence[Word] = ()) -> list[Unit]:
    """Take a text apart, and time it by its words. Put together, the units are the text without the blanks around it.

    A text of marks alone has none.
    """
    found: list[Unit] = []
    before = ""
    for piece in _pieces(text.strip()):
        whole = before + piece
        core = [place for place, char in enumerate(whole) if _is_core(char)]
        if core:
            head, tail = whole[: core[-1] + 1], whole[core[-1] + 1 :]
            key = "".join(filter(_is_core, head)).casefold()
            found.append(Unit(head=head, tail=tail, key=key))
            before = ""
        elif found:
            found[-1] = msgspec.structs.replace(found[-1], tail=found[-1].tail + piece)
        else:
            before = whole
    return _timed(found, words)


def bare(unit: Unit) -> Unit:
    """Leave out the marks behind a unit: a model puts some at the end of whatever it hears."""
    return msgspec.structs.replace(unit, tail="")


def follow(unit: Unit) -> Unit:
    """Put a blank before a unit that begins its text and is to follow others, unless its script has none."""
    if _WITHOUT_BLANKS.match(unit.head):
        return unit
    return msgspec.structs.replace(unit, head=f" {unit.head}")


def same(some: Sequence[Unit], others: Sequence[Unit]) -> int:
    """Tell with how many units both begin alike."""
    pairs = enumerate(zip(some, others, strict=False))
    return next((place for place, (one, other) in pairs if one.key != other.key), min(len(some), len(others)))


def align(expected: Sequence[str], heard: Sequence[str], *, swallowed: int = 0) -> tuple[int, list[Pair]]:
    """Fit what is expected to the beginning of what was heard, by the fewest differences.

    Give the length of that beginning, and the places of equal units, heard and expected. Of beginnings that fit as
    well, one is taken that ends as expected, and else the longest. So many units may be `swallowed` at the beginning.
    """
    rows: list[list[float]] = [[float(column) for column in range(len(heard) + 1)]]
    for row, key in enumerate(expected, 1):
        above, here = rows[-1], [rows[-1][0] + (SWALLOWED if row <= swallowed else 1)]
        for column, other in enumerate(heard, 1):
            here.append(min(above[column - 1] + (key != other), above[column] + 1, here[-1] + 1))
        rows.append(here)

    def badness(length: int) -> tuple[float, bool, int]:
        ends_alike = length > 0 and heard[length - 1] == expected[-1]
        return rows[-1][length], not ends_alike, -length

    reached = min(range(len(heard) + 1), key=badness) if expected else 0
    return reached, _equal(expected, heard, rows, reached)


def _equal(expected: Sequence[str], heard: Sequence[str], rows: Sequence[Sequence[float]], reached: int) -> list[Pair]:
    """Follow the fewest differences back."""
    pairs: list[Pair] = []
    row, column = len(expected), reached
    while row and column:
        differ = expected[row - 1] != heard[column - 1]
        if rows[row][column] == rows[row - 1][column - 1] + differ:
            row, column = row - 1, column - 1
            pairs += [] if differ else [(column, row)]
        elif rows[row][column] == rows[row - 1][column] + 1:
            row -= 1
        else:
            column -= 1
    return pairs[::-1]


def _pieces(text: str) -> Iterator[str]:
    """Cut before blanks and around characters of scripts without them."""
    for token in _TOKEN.findall(text):
        piece = ""
        for char in token:
            joins = not piece.strip() or unicodedata.category(char).startswith("M")
            if not joins and (_WITHOUT_BLANKS.match(char) or _WITHOUT_BLANKS.match(piece[-1])):
                yield piece
                piece = ""
            piece += char
        yield piece


def _is_core(char: str) -> bool:
    """Tell what belongs to a word: letters, digits and the marks upon them, and no punctuation, symbols and blanks."""
    return unicodedata.category(char)[0] in "LNM"


def _timed(found: list[Unit], words: Sequence[Word]) -> list[Unit]:
    """Give each unit the end of the word that its last character belongs to, where both are the same text."""
    ends = [word.end_ms for word in words for _ in _dense(word.text)]
    if not ends or len(ends) != sum(len(_dense(unit.text)) for unit in found):
        return found
    timed, at = [], 0
    for unit in found:
        last = at + len(_dense(unit.head)) - 1
        timed.append(msgspec.structs.replace(unit, end_ms=ends[last]))
        at = last + 1 + len(_dense(unit.tail))
    return timed


def _dense(text: str) -> str:
    return "".join(text.split())
