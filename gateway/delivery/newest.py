"""Which interim goes to an endpoint next, and which are shed: of each utterance only the newest waits. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.events import EncodedInterim


class Newest:
    """What waits for one endpoint and what is on its way there, at most one of each per utterance.

    Utterances take their turns in the order in which they came to wait; a newer interim takes the place of the
    older. Whatever is shed is given back to be counted.
    """

    def __init__(self, *, on_their_way: int, waiting: int) -> None:
        self._most_on_their_way = on_their_way
        self._most_waiting = waiting
        self._waiting: dict[str, EncodedInterim] = {}
        self._on_their_way: dict[str, EncodedInterim] = {}

    @property
    def calls(self) -> set[str]:
        """The calls of which something waits or is on its way."""
        return {each.call_id for place in (self._waiting, self._on_their_way) for each in place.values()}

    def put(self, interim: EncodedInterim) -> EncodedInterim | None:
        """Let an interim wait; give the one that is shed for it."""
        older = self._waiting.get(interim.utterance_id)
        self._waiting[interim.utterance_id] = interim
        if older is None and len(self._waiting) > self._most_waiting:
            return self._waiting.pop(next(iter(self._waiting)))
        return older

    def take(self) -> EncodedInterim | None:
        """Give the interim that is to be sent now, if there is one; from here on it is on its way."""
        if len(self._on_their_way) >= self._most_on_their_way:
            return None
        for utterance_id in self._waiting:
            if utterance_id not in self._on_their_way:
                interim = self._on_their_way[utterance_id] = self._waiting.pop(utterance_id)
                return interim
        return None

    def settle(self, interim: EncodedInterim) -> bool:
        """Note that an interim is not on its way any more; False if it was forgotten with its call."""
        if self._on_their_way.get(interim.utterance_id) is not interim:
            return False
        del self._on_their_way[interim.utterance_id]
        return True

    def close(self, utterance_id: str) -> EncodedInterim | None:
        """Let an utterance wait no longer; give what is shed. What is on its way goes on."""
        return self._waiting.pop(utterance_id, None)

    def end(self, call_id: str) -> list[EncodedInterim]:
        """Forget a call; give what is shed, that which is on its way included."""
        return [
            place.pop(each.utterance_id)
            for place in (self._waiting, self._on_their_way)
            for each in tuple(place.values())
            if each.call_id == call_id
        ]
