"""What Telnyx tells by HTTP: that a stream is over, or could not be, or that its call was hung up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from adapters.twilio.guard import TelnyxGuard
from adapters.twilio.telnyx_notice import FAILED, read_notice
from adapters.wire.access import AccessError
from adapters.wire.server import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.twilio.telnyx_notice import Notice
    from adapters.wire.server import HttpPort, WebSocketServer
    from config.carriers import TelnyxListener

log = structlog.get_logger()

LONGEST_REASON = 200


class TelnyxWebhooks:
    """Those of one listener, whose streams are the `server`'s; `wall` is the time in seconds since 1970."""

    def __init__(
        self, settings: TelnyxListener, server: WebSocketServer, port: HttpPort, wall: Callable[[], float]
    ) -> None:
        self._guard = TelnyxGuard(settings)
        self._server = server
        self._port = port
        self._wall = wall

    async def status(self, request: web.Request) -> web.StreamResponse:
        """Take note of what has happened, and let what is over end.

        What means nothing here is answered as the rest is: Telnyx would send it again.
        """
        body = await request.read()
        try:
            self._guard.admit(self._server.approach(request), body, self._wall())
        except AccessError as error:
            self._server.complain(self._port.client(request), str(error))
            return refused(error.status, error.code, str(error))
        notice = read_notice(body)
        if notice.event == FAILED:
            self._warn(notice)
        if notice.tells_of_an_end:
            self._end(notice)
        return web.Response(status=204)

    def _end(self, notice: Notice) -> None:
        for connection in self._server.connections:
            started = connection.started
            if started is not None and notice.means(started.stream_id, started.external_call_id):
                connection.end_soon(surely=notice.is_sure)

    def _warn(self, notice: Notice) -> None:
        about = {"stream_id": notice.stream_id, "call": notice.call_id}
        reason = self._guard.masked(notice.reason)[:LONGEST_REASON]
        log.warning("Telnyx could not stream a call", listener=self._server.listener.name, error=reason, **about)
