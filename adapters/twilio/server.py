"""Where the media streams of carriers come in, each kind on a path of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.pump import Limits
from adapters.stream import Hearing, Listener
from adapters.twilio.protocol import Introduction
from adapters.wire.access import Access
from adapters.wire.json_media import JsonMediaWire
from adapters.wire.server import Visit, WebSocketServer
from adapters.wire.websocket import Manner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adapters.stream import ForeseeingHost
    from adapters.twilio.carriers import Carrier
    from adapters.wire.access import Approach
    from adapters.wire.server import HttpPort
    from config.carriers import CarrierListener

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


def listener(carrier: Carrier, settings: CarrierListener, *, vouched: bool) -> Listener:
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
        self._access = Access(settings)
        self.listener = listener(carrier, settings, vouched=not settings.accept_anybody)

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        """Take what is offered: Twilio and most others offer nothing, Somleng its own."""
        return offered[0] if offered else None

    def visit(self, approach: Approach, query: Mapping[str, str], _now: float) -> Visit:
        """Keep the URL's parameters. Raises AccessError."""
        self._access.check(approach)
        masked = self._access.masked
        introduction = Introduction(
            self._carrier,
            self._settings.labels,
            known={masked(name): masked(value) for name, value in query.items()},
            mask=masked,
        )
        wire = JsonMediaWire(self._carrier.names, introduction.open)
        return Visit(wire=wire, limits=limits(self._settings), call=None)


def servers(
    carrier: Carrier,
    listeners: Sequence[CarrierListener],
    host: ForeseeingHost,
    clock: Callable[[], float],
    port: HttpPort,
) -> list[WebSocketServer]:
    """Make the servers of all listeners of one carrier."""
    return [WebSocketServer(CarrierDialect(carrier, each), host, clock, port) for each in listeners]
