"""What a lane decodes next, and what gives way when too much waits. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asr.types import DecodeKind, DecodeRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

FINAL, SPECULATIVE, FIRST_INTERIM, OTHER_INTERIM = range(4)
"""What goes before what."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A request that waits for its lane."""

    request: DecodeRequest
    since: float
    """When it was submitted, on the scheduler's clock."""
    order: int
    """Counts submissions: tells apart what came at the same moment."""
    lost: bool = False
    """Its first decode was lost with the model process; it goes before all others of its kind."""

    def is_late(self, now: float) -> bool:
        """Tell whether its deadline has passed."""
        return self.request.deadline is not None and self.request.deadline <= now


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What comes next."""

    batch: tuple[Waiting, ...] = ()
    """All of one kind and window, in the order in which they were chosen; empty when nothing waits."""
    late: tuple[Waiting, ...] = ()
    """To be failed: their deadline has passed."""


def choose(
    waiting: Iterable[Waiting],
    now: float,
    *,
    served: Mapping[str, float],
    batch_size: int = 1,
    window: Callable[[DecodeRequest], float] = lambda _request: 0.0,
) -> Choice:
    """Choose what a free lane decodes: the most urgent, and of its kind and window who waited longest for a turn.

    Finals go before finals on trial, those before first interims, and those before other interims. For a final the
    wait counts from its submission or from its group's last turn, whichever is later, so that a call with many
    finals takes turns with the others, and nobody waits for ever. `served` tells when each group's last final came
    out; groups of which nothing waits may be left out. `window` tells which requests are decoded together well.
    """
    entries = list(waiting)
    late = tuple(entry for entry in entries if entry.is_late(now))
    in_time = [entry for entry in entries if not entry.is_late(now)]
    if not in_time:
        return Choice(late=late)
    urgent = min(map(_urgency, in_time))
    left = [entry for entry in in_time if _urgency(entry) == urgent]
    last, batch = dict(served), list[Waiting]()
    while left and len(batch) < batch_size:
        chosen = min(left, key=lambda entry: _turn(entry, last))
        batch.append(chosen)
        if chosen.lost:
            break  # alone: what brings the process down a second time is to take nobody with it
        last[chosen.request.group_key] = now
        width = window(batch[0].request)
        left = [entry for entry in left if entry is not chosen and not entry.lost and window(entry.request) == width]
    return Choice(batch=tuple(batch), late=late)


def make_room(waiting: Iterable[Waiting], needed_ms: int, limit_ms: float) -> tuple[Waiting, ...] | None:
    """Choose what gives way to a final of `needed_ms`: interims, then finals on trial, those that waited longest first.

    None when the final does not fit even without all of them; then none need go.
    """
    entries = list(waiting)
    excess_ms = sum(entry.request.audio_ms for entry in entries) + needed_ms - limit_ms
    gone: list[Waiting] = []
    for entry in sorted(entries, key=lambda entry: (entry.request.kind is not DecodeKind.INTERIM, entry.order)):
        if excess_ms <= 0:
            break
        if entry.request.kind is not DecodeKind.FINAL:
            gone.append(entry)
            excess_ms -= entry.request.audio_ms
    return tuple(gone) if excess_ms <= 0 else None


def _urgency(entry: Waiting) -> int:
    match entry.request.kind:
        case DecodeKind.FINAL:
            return FINAL
        case DecodeKind.SPECULATIVE:
            return SPECULATIVE
        case DecodeKind.INTERIM:
            return FIRST_INTERIM if entry.request.first else OTHER_INTERIM


def _turn(entry: Waiting, served: Mapping[str, float]) -> tuple[bool, float, float, int]:
    """Rank by who waited longest. Interims have no turns: of each stream but one waits at a time."""
    last = float("-inf")
    if entry.request.kind is not DecodeKind.INTERIM:
        last = served.get(entry.request.group_key, last)
    return (not entry.lost, max(entry.since, last), last, entry.order)
