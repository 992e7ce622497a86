"""Who is sent the events of a call."""

from __future__ import annotations

import msgspec

from config.settings import Endpoint  # noqa: TC001


class Recipient(msgspec.Struct, frozen=True):
    """One who is sent a call's events."""

    endpoint: str
    url: str | None = None

    @property
    def queue(self) -> str:
        """Under which name its deliveries wait."""
        return self.endpoint


def name_of(queue: str) -> str:
    """Give the endpoint's name."""
    return queue.partition("@")[0]


def wants(_endpoint: Endpoint, _type: str) -> bool:
    """Tell."""
    return True
