from __future__ import annotations

from gateway.delivery.recipients import Recipient


def to(*names: str) -> tuple[Recipient, ...]:
    """Name those who are sent a call's events."""
    return tuple(map(Recipient, names))
