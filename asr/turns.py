"""Which calls were served when, so that those that waited longest come next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_SERVED = 1000
"""When the turns of so many calls are remembered, those are forgotten that have nothing waiting."""


class Turns:
    """Remembers them, by call."""

    def __init__(self) -> None:
        self.served: dict[str, float] = {}

    def remember(self, group: str, now: float, waits: Callable[[str], bool]) -> None:
        """Note that a call was served; `waits` tells whether another one has something waiting."""
        if len(self.served) > MOST_SERVED:
            self.served = {each: at for each, at in self.served.items() if waits(each)}
        self.served[group] = now
