"""What waits to go back to one peer: finals in order, of each utterance the newest interim, and not too much. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.stream import Transcript

MOST_WAITING = 200
"""Transcripts that wait for a peer that reads slowly; a call makes one or two a second."""

MOST_BYTES = 512 * 1024


class Outgoing:
    """A queue that sheds rather than grows: interims first, the oldest first, then the oldest final."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, bool], Transcript] = {}
        """By utterance and whether it is the final."""
        self._bytes = 0
        self.finals_shed = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, transcript: Transcript) -> int:
        """Let a transcript wait, in the place of the interim it makes needless; tell how many interims were shed."""
        shed = self._drop((transcript.utterance_id, False))
        self._waiting[transcript.utterance_id, transcript.final] = transcript
        self._bytes += len(transcript.data)
        while len(self._waiting) > MOST_WAITING or self._bytes > MOST_BYTES:
            shed += self._shed()
        return shed

    def take(self) -> Transcript | None:
        """Give the transcript that is to be sent next."""
        for key, transcript in self._waiting.items():
            self._drop(key)
            return transcript
        return None

    def _shed(self) -> int:
        interims = (key for key in self._waiting if not key[1])
        key = next(interims, None) or next(iter(self._waiting))
        self._drop(key)
        self.finals_shed += key[1]
        return int(not key[1])

    def _drop(self, key: tuple[str, bool]) -> int:
        dropped = self._waiting.pop(key, None)
        if dropped is None:
            return 0
        self._bytes -= len(dropped.data)
        return 1
