"""From what a gateway stored and a receiver got to figures of delivery. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


class Appended(msgspec.Struct, frozen=True, array_like=True):
    """An event that the gateway was given. Times are those of CLOCK_MONOTONIC, which all processes share."""

    event_id: str
    begun: float
    committed: float


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """A request as the receiver had it."""

    event_id: str
    call_id: str
    """From the body, as is the next."""
    sequence: int
    at: float
    accepted: bool
    """The receiver has kept it, whatever it has answered."""


def lost(stored: Collection[str], attempts: Iterable[Attempt]) -> set[str]:
    """Name the events that were stored, and that no receiver has."""
    return set(stored) - {attempt.event_id for attempt in attempts if attempt.accepted}


def second_ids(attempts: Iterable[Attempt]) -> int:
    """Count the events that came under more than one id, and the ids that stood for more than one event."""
    pairs = {(attempt.event_id, (attempt.call_id, attempt.sequence)) for attempt in attempts}
    ids = Counter(event for _, event in pairs)
    events = Counter(event_id for event_id, _ in pairs)
    return sum(count > 1 for count in (*ids.values(), *events.values()))


def out_of_order(attempts: Iterable[Attempt]) -> int:
    """Count the events that came, for the first time, before an earlier one of their call had come."""
    firsts: dict[str, dict[int, None]] = defaultdict(dict)
    for attempt in sorted(attempts, key=lambda each: each.at):
        firsts[attempt.call_id].setdefault(attempt.sequence)
    return sum(_displaced(list(order)) for order in firsts.values())


def _displaced(firsts: Sequence[int]) -> int:
    """Count the numbers that have a smaller one behind them."""
    count, smallest = 0, float("inf")
    for sequence in reversed(firsts):
        count += sequence > smallest
        smallest = min(smallest, sequence)
    return count


def duplicates(attempts: Iterable[Attempt]) -> int:
    """Count the times that an event was accepted which the receiver had already."""
    accepted = [attempt.event_id for attempt in attempts if attempt.accepted]
    return len(accepted) - len(set(accepted))


def events_per_second(appended: Sequence[Appended], attempts: Sequence[Attempt]) -> float:
    """Tell how many were stored and delivered in a second, from the first append to the last acceptance."""
    begun = min(each.begun for each in appended)
    ended = max(attempt.at for attempt in attempts if attempt.accepted)
    return len(appended) / (ended - begun)


def to_attempt_ms(appended: Iterable[Appended], attempts: Iterable[Attempt]) -> list[float]:
    """Tell how long after it was begun to be stored each event came to the receiver for the first time."""
    first: dict[str, float] = {}
    for attempt in attempts:
        first[attempt.event_id] = min(attempt.at, first.get(attempt.event_id, attempt.at))
    return [(first[each.event_id] - each.begun) * 1000 for each in appended if each.event_id in first]


def to_commit_ms(appended: Iterable[Appended]) -> list[float]:
    """Tell how long each event took to be stored."""
    return [(each.committed - each.begun) * 1000 for each in appended]


def percentile(values: Sequence[float], part: float) -> float:
    """Give the value that so much of them, from 0 to 1, does not exceed."""
    ranked = sorted(values)
    return ranked[min(int(part * len(ranked)), len(ranked) - 1)]


def missing(appended: Iterable[Appended], stored: Collection[str]) -> set[str]:
    """Name the events that were said to be committed, and are not in the store."""
    return {each.event_id for each in appended} - set(stored)
