"""What a lane decodes next, and what gives way when too much waits. Pure."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import msgspec

from asr.types import BYTES_PER_MS, DecodeKind, DecodeRequest

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
    size: int
    """Bytes of audio; the request itself may have been relieved of it."""
    lost: bool = False
    """Its first decode was lost with the model process; it goes before all others of its kind."""

    @property
    def audio_ms(self) -> int:
        """Length of the audio."""
        return self.size // BYTES_PER_MS

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
    window: Callable[[Waiting], float] = lambda _waiting: 0.0,
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
        width = window(batch[0])
        left = [entry for entry in left if entry is not chosen and not entry.lost and window(entry) == width]
    return Choice(batch=tuple(batch), late=late)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much audio may wait in memory, in bytes."""

    total: float = inf
    track: float = inf
    """Of the finals of one track."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How room is made."""

    gone: tuple[Waiting, ...] = ()
    """To be dropped."""
    spooled: tuple[Waiting, ...] = ()
    """To wait on disk."""


def make_room(held: Iterable[Waiting], new: Waiting, limits: Limits) -> Room | None:
    """Choose what gives way, of all that waits in memory, to what is to wait there too; None when it does not fit.

    To an interim nothing gives way. Else interims and then finals on trial are dropped, those first that came first;
    where that is not enough for a final, the finals that came first wait on disk, and so do those of its track beyond
    the track's limit.
    """
    if new.request.kind is DecodeKind.INTERIM:
        return None
    entries = sorted(held, key=lambda entry: entry.order)
    excess = sum(entry.size for entry in entries) + new.size - limits.total
    gone = list[Waiting]()
    for kind in (DecodeKind.INTERIM, DecodeKind.SPECULATIVE):
        for entry in entries:
            if excess > 0 and entry.request.kind is kind:
                gone.append(entry)
                excess -= entry.size
    if new.request.kind is not DecodeKind.FINAL:
        return Room(gone=tuple(gone)) if excess <= 0 else None
    finals = [entry for entry in entries if entry.request.kind is DecodeKind.FINAL]
    track_excess = sum(entry.size for entry in finals if _same_track(entry, new)) + new.size - limits.track
    spooled = list[Waiting]()
    for entry in finals:
        if excess > 0 or (track_excess > 0 and _same_track(entry, new)):
            spooled.append(entry)
            excess -= entry.size
            track_excess -= entry.size if _same_track(entry, new) else 0
    return Room(gone=tuple(gone), spooled=tuple(spooled)) if max(excess, track_excess) <= 0 else None


def _same_track(entry: Waiting, other: Waiting) -> bool:
    return entry.request.stream_key == other.request.stream_key


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
