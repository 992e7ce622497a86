"""What Twilio asks by HTTP: what to do with a call, and that it be known how a stream has gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web

from adapters.twilio.prospect import Inquiry
from adapters.twilio.reports import without_urls
from adapters.twilio.signature import read_form
from adapters.twilio.starting import NEEDS_HTTPS, NoHttpsError
from adapters.twilio.tickets import Ticket
from adapters.twilio.twiml import busy, voice, what_comes_next
from adapters.wire.access import AccessError
from adapters.wire.server import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from adapters.twilio.guard import Guard
    from adapters.twilio.prospect import VoiceHost
    from adapters.twilio.signature import Parameters
    from adapters.twilio.starting import Starter
    from adapters.twilio.twiml import StreamStart
    from adapters.wire.server import HttpPort, WebSocketServer

log = structlog.get_logger()

KEPT = {
    "AccountSid": "accountSid",
    "To": "called",
    "From": "calling",
    "Direction": "direction",
    "ForwardedFrom": "forwarded_from",
}
"""What is kept of what a webhook tells of a call, and what it is called then: routes go by it."""

STOPPED, ERROR = "stream-stopped", "stream-error"

LONGEST_FORM_BYTES = 16 * 1024
"""Twilio's have some 1,500."""
LONGEST_VALUE = 1_024
LONGEST_REPORT = 200
LONGEST_SID = 64

NO_FORM = "expected a form, as Twilio posts it: set the webhook to HTTP POST"
NO_HTTPS = f"a call goes on without a transcript: {NEEDS_HTTPS}"
SILENT = (
    "no route says what a call goes on with: it hears an hour of silence, and is transcribed (twilio under a route:"
    " docs/twilio.md)"
)


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
            form, account = await self._read(request)
        except AccessError as error:
            return self._turn_away(request, error)
        known = {name: form[said][:LONGEST_VALUE] for said, name in KEPT.items() if form.get(said)}
        call_sid = form.get("CallSid", "")[:LONGEST_SID]
        inquiry = Inquiry(
            listener=self._server.listener, external_call_id=call_sid, parameters=known, vouched_by=account
        )
        prospect = self._host.prospect(inquiry, self._clock())
        if prospect.voice is None:
            self._tell_of_silence()
        then = what_comes_next(prospect.voice)
        if prospect.refused is not None:
            rejects = prospect.voice is not None and prospect.voice.when_full == "busy"
            self._server.complain(self._port.client(request), f"{prospect.refused}; {'busy' if rejects else 'goes on'}")
            return _twiml(busy() if rejects else voice(None, then))
        ticket = Ticket(call_sid=call_sid, account_sid=form.get("AccountSid", "")[:LONGEST_SID], parameters=known)
        return _twiml(voice(self._start(request, ticket), then))

    async def status(self, request: web.Request) -> web.StreamResponse:
        """Take note of how a stream has gone, and let it end where it is over.

        An error need not be the end: Twilio tells of some and goes on.
        """
        try:
            form, account = await self._read(request)
        except AccessError as error:
            return self._turn_away(request, error)
        event, stream_id = form.get("StreamEvent"), form.get("StreamSid")
        if event == ERROR:
            self._warn(form)
        if event in {STOPPED, ERROR} and stream_id:
            for connection in self._server.connections:
                started = connection.started
                if started is not None and (started.stream_id, started.vouched_by) == (stream_id, account):
                    connection.end_soon(surely=event == STOPPED)
        return web.Response(status=204)

    async def misdirected(self, _request: web.Request) -> web.StreamResponse:
        """Say what is wrong with a webhook that comes by another method."""
        return refused(405, "method_not_allowed", NO_FORM, {hdrs.ALLOW: hdrs.METH_POST})

    async def _read(self, request: web.Request) -> tuple[dict[str, str], str | None]:
        """Read a form; tell which account has signed it. Raises AccessError."""
        body = await request.read()
        form: Parameters | None = read_form(body) if len(body) <= LONGEST_FORM_BYTES else None
        if form is None:
            raise AccessError(400, "bad_request", NO_FORM)
        account = self._guard.admit_webhook(self._server.approach(request), form)
        if not form:
            raise AccessError(400, "bad_request", NO_FORM)
        return dict(form), account

    def _tell_of_silence(self) -> None:
        if not self._told_of_silence:
            self._told_of_silence = True
            log.warning(SILENT, listener=self._server.listener.name)

    def _start(self, request: web.Request, ticket: Ticket) -> StreamStart | None:
        try:
            return self._starter.start(ticket, self._port.base(request))
        except NoHttpsError:
            log.error(NO_HTTPS, listener=self._server.listener.name)  # noqa: TRY400  where it was raised says no more
            return None

    def _warn(self, form: Mapping[str, str]) -> None:
        about = {"stream_id": form.get("StreamSid", "")[:LONGEST_SID], "call": form.get("CallSid", "")[:LONGEST_SID]}
        report = self._guard.masked(without_urls(form.get("StreamError", "")))[:LONGEST_REPORT]
        log.warning("Twilio could not stream a call", listener=self._server.listener.name, error=report, **about)

    def _turn_away(self, request: web.Request, error: AccessError) -> web.Response:
        self._server.complain(self._port.client(request), str(error))
        return refused(error.status, error.code, str(error))


def _twiml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")
