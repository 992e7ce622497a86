"""Words that are not to be read: each keeps its first letter, and asterisks stand for the others. Pure.

A text stays as long as it was, so that whatever counts its characters stays true. Case does not matter, nor how accents
are put together; nothing else is guessed: each form of a word is a word of its own.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, TypeVar
from unicodedata import normalize

import msgspec

from asr.language import ENGLISH
from asr.types import Segment, Word
from config.wording import is_part_of_word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asr.types import Hypothesis
    from gateway.routes import CallSettings

Part = TypeVar("Part", Word, Segment)

UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which put no blanks between words."""


class Mask:
    """Masks these words, which are of letters alone (`config/wording.py`)."""

    def __init__(self, words: Iterable[str]) -> None:
        wanted = {normalize("NFC", word) for word in words}
        unspaced = {word for word in wanted if UNSPACED.search(word)}
        self._words = frozenset(_folded(word) for word in wanted - unspaced)
        beginnings = {word[:length].casefold() for word in unspaced for length in range(1, len(word))}
        self._beginnings = frozenset(beginnings)
        """What may yet become one of the words that stand anywhere."""
        self._longest = max(map(len, unspaced), default=0)
        longest_first = sorted(unspaced, key=lambda word: (-len(word), word))
        self._anywhere = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if unspaced else None

    def __call__(self, text: str) -> str:
        """Mask a text; one that is masked already stays as it is."""
        return "".join(
            _hidden(run) if is_word and _folded(run) in self._words else run
            for is_word, run in _runs(self._mask_anywhere(text))
        )

    def settled(self, text: str, stable_chars: int) -> int:
        """Tell how much of a stable beginning will be masked as it is now, whatever follows it.

        That is all of it, but for an end that may yet become one of the words, or cease to be one.
        """
        stable = text[:stable_chars]
        possible = range(max(0, len(stable) - self._longest + 1), len(stable))
        begun = [place for place in possible if stable[place:].casefold() in self._beginnings]
        known = self._mask_anywhere(stable)[: min(begun, default=len(stable))]
        last = "".join(takewhile(is_part_of_word, reversed(known)))[::-1]
        open_ended = last and any(word.startswith(_folded(last)) for word in self._words)
        return len(known) - len(last) if open_ended else len(known)

    def _mask_anywhere(self, text: str) -> str:
        return self._anywhere.sub(lambda found: _hidden(found[0]), text) if self._anywhere else text


def masked(heard: Hypothesis, settings: CallSettings) -> Hypothesis:
    """Mask what a model heard as the call's settings want it: its text, words and segments alike."""
    mask = mask_for(settings, heard.language)
    if mask is None:
        return heard
    text = mask(heard.text)
    return msgspec.structs.replace(
        heard,
        text=text,
        words=tuple(_parts(heard.words, heard.text, text, mask)),
        segments=tuple(_parts(heard.segments, heard.text, text, mask)),
    )


def mask_for(settings: CallSettings, language: str | None) -> Mask | None:
    """Give the mask for a text, None where nothing is to be masked.

    The words that are shipped are for English alone: some of them are harmless words of other languages.
    """
    wanted = settings.transcripts
    shipped = wanted.mask_profanity and language_of_text(settings, language) in {ENGLISH, None}
    return _mask(wanted.mask, shipped=shipped) if wanted.mask or shipped else None


def language_of_text(settings: CallSettings, spoken: str | None) -> str | None:
    """Tell in what language the text of something spoken is; None where that is not known."""
    return ENGLISH if settings.decode.task == "translate" else spoken


@lru_cache(maxsize=64)
def _mask(words: tuple[str, ...], *, shipped: bool) -> Mask:
    return Mask((*words, *profanity()) if shipped else words)


@cache
def profanity() -> tuple[str, ...]:
    """Read the words that are shipped."""
    return tuple((files("gateway") / "profanity.txt").read_text("utf-8").split())


def _parts(parts: Sequence[Part], text: str, hidden: str, mask: Mask) -> Iterator[Part]:
    """Mask parts of a text as it is masked itself, for a word may lie in two parts, or be only a piece of one."""
    place = 0
    for part in parts:
        begin = text.find(part.text, place)
        if begin >= 0 and not text[place:begin].strip():
            place = begin + len(part.text)
            yield msgspec.structs.replace(part, text=hidden[begin:place])
        else:
            yield msgspec.structs.replace(part, text=mask(part.text))


def _runs(text: str) -> Iterator[tuple[bool, str]]:
    """Part a text into words and what stands between them."""
    for is_word, run in groupby(text, is_part_of_word):
        yield is_word, "".join(run)


def _hidden(word: str) -> str:
    return word[0] + "*" * (len(word) - 1)


def _folded(word: str) -> str:
    """Make words alike that differ in case alone, or in how their accents are put together (Unicode 3.13, D145)."""
    return normalize("NFD", normalize("NFD", word).casefold())
