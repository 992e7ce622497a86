"""What Twilio asks by HTTP: what to do with a call, and that it be known how a stream has gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog
from aiohttp import web

from adapters.stream import ForeseeingHost, Refusal
from adapters.twilio.signature import read_form
from adapters.twilio.starting import NEEDS_HTTPS, NoHttpsError
from adapters.twilio.tickets import Ticket
from adapters.twilio.twiml import busy, voice, what_comes_next
from adapters.wire.access import AccessError
from adapters.wire.server import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from adapters.stream import Listener
    from adapters.twilio.guard import Guard
    from adapters.twilio.signature import Parameters
    from adapters.twilio.starting import Starter
    from adapters.twilio.twiml import StreamStart
    from adapters.wire.server import HttpPort, WebSocketServer
    from config.voice import TwilioVoice

log = structlog.get_logger()

KEPT = {"To": "called", "From": "calling", "Direction": "direction", "ForwardedFrom": "forwarded_from"}
"""What is kept of what a webhook tells of a call, and what it is called then: routes go by it."""

LONGEST_VALUE = 1_024
LONGEST_REPORT = 200
LONGEST_SID = 64

NO_FORM = "expected a form, as Twilio posts it: set the webhook to HTTP POST"
NO_HTTPS = f"a call goes on without a transcript: {NEEDS_HTTPS}"
SILENT = (
    "no route says what a call goes on with: it hears an hour of silence, and is transcribed (twilio under a route:"
    " docs/twilio.md)"
)


class VoiceHost(ForeseeingHost, Protocol):
    """A host that knows what calls go on with."""

    def voice(self, listener: Listener, parameters: dict[str, str]) -> TwilioVoice | None:
        """Tell what a call goes on with; None where nothing says it."""
        ...


class Webhooks:
    """Those of one listener, whose `guard` is its streams' too."""

    def __init__(
        self,
        server: WebSocketServer,
        *,
        guard: Guard,
        starter: Starter,
        host: VoiceHost,
        port: HttpPort,
        clock: Callable[[], float],
    ) -> None:
        self._server = server
        self._guard = guard
        self._starter = starter
        self._host = host
        self._port = port
        self._clock = clock
        self._told_of_silence = False

    async def voice(self, request: web.Request) -> web.StreamResponse:
        """Tell what to do with a call: stream its audio here, and go on as its route says."""
        try:
            form = await self._read(request)
        except AccessError as error:
            return self._turn_away(request, error)
        known = {name: form[said][:LONGEST_VALUE] for said, name in KEPT.items() if form.get(said)}
        settings = self._host.voice(self._server.listener, known)
        if settings is None and not self._told_of_silence:
            self._told_of_silence = True
            log.warning(SILENT, listener=self._server.listener.name)
        then = what_comes_next(settings)
        call_sid = form.get("CallSid", "")[:LONGEST_SID]
        try:
            self._host.foresee(self._server.listener, call_sid, self._clock())
        except Refusal as refusal:
            rejects = settings is not None and settings.when_full == "busy"
            self._server.complain(self._port.client(request), f"{refusal.reason}; {'busy' if rejects else 'goes on'}")
            return _twiml(busy() if rejects else voice(None, then))
        ticket = Ticket(call_sid=call_sid, account_sid=form.get("AccountSid", "")[:LONGEST_SID], parameters=known)
        return _twiml(voice(self._start(request, ticket), then))

    async def status(self, request: web.Request) -> web.StreamResponse:
        """Take note of how a stream has gone, and let it end where it is over."""
        try:
            form = await self._read(request)
        except AccessError as error:
            return self._turn_away(request, error)
        event, stream_id = form.get("StreamEvent"), form.get("StreamSid")
        if event == "stream-error":
            self._warn(form)
        if event in {"stream-stopped", "stream-error"}:
            for connection in self._server.connections:
                if connection.stream_id == stream_id:
                    connection.end_soon()
        return web.Response(status=204)

    async def _read(self, request: web.Request) -> dict[str, str]:
        """Read a form that Twilio has signed. Raises AccessError."""
        form: Parameters | None = read_form(await request.read())
        if form is None:
            raise AccessError(400, "bad_request", NO_FORM)
        self._guard.admit_webhook(self._server.approach(request), form)
        if not form:
            raise AccessError(400, "bad_request", NO_FORM)
        return dict(form)

    def _start(self, request: web.Request, ticket: Ticket) -> StreamStart | None:
        try:
            return self._starter.start(ticket, self._port.base(request))
        except NoHttpsError:
            log.error(NO_HTTPS, listener=self._server.listener.name)  # noqa: TRY400  where it was raised says no more
            return None

    def _warn(self, form: Mapping[str, str]) -> None:
        about = {"stream_id": form.get("StreamSid", "")[:LONGEST_SID], "call": form.get("CallSid", "")[:LONGEST_SID]}
        report = form.get("StreamError", "")[:LONGEST_REPORT]
        log.warning("Twilio could not stream a call", listener=self._server.listener.name, error=report, **about)

    def _turn_away(self, request: web.Request, error: AccessError) -> web.Response:
        self._server.complain(self._port.client(request), str(error))
        return refused(error.status, error.code, str(error))


def _twiml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")
