"""The way of one final, in moments: from its last sound to its event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asr.tally import Phase
from gateway.observing import UtteranceTold

if TYPE_CHECKING:
    import asyncio

    from asr.types import Hypothesis
    from gateway.means import Means
    from gateway.observing import Outcome
    from gateway.transcript import Spoken


class Timed:
    """A decode, and when it was at hand: at its end, or when its utterance had ended, should that be later."""

    def __init__(self, future: asyncio.Future[Hypothesis], spoken: Spoken, means: Means) -> None:
        self.future = future
        self._means = means
        self._heard_at = spoken.utterance.heard_at
        self._settled_at = self._answered_at = means.clock()
        means.tallies.phases[Phase.BUFFER].add(self._settled_at - self._heard_at)
        if not future.done():
            future.add_done_callback(self._note)

    def published(self, call_id: str, spoken: Spoken, outcome: Outcome) -> None:
        """Note that it is stored, or that there is nothing to store."""
        now = self._means.clock()
        self._means.tallies.phases[Phase.EMIT].add(now - self._answered_at)
        spoken_seconds = (spoken.end_ms - spoken.start_ms) / 1000
        self._means.observer.utterance(
            UtteranceTold(
                call_id=call_id,
                utterance_id=spoken.utterance_id,
                track=spoken.track.id,
                role=spoken.track.role,
                outcome=outcome,
                began_at=self._heard_at - spoken_seconds,
                heard_at=self._heard_at,
                settled_at=self._settled_at,
                answered_at=self._answered_at,
                published_at=now,
            )
        )

    def _note(self, _future: asyncio.Future[Hypothesis]) -> None:
        self._answered_at = self._means.clock()
