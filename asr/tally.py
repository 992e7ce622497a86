"""What lanes have done, all in all, by kind of request. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from asr.types import DecodeKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asr.types import ModelRole


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """What lanes have done for a role, all in all; what was lost is not counted."""

    lanes: int
    requests: int
    """That were answered."""
    seconds: float
    """That the lanes were at them, added up."""


class Done(msgspec.Struct, kw_only=True):
    """What was done for one kind of request."""

    batches: Counter[int] = msgspec.field(default_factory=Counter)
    """By how many requests they held; those that were lost, too."""
    answered: int = 0
    retries: int = 0
    """How often one of them was decoded again, in a wider window or by chance."""
    seconds: float = 0.0
    """That lanes were at those batches of which something was answered."""


class Tally:
    """Adds it up."""

    def __init__(self) -> None:
        self._done = {kind: Done() for kind in DecodeKind}

    @property
    def done(self) -> Mapping[DecodeKind, Done]:
        """What was done; every kind is there."""
        return self._done

    def add(self, kind: DecodeKind, requests: int, *, answered: int, retries: int, seconds: float) -> None:
        """Count a batch that has come to its end."""
        done = self._done[kind]
        done.batches[requests] += 1
        done.retries += retries
        if answered:
            done.answered += answered
            done.seconds += seconds

    def effort(self, role: ModelRole, lanes: int) -> Effort:
        """Sum up what was done for a role by so many lanes."""
        done = [each for kind, each in self._done.items() if kind.role is role]
        return Effort(
            lanes=lanes,
            requests=sum(each.answered for each in done),
            seconds=sum((each.seconds for each in done), 0.0),
        )
