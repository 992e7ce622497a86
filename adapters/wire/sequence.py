"""Which messages of a numbered wire never came. Pure.

Nothing comes twice by a WebSocket: a number that does belongs to a peer that counts in another way, such as each track
by itself, and tells nothing.
"""

from __future__ import annotations

REMEMBERED = 64
"""So many missing numbers are waited for; what comes out of order is late by a few."""

LONGEST_LEAP = 1_000
"""A number that is further ahead, or further behind than what is remembered, begins another count."""


class Sequence:
    """The numbers of one stream's messages."""

    def __init__(self) -> None:
        self.missing = 0
        """Messages that never came."""
        self._next: int | None = None
        self._awaited: dict[int, None] = {}
        """Missing numbers, oldest first."""

    def take(self, number: int) -> None:
        """Take the number of a message that has come."""
        if number == self._next:
            self._next = number + 1
        else:
            self._take_odd(number)

    def awaits(self, recent: int) -> bool:
        """Tell whether one of so many numbers before the newest is missing, and may be on its way."""
        newest = max(self._awaited, default=None)
        return newest is not None and self._next is not None and self._next - 1 - newest <= recent

    def _take_odd(self, number: int) -> None:
        ahead = 0 if self._next is None else number - self._next
        if number in self._awaited:
            del self._awaited[number]
            self.missing -= 1
        elif not -REMEMBERED <= ahead < 0:
            self._next = number + 1
            self._await(range(number - ahead, number) if 0 < ahead <= LONGEST_LEAP else range(0))

    def _await(self, numbers: range) -> None:
        self.missing += len(numbers)
        self._awaited |= dict.fromkeys(numbers)
        for number in [*self._awaited][:-REMEMBERED]:
            del self._awaited[number]
