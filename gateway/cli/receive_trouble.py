"""A receiver that fails, is slow or lies, to see how a gateway and its operator fare with one."""

from __future__ import annotations

import msgspec

from gateway.receiver import Answer

GONE = 410
SERVICE_UNAVAILABLE = 503


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a receiver; by default nothing."""

    fail: int | None = None
    """The status of events that are not taken."""
    share: float = 1.0
    """Of which the trouble comes over so many; the others are taken."""
    retry_after_seconds: int | None = None
    slow_seconds: float = 0.0
    lie: bool = False
    """Events are taken, and answered as if they had not been."""

    def answer(self, chance: float) -> Answer:
        """Decide what an event is answered with that has not been taken yet; `chance` is a number from 0 to 1."""
        if chance >= self.share or (self.fail is None and not self.lie):
            return Answer()
        return Answer(
            status=self.fail or SERVICE_UNAVAILABLE, taken=self.lie, retry_after_seconds=self.retry_after_seconds
        )

    @property
    def told(self) -> list[str]:
        """Say what is wrong, and what a gateway makes of it."""
        lines = []
        whose = "Every event" if self.share >= 1 else f"{self.share:.0%} of all events"
        later = "" if self.retry_after_seconds is None else f" and Retry-After: {self.retry_after_seconds}"
        if self.lie:
            lines.append(
                f"{whose} is taken, and answered with {self.fail or SERVICE_UNAVAILABLE}{later} all the same: it comes"
                " again under the same id, and is shown once."
            )
        elif self.fail == GONE:
            lines.append(f"{whose} is answered with 410: the gateway disables the endpoint (linescribe outbox enable).")
        elif self.fail is not None:
            lines.append(f"{whose} is answered with {self.fail}{later}, and not shown: the gateway keeps it for later.")
        if self.slow_seconds:
            lines.append(
                f"Answers come {self.slow_seconds:g} s late (delivery.timeout_seconds is how long they may take)."
            )
        return lines
