"""What follows from an attempt to deliver: nothing more to do, another attempt, or giving up. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

GONE = 410
DAY_SECONDS = 86_400.0


class Answered(msgspec.Struct, frozen=True):
    """The receiver answered; a redirect is an answer like any other, and a failure."""

    status: int
    retry_after_seconds: float | None = None
    """What the receiver asked for; may be anything, infinity too."""

    def __str__(self) -> str:
        return f"HTTP {self.status}"

    @property
    def accepted(self) -> bool:
        """Whether the receiver has it."""
        return self.status // 100 == 2  # noqa: PLR2004  the class of 2xx


class Unanswered(msgspec.Struct, frozen=True):
    """No answer came: no connection, or none in time."""

    error: str

    def __str__(self) -> str:
        return self.error

    @property
    def accepted(self) -> bool:
        """Whether the receiver has it: nobody can tell."""
        return False


Outcome = Answered | Unanswered


class Delivered(msgspec.Struct, frozen=True):
    """The receiver has it."""


class RetryAt(msgspec.Struct, frozen=True):
    """Another attempt is to be made."""

    due_at: float
    """Seconds since the epoch."""
    reason: str
    """What the last one came to."""


class GiveUp(msgspec.Struct, frozen=True):
    """No further attempt is to be made."""

    reason: str


class Disable(msgspec.Struct, frozen=True):
    """The receiver wants no more at all: what it was to be sent waits until the operator says otherwise."""

    reason: str


Decision = Delivered | RetryAt | GiveUp | Disable


def decide(
    attempt: int,
    outcome: Outcome,
    *,
    retry_seconds: Sequence[float],
    jitter: float,
    random: float,
    now: float,
) -> Decision:
    """Decide what follows from the outcome of attempt number `attempt`, counted from 1.

    `retry_seconds` are the waits before the second attempt, the third and so on. A wait is varied by up to
    `jitter` of itself, as `random` (0 to 1) says. Retry-After may lengthen a wait, never shorten it.
    """
    if outcome.accepted:
        return Delivered()
    if isinstance(outcome, Answered) and outcome.status == GONE:
        return Disable(f"{outcome}: the receiver wants no more")
    if attempt > len(retry_seconds):
        return GiveUp(f"{outcome} at attempt {attempt}, the last")
    wait = retry_seconds[attempt - 1] * (1 + jitter * (2 * random - 1))
    return RetryAt(now + max(wait, _asked(outcome, retry_seconds)), str(outcome))


KINDS = ("delivered", "refused", "unanswered", "given_up", "disabled")


def kind_of(outcome: Outcome, decision: Decision) -> str:
    """Put what came of an attempt in one word of KINDS, for counting."""
    if isinstance(decision, Delivered):
        return "delivered"
    if isinstance(decision, GiveUp | Disable):
        return "given_up" if isinstance(decision, GiveUp) else "disabled"
    return "refused" if isinstance(outcome, Answered) else "unanswered"


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Read a Retry-After header, seconds or a date (RFC 9110 10.2.3); None if it is neither."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment.timestamp() - now


def _asked(outcome: Outcome, retry_seconds: Sequence[float]) -> float:
    """Bound what the receiver asked for, so that no receiver can put an event off for ever."""
    if isinstance(outcome, Unanswered) or outcome.retry_after_seconds is None:
        return 0.0
    return min(outcome.retry_after_seconds, max((DAY_SECONDS, *retry_seconds)))
