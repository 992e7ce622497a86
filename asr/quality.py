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

_LATIN = "af ca cs cy da de en es et eu fi fr gl hr hu id is it la lt lv ms nl nn no pl pt ro sk sl sq sv sw tl"
LATIN = frozenset(_LATIN.split())
"""Languages of which Whisper's tokens are whole syllables and words; of others they may be parts of letters."""

TOKENS_PER_SECOND, TOKENS_PER_SECOND_ELSEWHERE = 6.5, 20.0
"""Speech has 2 to 4 in English; a loop has more than these."""

TOKENS_AT_LEAST = 14
"""So few say nothing about a rate."""

REPETITIONS = {2: 4}
REPETITIONS_OF_MORE = 2
"""So often a phrase of so many tokens, or of more, must stand at the end to be doubted. People do say things twice;
then the second look says so, too."""

LOG_PROBABILITY = -1.0
COMPRESSION_RATIO = 2.4
NO_SPEECH_PROBABILITY = 0.6
"""Those of openai-whisper (`transcribe.py`)."""


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


def most_tokens(audio_seconds: float, language: str) -> int:
    """Tell after how many tokens a decoder is stopped."""
    return TOKENS_AT_LEAST + round(_rate(language) * audio_seconds)


def loop(attempt: Attempt, audio_seconds: float, language: str) -> Doubt | None:
    """Tell whether the decoder has missed its end, for which a wider window is the remedy."""
    count = len(attempt.tokens)
    if not attempt.ended:
        return Doubt.UNENDED
    if count > TOKENS_AT_LEAST and count > _rate(language) * audio_seconds:
        return Doubt.RATE
    return Doubt.LOOP if _repeats(attempt.tokens) else None


def doubt(attempt: Attempt, text: str) -> Doubt | None:
    """Tell whether a text is hardly likely, for which chance may be a remedy."""
    if is_silence(attempt):
        return None
    if attempt.log_probability < LOG_PROBABILITY:
        return Doubt.IMPROBABLE
    return Doubt.COMPRESSIBLE if _compression_ratio(text) > COMPRESSION_RATIO else None


def is_silence(attempt: Attempt) -> bool:
    """Tell whether nobody spoke, as far as the model knows."""
    return attempt.no_speech_probability > NO_SPEECH_PROBABILITY and attempt.log_probability < LOG_PROBABILITY


def _rate(language: str) -> float:
    return TOKENS_PER_SECOND if language in LATIN else TOKENS_PER_SECOND_ELSEWHERE


def _repeats(tokens: Sequence[int]) -> bool:
    """Tell whether the end of a text is one phrase, of two tokens or more, again and again."""
    for length in range(2, len(tokens) // 2 + 1):
        times = REPETITIONS.get(length, REPETITIONS_OF_MORE)
        if tuple(tokens[-length * times :]) == tuple(tokens[-length:]) * times:
            return True
    return False


def _compression_ratio(text: str) -> float:
    data = text.encode()
    return len(data) / len(zlib.compress(data))
