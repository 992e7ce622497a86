"""What speaks for speech in an utterance, as far as a detector of voices can tell. Pure.

Measured on 8 kHz mu-law (docs/performance.md): of 2,780 prompts in five languages all but two reach a probability of
0.24 somewhere, and 114 sentences still reach 0.87 in noise that drowns their words for Whisper. Music, noise and tones
stay below 0.15 for the most part, and where they do not, it is for moments.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

STEP_MS = 32
"""The detector tells of so much at a time."""

AUDIBLE = 0.15
"""Below this, nobody speaks."""

LIKELY = 0.3
VOICED = 0.5

BRIEF_SECONDS = 2.0
"""A single vowel may stay below what is audible otherwise; what lasts longer is more than that."""

LEAST_VOICED_MS = 2 * STEP_MS
"""Less is hardly evidence ..."""

WORD_VOICED_MS = 5 * STEP_MS
CLEAR = 0.8
"""So much of a voice that is somewhere so likely is a word, whatever else sounds. A soft and steady instrument may last
longer, and is not as likely; moments of music that are do not last."""

ENOUGH_VOICED_MS = 10 * STEP_MS
"""... and so much is beyond doubt, unless it is ..."""

LEAST_SHARE = 0.1
"""... a smaller part of the whole than this. Music has moments that sound like a voice."""

MARGIN_MS = 20 * STEP_MS
"""So much is kept around speech when what is not speech is cut off ..."""

LEAST_CUT_MS = 1000
"""... which is done where there is so much of it."""


class Strength(IntEnum):
    """How much speaks for speech."""

    NONE = 0
    WEAK = 1
    """Moments that may be a voice: a text is believed if the model is sure of it."""
    SOME = 2
    """A short word, or moments of a long sound."""
    STRONG = 3


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the detector found in an utterance."""

    seconds: float
    peak: float
    """The highest probability of speech in any 32 ms."""
    voiced_ms: int
    """Where it is 0.5 or more."""
    share: float
    """The part of the whole in which it is 0.3 or more."""

    @property
    def holds_a_word(self) -> bool:
        """Whether there is a clear voice for long enough, be it in a long sound of another kind."""
        return self.peak >= CLEAR and self.voiced_ms >= WORD_VOICED_MS

    @property
    def strength(self) -> Strength:
        """Weigh it."""
        if self.peak < AUDIBLE and self.seconds > BRIEF_SECONDS:
            return Strength.NONE
        if self.voiced_ms < LEAST_VOICED_MS:
            return Strength.WEAK
        return Strength.STRONG if self.voiced_ms >= ENOUGH_VOICED_MS and self.share >= LEAST_SHARE else Strength.SOME


def evidence(probabilities: npt.NDArray[np.float32], seconds: float) -> Evidence:
    """Sum up what was found in so many seconds."""
    return Evidence(
        seconds=seconds,
        peak=float(probabilities.max(initial=0.0)),
        voiced_ms=int((probabilities >= VOICED).sum()) * STEP_MS,
        share=float((probabilities >= LIKELY).mean()) if len(probabilities) else 0.0,
    )


def spoken_span(probabilities: npt.NDArray[np.float32]) -> tuple[int, int]:
    """Tell where speech may be, with a margin around it, in milliseconds; all of it where little else is there.

    Where there is clearly a voice, what was taken for one for a moment elsewhere does not count; a softer one does.
    """
    length_ms = len(probabilities) * STEP_MS
    audible = probabilities >= AUDIBLE
    lasting = np.flatnonzero(audible[:-2] & audible[1:-1] & audible[2:])
    is_clear = (probabilities >= VOICED).sum() * STEP_MS >= ENOUGH_VOICED_MS and len(lasting)
    steps = np.append(lasting, lasting[-1] + 2) if is_clear else np.flatnonzero(audible)
    if not len(steps):
        return 0, length_ms
    start_ms = max(0, int(steps[0]) * STEP_MS - MARGIN_MS)
    end_ms = min(length_ms, (int(steps[-1]) + 1) * STEP_MS + MARGIN_MS)
    return (start_ms, end_ms) if length_ms - (end_ms - start_ms) >= LEAST_CUT_MS else (0, length_ms)
