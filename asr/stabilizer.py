"""The text of an utterance while it is spoken: of each new hypothesis, what the one before agrees with stays. Pure.

What two hypotheses in a row say is committed (LocalAgreement with n = 2: Liu et al. 2020, Machacek et al. 2023), but
for the last word of the newer one, whose audio is cut. What is committed is never changed, whatever comes later.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from asr.units import align, bare, follow, same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asr.units import Pair, Unit

OVERLAP = 2
"""So many committed words are heard again behind a cut: by them the next hypothesis is fitted to what is there. With
none, one or three there were more errors (docs/performance.md)."""

MARGIN_MS = 1000
"""What was heard last is not yet to be relied upon: a word may have begun there."""

LEAST_SHARE = 1 / 3
"""A cut that lets go of less of its audio is not worth it."""


SURE = 0.6
"""A last word that was heard twice is shown where the model is so confident; below that it is often another yet."""


class Stabilizer:
    """One utterance's text. It takes hypotheses in the order in which their audio ends."""

    def __init__(self) -> None:
        self._committed: list[Unit] = []
        self._rest: Sequence[Unit] = ()
        """What the last hypothesis had behind that."""
        self._shown: Sequence[Unit] = ()
        """What is shown behind what is committed: one unit at most."""
        self._heard: Sequence[Unit] = ()
        self._pairs: list[Pair] = []
        """Which units of the last hypothesis are which of those committed."""
        self._anchor = 0

    @property
    def anchor(self) -> int:
        """How many committed units lie before the audio that is still to be heard."""
        return self._anchor

    @property
    def text(self) -> str:
        """What is to be shown; empty where nothing was heard yet."""
        return "".join(unit.text for unit in (*self._committed, *self._shown))

    @property
    def stable_chars(self) -> int:
        """How many characters of the text will not change: all that are committed but for the marks behind the last."""
        return sum(len(unit.text) for unit in self._committed) - sum(len(unit.tail) for unit in self._committed[-1:])

    def hear(self, heard: Sequence[Unit], anchor: int, confidence: float = 1.0) -> None:
        """Take a hypothesis of audio that began when so many units were committed before it."""
        expected = self._committed[anchor:]
        reached, pairs = align(
            [unit.key for unit in expected], [unit.key for unit in heard], swallowed=OVERLAP if anchor else 0
        )
        self._heard, self._pairs = heard, [(here, anchor + there) for here, there in pairs]
        if self._pairs[-1:] == [(reached - 1, len(self._committed) - 1)]:
            self._committed[-1] = msgspec.structs.replace(self._committed[-1], tail=heard[reached - 1].tail)
        rest = list(heard[reached:])
        if rest and reached == 0 and self._committed:
            rest[0] = follow(rest[0])
        agreed = same(self._rest, rest)
        fixed = max(0, min(agreed, len(rest) - 1))
        self._commit(rest[:fixed], reached)
        self._rest = rest[fixed:]
        self._shown = self._worth_showing(rest[fixed:agreed] if confidence >= SURE else ())

    def let_go(self, audio_ms: int, *, full: bool, longest_ms: int = 0) -> int | None:
        """Choose where the audio of the last hypothesis, which was so long, is heard on from; None: all of it.

        It is cut behind a committed word whose time is known. Where there is none and the audio is as long as it may
        be, what was heard is committed, though nothing agrees with it. A hypothesis before may have heard more, of
        which something was committed: `longest_ms`.
        """
        at_ms = self._cut(audio_ms)
        if at_ms is not None or not full:
            return at_ms
        certain = [*takewhile(lambda unit: unit.end_ms is None or unit.end_ms <= audio_ms - MARGIN_MS, self._rest)]
        self._commit(certain, len(self._heard) - len(self._rest))
        self._rest = self._rest[len(certain) :]
        at_ms = self._cut(audio_ms)
        if at_ms is not None:
            return at_ms
        timed = all(self._heard[here].end_ms is not None for here, _ in self._pairs)
        missed = not self._pairs and self._anchor < len(self._committed)
        if longest_ms > audio_ms or not timed or missed:  # going back would hear words again, nobody knows which
            self._anchor = len(self._committed)
            return max(audio_ms, longest_ms)
        at_ms = max(0, audio_ms - MARGIN_MS)
        self._anchor = next((there for here, there in self._pairs if self._ends_ms(here) > at_ms), len(self._committed))
        return at_ms

    def _ends_ms(self, here: int) -> int:
        return self._heard[here].end_ms or 0

    def _cut(self, audio_ms: int) -> int | None:
        """Cut so that some committed words are heard again, if that lets go of enough."""
        for here, there in self._pairs[:-OVERLAP][-1:]:
            end_ms = self._heard[here].end_ms
            if end_ms is not None and LEAST_SHARE * audio_ms <= end_ms < audio_ms:
                self._anchor = there + 1
                return end_ms
        return None

    def _commit(self, some: Sequence[Unit], place: int) -> None:
        """Commit units, which stand there in the last hypothesis; what is shown is the first of them, or is wrong."""
        self._shown = () if some else self._shown
        self._pairs += [(place + step, len(self._committed) + step) for step in range(len(some))]
        self._committed += some

    def _worth_showing(self, agreed: Sequence[Unit]) -> Sequence[Unit]:
        """Show what was heard twice, and of the very first hypothesis its first word, so that something is there soon.

        What is shown is not taken back as long as nothing else was heard twice in its place.
        """
        if self._shown and same(agreed, self._shown) == len(agreed):
            return self._shown
        if agreed or self._committed:
            return [bare(unit) for unit in agreed]
        return [bare(unit) for unit in self._rest[:1]]
