"""Whether anybody said what a model has written: the text beside what could be heard. Pure.

Whisper writes something of everything it is given, music and noise included, and mostly without being sure of it. What
it says of real words, be it one letter, it may be as unsure of: so its doubts count only where little was heard.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from asr.evidence import BRIEF_SECONDS, CLEAR, Strength
from asr.quality import is_silence
from asr.tones import Sound
from asr.types import Reason

if TYPE_CHECKING:
    from asr.evidence import Evidence
    from asr.quality import Attempt
    from config.profiles import Profile


SURE = -0.5
"""The mean log-probability of a text's tokens that is taken for sure."""

UNLIKELY = -1.0
"""What is likelier is not doubted, though a profile may have it tried again."""

PHRASES = frozenset((Path(__file__).parent / "phrases.txt").read_text(encoding="utf-8").splitlines())
"""What Whisper writes of silence, in lower case and without marks. People say most of it, too."""


def unheard(evidence: Evidence, sound: Sound) -> Reason | None:
    """Tell why a sound need not be decoded: nothing in it is a voice."""
    strength = evidence.strength
    if sound is Sound.TONE and strength < Strength.SOME:
        return Reason.TONE
    if sound is Sound.DRONE and strength < Strength.STRONG and not evidence.holds_a_word:
        return Reason.TONE
    if strength is Strength.NONE:
        return Reason.MUSIC if sound is Sound.MUSIC else Reason.NOISE
    return None


def invented(evidence: Evidence | None, attempt: Attempt, text: str, profile: Profile) -> Reason | None:
    """Tell why a text is not to be believed. Without evidence there is only the model's own word."""
    if not text:
        return Reason.EMPTY
    if evidence is None:
        return Reason.IMPROBABLE if is_silence(attempt, profile) else None
    if not _is_doubtful(evidence, attempt, profile, is_phrase=_plain(text) in PHRASES):
        return None
    return Reason.PHRASE if _plain(text) in PHRASES else Reason.IMPROBABLE


def _is_doubtful(evidence: Evidence, attempt: Attempt, profile: Profile, *, is_phrase: bool) -> bool:
    """Doubt the less, the more speaks for a voice."""
    unsure = attempt.log_probability < SURE
    unlikely = attempt.log_probability < min(profile.log_prob_threshold, UNLIKELY)
    silent = attempt.no_speech_probability > profile.no_speech_threshold
    long = evidence.seconds > BRIEF_SECONDS
    match evidence.strength:
        case Strength.STRONG:
            return evidence.peak < CLEAR and silent and unsure
        case Strength.SOME:
            return (evidence.peak < CLEAR and silent and unsure) or (
                long and unlikely and (silent or not evidence.holds_a_word)
            )
        case _:
            return silent or unlikely or (unsure and (long or is_phrase))


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s']", " ", text.lower()).split())
