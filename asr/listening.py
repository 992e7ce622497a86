"""What is heard in an utterance before a model reads anything into it. Runs in the model process."""

from __future__ import annotations

import audioop
from typing import TYPE_CHECKING

import msgspec

from asr.evidence import Evidence, Strength, evidence, spoken_span
from asr.invention import unheard
from asr.tones import Sound, kind_of_sound
from asr.types import BYTES_PER_MS, SAMPLE_RATE_HZ, Reason
from asr.vad import LEAST_PEAK

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    Probabilities = npt.NDArray[np.float32]


GLANCE_BYTES = 2000 * BYTES_PER_MS


class Heard(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """An utterance as it is worth decoding."""

    audio: bytes
    """16 kHz PCM: all of it, or where speech may be."""
    skipped_ms: int = 0
    """What was left out before that."""
    evidence: Evidence | None = None
    """None where no second opinion was wanted."""
    reason: Reason | None = None
    """Why it is not worth decoding."""


def listen(audio: bytes, probabilities: Callable[[bytes], Probabilities] | None, *, at_a_glance: bool = False) -> Heard:
    """Listen to 16-bit PCM at 16 kHz, with a detector of voices where a second opinion is wanted.

    A voice in the last two seconds is enough `at_a_glance`: then nothing is left out of the rest.
    """
    if audioop.max(audio, 2) <= LEAST_PEAK:
        return Heard(audio=audio, reason=Reason.SILENCE)  # of which Whisper is sure that it is the word "you"
    if probabilities is None:
        return Heard(audio=audio)
    if at_a_glance and len(audio) > GLANCE_BYTES:
        last = _weighed(probabilities(audio[-GLANCE_BYTES:]), GLANCE_BYTES)
        if last.strength is Strength.STRONG:
            return Heard(audio=audio, evidence=last)
    found = probabilities(audio)
    summed = _weighed(found, len(audio))
    sound = Sound.NOISE if summed.strength is Strength.STRONG else kind_of_sound(audio)
    if reason := unheard(summed, sound):
        return Heard(audio=audio, evidence=summed, reason=reason)
    start_ms, end_ms = spoken_span(found)
    spoken = audio[start_ms * BYTES_PER_MS : end_ms * BYTES_PER_MS]
    return Heard(audio=spoken, skipped_ms=start_ms, evidence=summed)


def _weighed(probabilities: Probabilities, size: int) -> Evidence:
    return evidence(probabilities, size / 2 / SAMPLE_RATE_HZ)
