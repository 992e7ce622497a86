"""Which messages of a numbered wire never came, and which came twice. Pure."""

from __future__ import annotations

REMEMBERED = 64
"""So many missing numbers are waited for; what comes out of order is late by a few."""

LONGEST_LEAP = 1_000
"""A number that is further ahead, or further behind than what is remembered, begins another count."""

MOST_REPEATED = 8
"""Where so many numbers came twice, the peer does not count; nothing of it is taken for a repetition from then on."""


class Sequence:
    """The numbers of one stream's messages."""

    def __init__(self) -> None:
        self.missing = 0
        """Messages that never came."""
        self._next: int | None = None
        self._awaited: dict[int, None] = {}
        """Missing numbers, oldest first."""
        self._repeated = 0

    def take(self, number: int) -> bool:
        """Take the number of a message that has come; tell False where the same has come before."""
        if number == self._next:
            self._next = number + 1
            return True
        return self._take_odd(number)

    def _take_odd(self, number: int) -> bool:
        ahead = 0 if self._next is None else number - self._next
        if self._repeated == MOST_REPEATED:
            return True
        if number in self._awaited:
            del self._awaited[number]
            self.missing -= 1
        elif -REMEMBERED <= ahead < 0:
            self._repeated += 1
            return False
        else:
            self._next = number + 1
            self._await(range(number - ahead, number) if 0 < ahead <= LONGEST_LEAP else range(0))
        return True

    def _await(self, numbers: range) -> None:
        self.missing += len(numbers)
        self._awaited |= dict.fromkeys(numbers)
        for number in [*self._awaited][:-REMEMBERED]:
            del self._awaited[number]
