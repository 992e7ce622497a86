"""Whether what a model says can be what was said. Pure.

A decoder that does not find its end says the sentence again and again, exactly, until it is stopped: more tokens a
second than anybody speaks, a repetition, and no end of text.
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.profiles import Profile

_WIDELY_SPOKEN = "de en es fr it nl pt"
_LATIN = "af ca cs cy da et eu fi gl hr hu id is la lt lv ms nn no pl ro sk sl sq sv sw tl"
WIDELY_SPOKEN, LATIN = frozenset(_WIDELY_SPOKEN.split()), frozenset(_LATIN.split())
"""Languages of whose words Whisper has tokens, and of whose syllables; of others a letter may take several."""

TOKENS_PER_SECOND = 6.5
TOKENS_PER_SECOND_LATIN = 12.0
TOKENS_PER_SECOND_ELSEWHERE = 40.0
"""More than anybody speaks. Speech has 2 to 4 a second in English, up to 9 in Latvian, up to 37 where a letter is
several tokens (counted with the tokens of base)."""

PATIENCE = 2.0
"""A decoder is stopped at so many times as much: what is hardly credible is told from what is too much."""

TOKENS_AT_LEAST = 14
"""So few say nothing about a rate."""

MOST_TOKENS = 224
"""CTranslate2 gives a text half of what the decoder can hold."""


MANY = 4
"""So often nobody says the same; twice, people do say things, and then it takes them twice as long."""

HURRIED = 0.75
"""Of the rate above: a phrase that stands there twice in less time than it takes to say it twice is a loop."""

BRIEF_SECONDS = 1.5
"""So short an utterance, pre-roll and tail included, is mostly one word, and a decoder that says it twice is wrong more
often than not: of "eight" it makes "8 8". Who did say it twice is mostly believed at the second look."""


class Doubt(StrEnum):
    """What is wrong with an attempt."""

    UNENDED = "unended"
    RATE = "rate"
    LOOP = "loop"
    IMPROBABLE = "improbable"
    COMPRESSIBLE = "compressible"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the decoder."""

    tokens: tuple[int, ...]
    """Without the end of text."""
    ended: bool
    """Whether the decoder said that the text ends."""
    log_probability: float
    """The mean of its tokens."""
    no_speech_probability: float


def most_tokens(audio_seconds: float, language: str, *, last: bool = False) -> int:
    """Tell after how many tokens a decoder is stopped; the last look may take what it likes."""
    most = TOKENS_AT_LEAST + round(PATIENCE * _rate(language) * audio_seconds)
    return MOST_TOKENS if last else min(MOST_TOKENS, most)


def loop(attempt: Attempt, audio_seconds: float, language: str, *, widest: bool = False) -> Doubt | None:
    """Tell whether the decoder has missed its end, for which a wider window is the remedy.

    Of the `widest` less is doubted: what only a second look can tell.
    """
    count, most = len(attempt.tokens), _rate(language) * audio_seconds
    if not attempt.ended:
        return Doubt.UNENDED
    if count > TOKENS_AT_LEAST and count > most:
        return Doubt.RATE
    if _repeated(attempt.tokens, MANY) or (count > HURRIED * most and _repeated(attempt.tokens, 2)):
        return Doubt.LOOP
    if audio_seconds < BRIEF_SECONDS and not widest and _is_doubled(attempt.tokens):
        return Doubt.LOOP
    return None


def doubt(attempt: Attempt, text: str, profile: Profile) -> Doubt | None:
    """Tell whether a text is hardly likely, for which chance may be a remedy."""
    if attempt.log_probability < profile.log_prob_threshold:
        return Doubt.IMPROBABLE
    return Doubt.COMPRESSIBLE if _compression_ratio(text) > profile.compression_ratio_threshold else None


def is_silence(attempt: Attempt, profile: Profile) -> bool:
    """Tell whether nobody spoke, as far as the model knows; of single words it often thinks so."""
    return (
        attempt.no_speech_probability > profile.no_speech_threshold
        and attempt.log_probability < profile.log_prob_threshold
    )


def said_once(tokens: Sequence[int]) -> tuple[int, ...]:
    """Take from the end of a text what stands there again and again, but once."""
    kept = tuple(tokens)
    length = _repeated(kept, 2)
    while length and kept[-2 * length :] == kept[-length:] * 2:
        kept = kept[:-length]
    return kept


def _rate(language: str) -> float:
    if language in WIDELY_SPOKEN:
        return TOKENS_PER_SECOND
    return TOKENS_PER_SECOND_LATIN if language in LATIN else TOKENS_PER_SECOND_ELSEWHERE


def _is_doubled(tokens: Sequence[int]) -> bool:
    half = len(tokens) // 2
    return half > 0 and tuple(tokens) == tuple(tokens[:half]) * 2


def _repeated(tokens: Sequence[int], times: int) -> int:
    """Tell how many tokens the phrase has that stands at the end so many times; 0 where none does.

    A phrase has three tokens or more; of two it must stand there many times.
    """
    for length in range(2, len(tokens) // 2 + 1):
        copies = max(times, MANY) if length == 2 else times  # noqa: PLR2004  see above
        if tuple(tokens[-length * copies :]) == tuple(tokens[-length:]) * copies:
            return length
    return 0


def _compression_ratio(text: str) -> float:
    data = text.encode()
    return len(data) / len(zlib.compress(data))
