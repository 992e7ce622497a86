"""What a lane decodes next, and what gives way when too much waits. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asr.types import DecodeKind, DecodeRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


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
    """All of one kind, in the order in which they were chosen; empty when nothing waits."""
    late: tuple[Waiting, ...] = ()
    """To be failed: their deadline has passed."""


def choose(waiting: Iterable[Waiting], now: float, *, served: Mapping[str, float], batch_size: int = 1) -> Choice:
    """Choose what a free lane decodes: finals before interims, within a kind who waited longest for a turn.

    For a final the wait counts from its submission or from its group's last turn, whichever is later, so
    that a call with many finals takes turns with the others, and nobody waits for ever.
    `served` tells when each group's last final came out; groups of which nothing waits may be left out.
    """
    entries = list(waiting)
    in_time = [entry for entry in entries if not entry.is_late(now)]
    finals = [entry for entry in in_time if entry.request.kind is DecodeKind.FINAL]
    if finals:
        batch = _take_turns(finals, now, served, batch_size)
    else:
        batch = sorted(in_time, key=lambda entry: (not entry.lost, entry.since, entry.order))[:batch_size]
    if batch and batch[0].lost:
        batch = batch[:1]  # alone: what brings the process down a second time is to take nobody with it
    return Choice(batch=tuple(batch), late=tuple(entry for entry in entries if entry.is_late(now)))


def make_room(waiting: Iterable[Waiting], needed_ms: int, limit_ms: float) -> tuple[Waiting, ...] | None:
    """Choose the interims that give way to a final of `needed_ms`, those that waited longest first.

    None when the final does not fit even without all of them; then none need go.
    """
    entries = list(waiting)
    excess_ms = sum(entry.request.audio_ms for entry in entries) + needed_ms - limit_ms
    gone: list[Waiting] = []
    for entry in sorted(entries, key=lambda entry: entry.order):
        if excess_ms <= 0:
            break
        if entry.request.kind is DecodeKind.INTERIM:
            gone.append(entry)
            excess_ms -= entry.request.audio_ms
    return tuple(gone) if excess_ms <= 0 else None


def _take_turns(finals: Sequence[Waiting], now: float, served: Mapping[str, float], batch_size: int) -> list[Waiting]:
    last = dict(served)
    left, batch = list(finals), list[Waiting]()
    while left and len(batch) < batch_size:
        chosen = min(left, key=lambda entry: _turn(entry, last))
        left.remove(chosen)
        batch.append(chosen)
        last[chosen.request.group_key] = now
    return batch


def _turn(entry: Waiting, served: Mapping[str, float]) -> tuple[bool, float, float, int]:
    last = served.get(entry.request.group_key, float("-inf"))
    return (not entry.lost, max(entry.since, last), last, entry.order)
