"""Tokens that are given out for a call, to Twilio or to a program, and that its stream must bring, once. Pure.

Twilio's signature tells that a request is Twilio's, and of which account; it does not tell of which call, nor that it
was not sent before.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN_BYTES = 24

GOOD_SECONDS = 60.0
"""<Start> opens its stream at once: some 400 ms after the answer."""

MOST_OPEN = 10_000
"""Tokens that have not come back; the oldest goes for one more."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a token was given out for."""

    call_sid: str
    account_sid: str
    parameters: dict[str, str]
    """What the webhook, or the program, has told of the call."""


class Tickets:
    """Those that are open; of their tokens the digests are kept."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._open: dict[bytes, tuple[float, Ticket]] = {}
        """When each was given out, the oldest first."""

    def __len__(self) -> int:
        return len(self._open)

    def issue(self, ticket: Ticket, now: float) -> str:
        """Give out a token, which may stand in a URL as it is."""
        self._expire(now)
        token = base64.urlsafe_b64encode(self._random_bytes(TOKEN_BYTES)).decode()
        self._open[_digest(token)] = now, ticket
        if len(self._open) > MOST_OPEN:
            del self._open[next(iter(self._open))]
        return token

    def take(self, token: str, now: float) -> Ticket | None:
        """Give what a token was given out for, the first time that it is shown."""
        self._expire(now)
        _, ticket = self._open.pop(_digest(token), (0.0, None))
        return ticket

    def _expire(self, now: float) -> None:
        while self._open:
            oldest, (issued_at, _) = next(iter(self._open.items()))
            if now - issued_at <= GOOD_SECONDS:
                return
            del self._open[oldest]


def _digest(token: str) -> bytes:
    # By its digest what is looked up tells nothing by the time that it takes.
    return sha256(token.encode(errors="surrogatepass")).digest()
