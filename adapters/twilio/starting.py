"""Where the stream of a call is to come: told to Twilio when it asks, and to programs that start streams themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from adapters.stream import Refusal
from adapters.twilio.prospect import Inquiry
from adapters.twilio.tickets import Ticket  # noqa: TC001  at run time: msgspec resolves the annotations below
from adapters.twilio.twiml import StreamStart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapters.stream import Listener
    from adapters.twilio.prospect import VoiceHost
    from adapters.twilio.tickets import Tickets

STREAM_NAME = "linescribe"
"""A call that asks twice has one stream all the same: Twilio refuses a second of a name."""

NEEDS_HTTPS = (
    "Twilio streams to wss:// alone, so set http.public_url to the https:// URL that it reaches the gateway by"
)


class StartError(Exception):
    """There is nowhere that a stream could come to; the text says why."""


class NoHttpsError(StartError):
    """There is no URL that Twilio could stream to."""


class UnknownListenerError(StartError):
    """No listener that the program may use goes by the name."""


class UnknownAccountError(StartError):
    """The listener lets in no stream of that account of Twilio's."""


class WantedStream(msgspec.Struct, frozen=True, kw_only=True):
    """What a program asks for that will have a call streamed."""

    ticket: Ticket
    listener: str | None
    """None: the first."""
    program: str
    """Its account. Listeners of another are not its own."""
    base: str
    """How Twilio reaches the gateway: a URL up to its path."""


class Starter:
    """Tells it for one listener, whose `tickets` its streams must show.

    `sids` are the accounts of Twilio's that have to sign what comes there; none where nothing need be signed.
    """

    def __init__(
        self, listener: Listener, *, path: str, sids: Sequence[str], tickets: Tickets, clock: Callable[[], float]
    ) -> None:
        self.listener = listener
        self._path = path
        self._sids = sids
        self._tickets = tickets
        self._clock = clock

    def start(self, ticket: Ticket, base: str) -> StreamStart:
        """Give out a token for a call. Raises NoHttpsError."""
        if not base.startswith("https://"):
            raise NoHttpsError(NEEDS_HTTPS)
        token = self._tickets.issue(ticket, self._clock())
        return StreamStart(
            url=f"wss{base.removeprefix('https')}{self._path}/{token}",
            name=STREAM_NAME,
            status_callback=f"{base}{self._path}/status",
        )

    def voucher(self, sid: str) -> str | None:
        """Tell who will vouch for an account's stream. Raises UnknownAccountError where it would be turned away."""
        if not self._sids:
            return None
        if sid not in self._sids:
            raise UnknownAccountError(f"Expected an `account_sid` of the accounts of listener {self.listener.name!r}")
        return sid


class Starters:
    """Tells it for all listeners, to programs."""

    def __init__(self, starters: Sequence[Starter], host: VoiceHost, clock: Callable[[], float]) -> None:
        self._starters = starters
        self._host = host
        self._clock = clock

    def start(self, wanted: WantedStream) -> StreamStart:
        """Give out a token for a call. Raises StartError, and Refusal where no more calls are taken."""
        starter = self._find(wanted)
        ticket = wanted.ticket
        inquiry = Inquiry(
            listener=starter.listener,
            external_call_id=ticket.call_sid,
            parameters=ticket.parameters | {"accountSid": ticket.account_sid},
            vouched_by=starter.voucher(ticket.account_sid),
        )
        prospect = self._host.prospect(inquiry, self._clock())
        if prospect.refused is not None:
            raise Refusal(prospect.refused)
        return starter.start(ticket, wanted.base)

    def _find(self, wanted: WantedStream) -> Starter:
        usable = [each for each in self._starters if each.listener.account in {None, wanted.program}]
        for starter in usable:
            if wanted.listener in {None, starter.listener.name}:
                return starter
        names = ", ".join(each.listener.name for each in usable)
        there = f"expected one of {names}" if names else "there is none"
        raise UnknownListenerError(f"no listener of Twilio's goes by that name, for whoever has this token: {there}")
