"""Where Asterisk's chan_websocket comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.asterisk.websocket import KIND, ChanWebSocketWire
from adapters.pump import Limits
from adapters.stream import Hearing, Listener, Track, TrackRole
from adapters.wire.access import Access
from adapters.wire.manner import Manner
from adapters.wire.server import Visit, WebSocketServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adapters.stream import ForeseeingHost
    from adapters.wire.access import Approach
    from adapters.wire.server import HttpPort
    from config.listeners import AsteriskWebSocketListener

PATH = "/asterisk"

SUBPROTOCOL = "media"


class ChanWebSocketDialect:
    """One listener.

    Asterisk takes no extension and no other subprotocol than its own; before 20.18 and 22.8 a ping hangs up the call.
    It has nowhere to put a transcript: its commands are 128 bytes long at most.
    """

    manner = Manner(compress=False, hearing=Hearing.NOTHING)

    def __init__(self, settings: AsteriskWebSocketListener) -> None:
        self._track = Track(id=settings.role, role=TrackRole(settings.role), label=settings.label)
        self.listener = Listener(
            kind=KIND, name=settings.name, account=settings.account, takes_announced=settings.account is not None
        )
        self.access = Access(settings)
        self._limits = Limits(
            handshake_seconds=settings.first_message_seconds, idle_seconds=settings.idle_timeout_seconds
        )

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        """Take Asterisk's own; without an answer to another it connects all the same."""
        return SUBPROTOCOL if SUBPROTOCOL in offered else None

    def visit(self, approach: Approach, query: Mapping[str, str], _now: float) -> Visit:
        """Keep the URL's parameters as a hint; they may be those of the call before. Raises AccessError."""
        self.access.check(approach)
        return Visit(wire=ChanWebSocketWire(self._track, query, self.access.masked), limits=self._limits, call=None)


def servers(
    listeners: Sequence[AsteriskWebSocketListener], host: ForeseeingHost, clock: Callable[[], float], port: HttpPort
) -> list[WebSocketServer]:
    """Make the servers of all listeners."""
    return [WebSocketServer(ChanWebSocketDialect(each), host, clock, port) for each in listeners]
