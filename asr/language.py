"""Which language somebody speaks: decided from their speech, and held until much speaks against it. Pure.

For every utterance the model tells how likely each language is. Of a word or two it is often wrong, and sure of it: of
Spanish prompts, base takes 3 in 10 for Spanish that last less than a second, and 9 in 10 that last more than three. So
what utterances tell is added up, as logarithms, and no single one tells very much. The numbers below were chosen by
half of the prompts of `bench.language`, which tells what they come to with the other half.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

ENGLISH = "en"
"""All that models without other languages know, and all that the others translate into."""

LEAST_LIKELY = 0.01
"""No language is less likely than this, so that an utterance never speaks for one more than a hundred times as much as
for another."""

FULL_SECONDS = 2.5
"""So much speech tells all that an utterance can; what less tells is less in proportion to a power of it."""

POWER = 1.5
LEAST_WEIGHT = 0.05
"""What the shortest utterance tells: little, and not nothing."""

DECIDING_SECONDS = 2.0
"""Nothing is decided before so much speech was heard, in one utterance or in several."""

DECIDED = math.log(60)
"""So much likelier than any other is the language that is decided on: two utterances mostly, or one that is long and
leaves next to no doubt. Twenty times as likely made seven decisions of a thousand wrong, by one sentence each."""

LONGEST_SECONDS = 20.0
"""After so much speech the likeliest is taken, however little likelier: of relatives, such as nn and no, the model may
think the same for ever."""

SLACK = math.log(2)
"""Nothing speaks against the language held unless another is twice as likely: relatives would take turns."""

CHANGED = -1.6 * math.log(LEAST_LIKELY)
"""So much must speak for another language, and against the one held, before it takes its place: about twice what one
utterance can say. With less, some calls left the language that they were in; with more, it takes longer to follow."""

PRESUMED = math.log(5)
"""With somebody who has not said enough, what others in the call speak counts for so much: more than a word or two of
theirs, and less than a sentence. It does not decide."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the language that somebody speaks."""

    allowed: tuple[str, ...] = ()
    """It is among these; empty: among all."""
    held: str | None = None
    """What was decided."""
    presumed: str | None = None
    """What others in the call speak; counts until there is a decision."""
    seconds: float = 0.0
    """Speech heard before the decision."""
    scores: dict[str, float] = {}
    """How much speaks for each language: before the decision in itself, after it against the one held."""

    @property
    def language(self) -> str | None:
        """What to decode in: the language held, or the likeliest so far; None where nothing is known."""
        if self.held is not None:
            return self.held
        standing = self.scores
        if self.presumed is not None:
            standing = standing | {self.presumed: standing.get(self.presumed, 0.0) + PRESUMED}
        return max(standing, key=standing.__getitem__, default=None)

    def after(self, likely: Mapping[str, float], seconds: float) -> Known:
        """Tell what is known after an utterance that holds so many seconds of speech.

        `likely` is what `among` makes of the model's word; a language that is left out counts as `LEAST_LIKELY`.
        """
        weight = max(LEAST_WEIGHT, min(1.0, seconds / FULL_SECONDS) ** POWER)
        if self.held is None:
            return self._gathered(likely, weight, seconds)
        return self._doubted(self.held, likely, weight)

    def _gathered(self, likely: Mapping[str, float], weight: float, seconds: float) -> Known:
        """Add up what speaks for each language, and decide where that is enough."""
        scores = dict(self.scores)
        for language, probability in likely_ones(likely).items():
            scores[language] = scores.get(language, 0.0) + weight * (_log(probability) - _log(None))
        heard_seconds = self.seconds + seconds
        if _is_clear(scores, heard_seconds):
            return Known(allowed=self.allowed, held=max(scores, key=scores.__getitem__))
        return msgspec.structs.replace(self, scores=scores, seconds=heard_seconds)

    def _doubted(self, held: str, likely: Mapping[str, float], weight: float) -> Known:
        """Add up what speaks against the language held, from where it began to: a cumulative sum (Page, 1954)."""
        scores = {}
        for language in dict.fromkeys((*self.scores, *likely)):
            gain = weight * (_log(likely.get(language)) - _log(likely.get(held)) - SLACK)
            score = self.scores.get(language, 0.0) + gain
            if score > 0:
                scores[language] = score
        other = max(scores, key=scores.__getitem__, default=held)
        if scores.get(other, 0.0) < CHANGED:
            return msgspec.structs.replace(self, scores=scores)
        return msgspec.structs.replace(self, held=other, scores={})


def among(likely: Mapping[str, float], allowed: tuple[str, ...]) -> dict[str, float]:
    """Tell how likely those languages are that are allowed, all where none is named.

    What the model gives to others is shared out evenly: it says nothing of these. To share it out in proportion made
    much of little, and six decisions of a thousand wrong.
    """
    if not allowed:
        return dict(likely)
    share = (1.0 - sum(likely.get(language, 0.0) for language in allowed)) / len(allowed)
    return {language: likely.get(language, 0.0) + max(0.0, share) for language in allowed}


def likely_ones(likely: Mapping[str, float]) -> dict[str, float]:
    """Leave out what counts for no more than what is not there."""
    return {language: probability for language, probability in likely.items() if probability > LEAST_LIKELY}


def _is_clear(scores: Mapping[str, float], seconds: float) -> bool:
    """Tell whether enough was heard for a decision, and enough of it speaks for one language."""
    first, second, *_ = (*sorted(scores.values(), reverse=True), 0.0, 0.0)
    wanted = DECIDED if seconds < LONGEST_SECONDS else 0.0
    return seconds >= DECIDING_SECONDS and first > second and first - second >= wanted


def _log(probability: float | None) -> float:
    return math.log(max(probability or 0.0, LEAST_LIKELY))
