"""How far interims can be trusted: what was shown held against what was shown later. Pure.

Words are compared without case and punctuation. A word is unstable where it was shown and the utterance's next interim
has another in its place, or none: the text before is fitted to the beginning of the next by the fewest changes, and
those of its words count that are changed or left out; what the next adds is free. Their number over that of the words
of finals is the unstable-word rate (UPWR, Shangguan et al. 2020). Held against the final, the last interim counts the
same way, apart: the final comes of another model, and is free to differ.
"""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from bench.measuring import percentile
from gateway.demo.score import word_errors, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONG_MS = 10_000
"""Of an utterance as long as this the beginning must not be forgotten."""

BEGINNING_MS = 5_000


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A word of a final, on the call's clock."""

    text: str
    end_ms: int


class Interim(msgspec.Struct, frozen=True, kw_only=True):
    """What was shown, and when."""

    utterance_id: str
    text: str
    stable_chars: int
    at_ms: int

    @property
    def stable(self) -> str:
        """What is said to stay."""
        return self.text[: self.stable_chars]


class Final(msgspec.Struct, frozen=True, kw_only=True):
    """What an utterance came to."""

    utterance_id: str
    text: str
    start_ms: int
    end_ms: int
    words: tuple[Word, ...]


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """All that was heard of one line."""

    text: str
    """What was said on it."""
    onset_ms: int
    """Where speech begins."""
    audio_ms: int
    interims: tuple[Interim, ...]
    finals: tuple[Final, ...]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What it comes to; None where there is nothing to tell it from."""

    lines: int
    words: int
    """Of finals."""
    interims: int
    interims_per_second: float | None
    retractions: int
    """Interims that changed what the one before them had said to stay."""
    unstable_words: int
    unstable_rate: float | None
    unstable_at_final: int
    """Words of last interims that the final changed or left out."""
    unstable_rate_with_final: float | None
    stable_share: float | None
    """So many of the words of finals were stable before."""
    stable_not_in_final: int
    stability_p50_ms: int | None
    stability_p95_ms: int | None
    """From the end of a word, by the final's times, to the first interim in which it is stable."""
    first_interim_p50_ms: int | None
    first_interim_p95_ms: int | None
    without_interim: int
    """Lines of which there was none."""
    interim_wer: float | None
    """Of the last interims before their finals, against all that was said: what they had not heard is wrong, too."""
    interim_wer_so_far: float | None
    """The same against the beginning of it that fits best."""
    final_wer: float | None
    beginning_kept: float | None
    """Of the words in the first five seconds of finals of ten and more, so many stand in the last interim."""


def measure(heard: Sequence[Heard]) -> Figures:
    """Make the figures of some lines."""
    told = sum((_of_utterance(final, line) for line in heard for final in line.finals), Counter[str]())
    delays = [delay for line in heard for final in line.finals for delay in _delays(final, _of(line, final))]
    firsts = [float(line.interims[0].at_ms - line.onset_ms) for line in heard if line.interims]
    interims = sum(len(line.interims) for line in heard)
    return Figures(
        lines=len(heard),
        words=told["words"],
        interims=interims,
        interims_per_second=_rate(interims * 1000, sum(line.audio_ms for line in heard)),
        retractions=told["retractions"],
        unstable_words=told["unstable"],
        unstable_rate=_rate(told["unstable"], told["words"]),
        unstable_at_final=told["at final"],
        unstable_rate_with_final=_rate(told["unstable"] + told["at final"], told["words"]),
        stable_share=_rate(len(delays), told["words"]),
        stable_not_in_final=told["stable"] - len(delays),
        stability_p50_ms=percentile(delays, 50),
        stability_p95_ms=percentile(delays, 95),
        first_interim_p50_ms=percentile(firsts, 50),
        first_interim_p95_ms=percentile(firsts, 95),
        without_interim=sum(not line.interims for line in heard),
        **_wers(heard),
        beginning_kept=_rate(told["begun and kept"], told["begun"]),
    )


def is_retracted(before: Interim, after: Interim) -> bool:
    """Tell whether an interim changes what the one before it had said to stay."""
    return after.stable_chars < before.stable_chars or not after.text.startswith(before.stable)


def taken_back(before: Sequence[str], after: Sequence[str]) -> int:
    """Count the words shown that a later text changes or leaves out; what that adds at its end is free."""
    above = [(column, 0) for column in range(len(after) + 1)]  # changes in all, and words taken back
    for row, word in enumerate(before, 1):
        here = [(row, row)]
        for column, other in enumerate(after, 1):
            (changes, taken), differ = above[column - 1], word != other
            left_out, added = above[column], here[-1]
            here.append(
                min(
                    (changes + differ, taken + differ),
                    (left_out[0] + 1, left_out[1] + 1),
                    (added[0] + 1, added[1]),
                )
            )
        above = here
    return min(above)[1]


def errors_so_far(said: Sequence[str], heard: Sequence[str]) -> int:
    """Count the word errors against the beginning of what was said that fits best."""
    return min(word_errors(said[:length], heard) for length in range(len(said) + 1))


def _of_utterance(final: Final, line: Heard) -> Counter[str]:
    interims = _of(line, final)
    shown = [words(each.text) for each in interims] or [[]]
    counts = Counter(
        {
            "words": len(words(final.text)),
            "retractions": sum(is_retracted(before, after) for before, after in pairwise(interims)),
            "unstable": sum(taken_back(before, after) for before, after in pairwise(shown)),
            "at final": taken_back(shown[-1], words(final.text)),
            "stable": len(words(interims[-1].stable)) if interims else 0,
        }
    )
    if final.end_ms - final.start_ms >= LONG_MS:
        begun = [key for key, end_ms in _timed(final) if end_ms <= final.start_ms + BEGINNING_MS]
        counts["begun"] = len(begun)
        counts["begun and kept"] = sum(1 for _ in _pairs(begun, shown[-1]))
    return counts


def _delays(final: Final, interims: Sequence[Interim]) -> Iterator[float]:
    """Tell how long after its end each word of a final was stable, of those that were."""
    counts = [(len(words(each.stable)), each.at_ms) for each in interims]
    stable, timed = words(interims[-1].stable) if interims else [], _timed(final)
    for here, there in _pairs(stable, [key for key, _ in timed]):
        yield next(at_ms for count, at_ms in counts if count > here) - timed[there][1]


def _wers(heard: Sequence[Heard]) -> dict[str, float | None]:
    said = [words(line.text) for line in heard]
    last = [words(_last(line)) for line in heard]
    finals = [words(" ".join(final.text for final in line.finals)) for line in heard]
    total = sum(map(len, said))
    return {
        "interim_wer": _rate(sum(map(word_errors, said, last)), total),
        "interim_wer_so_far": _rate(sum(map(errors_so_far, said, last)), total),
        "final_wer": _rate(sum(map(word_errors, said, finals)), total),
    }


def _timed(final: Final) -> list[tuple[str, int]]:
    return [(key, word.end_ms) for word in final.words for key in words(word.text)]


def _pairs(some: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Give the places of words that both have, in order."""
    for block in SequenceMatcher(None, some, others, autojunk=False).get_matching_blocks():
        yield from ((block.a + step, block.b + step) for step in range(block.size))


def _of(line: Heard, final: Final) -> list[Interim]:
    return [each for each in line.interims if each.utterance_id == final.utterance_id]


def _last(line: Heard) -> str:
    """Join the last interims of a line's utterances."""
    return " ".join({each.utterance_id: each.text for each in line.interims}.values())


def _rate(some: int, of: int) -> float | None:
    return round(some / of, 4) if of else None
