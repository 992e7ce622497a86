"""Where the media streams of carriers come in, each kind on a path of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from adapters.pump import Limits
from adapters.stream import Hearing, Listener
from adapters.twilio.carriers import OTHERS, TELNYX, TWILIO
from adapters.twilio.guard import Guard, PlivoGuard
from adapters.twilio.preamble import JAMBONZ, VONAGE
from adapters.twilio.protocol import Introduction as CarrierIntroduction
from adapters.twilio.starting import Starter, Starters
from adapters.twilio.telnyx_webhooks import TelnyxWebhooks
from adapters.twilio.tickets import Tickets
from adapters.twilio.webhooks import Webhooks
from adapters.wire.access import Access
from adapters.wire.introduction import Introduction
from adapters.wire.json_media import JsonMediaWire
from adapters.wire.manner import Manner
from adapters.wire.preamble_pcm import PreamblePcmWire
from adapters.wire.server import Visit, WebSocketServer
from config.carriers import RESERVED, PlivoListener

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adapters.stream import ForeseeingHost
    from adapters.twilio.carriers import Carrier
    from adapters.twilio.preamble import PreambleCarrier
    from adapters.twilio.prospect import VoiceHost
    from adapters.wire.access import Approach
    from adapters.wire.server import HttpPort
    from config.carriers import CarrierListener, PcmListener, TelnyxListener, TwilioListener
    from config.settings import Settings

LONGEST_MESSAGE_BYTES = 64 * 1024
"""Twilio's messages have some 450 bytes, and Exotel's, of 100 ms at 24 kHz, 6,500."""

MOST_WAITING = 64
"""Streams from one address that have not sent `start`, which comes with the upgrade."""

MANNER = Manner(
    compress=False,
    hearing=Hearing.NOTHING,  # Twilio warns of whatever comes back on a stream of <Start> (31924, 31951)
    longest_message_bytes=LONGEST_MESSAGE_BYTES,
    most_waiting_of_one=MOST_WAITING,
)


def limits(settings: CarrierListener) -> Limits:
    """Tell how long a stream may be silent."""
    return Limits(handshake_seconds=settings.first_message_seconds, idle_seconds=settings.idle_timeout_seconds)


def listener(carrier: Carrier | PreambleCarrier, settings: CarrierListener, *, vouched: bool) -> Listener:
    """Name a listener. Carriers name each call once; whom nobody knows may name it as he likes."""
    return Listener(
        kind=carrier.kind,
        name=settings.name,
        account=settings.account,
        vouched=vouched,
        takes_announced=settings.account is not None,
    )


class CarrierDialect:
    """One listener of a carrier whose streams are let in as those of any WebSocket are."""

    manner = MANNER

    def __init__(self, carrier: Carrier, settings: CarrierListener) -> None:
        self._carrier = carrier
        self._settings = settings
        self._access = PlivoGuard(settings) if isinstance(settings, PlivoListener) else Access(settings)
        self.listener = listener(carrier, settings, vouched=not settings.accept_anybody)

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        """Take what is offered: Twilio and most others offer nothing, Somleng its own."""
        return offered[0] if offered else None

    def visit(self, approach: Approach, query: Mapping[str, str], _now: float) -> Visit:
        """Keep the URL's parameters, where they can be believed. Raises AccessError."""
        believed = query if self._access.check(approach) else {}
        masked = self._access.masked
        introduction = CarrierIntroduction(
            self._carrier,
            self._settings.labels,
            known={masked(name): masked(value) for name, value in believed.items()},
            mask=masked,
        )
        wire = JsonMediaWire(self._carrier.names, introduction.open)
        return Visit(wire=wire, limits=limits(self._settings), call=None)


class TwilioDialect:
    """One listener of Twilio's."""

    manner = MANNER

    def __init__(self, settings: TwilioListener, guard: Guard) -> None:
        self._settings = settings
        self._guard = guard
        self.listener = listener(TWILIO, settings, vouched=not settings.insecure)

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        """Take what is offered: Twilio offers nothing, Somleng its own."""
        return offered[0] if offered else None

    def visit(self, approach: Approach, _query: Mapping[str, str], now: float) -> Visit:
        """Look at its signature and its token. Raises AccessError."""
        allowed = self._guard.admit_stream(approach, now)
        ticket = allowed.ticket
        introduction = CarrierIntroduction(
            TWILIO,
            self._settings.labels,
            known=ticket.parameters if ticket else None,
            mask=self._guard.masked,
            check=allowed.check,
        )
        wire = JsonMediaWire(TWILIO.names, introduction.open)
        call = ticket.call_sid if ticket else None
        return Visit(wire=wire, limits=limits(self._settings), call=call, vouched_by=allowed.account)


class PreambleDialect:
    """One listener of a carrier that sends bare PCM."""

    manner = Manner(compress=True, hearing=Hearing.NOTHING)

    def __init__(self, carrier: PreambleCarrier, settings: PcmListener) -> None:
        self._carrier = carrier
        self._settings = settings
        self._access = Access(settings)
        self.listener = listener(carrier, settings, vouched=not settings.accept_anybody)

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        """Take what is offered: jambonz offers its own, Vonage nothing."""
        return offered[0] if offered else None

    def visit(self, approach: Approach, query: Mapping[str, str], _now: float) -> Visit:
        """Read what stands in the URL. Raises AccessError and ValueError."""
        self._access.check(approach)
        introduction = Introduction(self._settings, query, self._access, shown=True, translate=self._carrier.translate)
        wire = PreamblePcmWire(introduction.open, self._carrier.digit_in)
        return Visit(wire=wire, limits=limits(self._settings), call=introduction.call)


class Twilio:
    """All listeners of Twilio's: their streams' `servers`, the `routes` of their webhooks, and `starters`.

    The last tell programs where a stream that they start is to come.
    """

    def __init__(
        self,
        listeners: Sequence[TwilioListener],
        host: VoiceHost,
        clock: Callable[[], float],
        port: HttpPort,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.servers: list[WebSocketServer] = []
        self.routes: list[web.RouteDef] = []
        starters: list[Starter] = []
        for settings in listeners:
            tickets = Tickets(random_bytes)
            guard = Guard(settings, tickets)
            server = WebSocketServer(TwilioDialect(settings, guard), host, clock, port)
            path = f"{TWILIO.path}/{settings.name}"
            sids = [each.sid for each in settings.accounts]
            starter = Starter(server.listener, path=path, sids=sids, tickets=tickets, clock=clock)
            webhooks = Webhooks(server, guard=guard, starter=starter, host=host, port=port, clock=clock)
            paths = (TWILIO.path, path)[len(self.servers) > 0 :]
            self.routes += [web.post(f"{each}/voice", webhooks.voice) for each in paths]
            self.routes += [web.post(f"{each}/status", webhooks.status) for each in paths]
            for each in paths:  # before what a listener's name would be
                self.routes += [web.get(f"{each}/{name}", webhooks.misdirected) for name in RESERVED]
            self.servers.append(server)
            starters.append(starter)
        self.starters = Starters(starters, host, clock)


def servers(
    settings: Settings, host: ForeseeingHost, clock: Callable[[], float], port: HttpPort
) -> dict[str, list[WebSocketServer]]:
    """Make the servers of all carriers but Twilio, by their paths."""
    dialects: dict[str, list[CarrierDialect | PreambleDialect]] = {
        each.path: [CarrierDialect(each, one) for one in settings.carriers[each.kind]] for each in OTHERS
    }
    dialects[JAMBONZ.path] = [PreambleDialect(JAMBONZ, one) for one in settings.jambonz]
    dialects[VONAGE.path] = [PreambleDialect(VONAGE, one) for one in settings.vonage]
    return {path: [WebSocketServer(each, host, clock, port) for each in some] for path, some in dialects.items()}


def telnyx_routes(
    listeners: Sequence[TelnyxListener], servers: Sequence[WebSocketServer], port: HttpPort, wall: Callable[[], float]
) -> list[web.RouteDef]:
    """Give the ways in for Telnyx's webhooks: by the name of a listener; to the first without, too."""
    routes: list[web.RouteDef] = []
    for number, (settings, server) in enumerate(zip(listeners, servers, strict=True)):
        status = TelnyxWebhooks(settings, server, port, wall).status
        paths = (TELNYX.path, f"{TELNYX.path}/{settings.name}")[number > 0 :]
        routes += [web.post(f"{each}/status", status) for each in paths]
    return routes
