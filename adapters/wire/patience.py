"""Patience with messages that mean nothing, but not with a peer that sends hardly anything else. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.stream import WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.stream import StreamEvent

MOST_MEANINGLESS = 1_000


class Patience:
    """Counts what meant something, and what did not."""

    def __init__(self) -> None:
        self._left = MOST_MEANINGLESS

    def judge(self, *, meant: bool, events: Sequence[StreamEvent] = ()) -> None:
        """Take note of a message. Raises WireError, with the `events` before it, when too many meant nothing."""
        self._left += 1 if meant else -1
        if self._left < 0:
            raise WireError("hardly any message means anything", events)
