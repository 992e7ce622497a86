"""`/v1/twilio/streams`: where the stream of a call of Twilio's is to come, for programs that start it (docs/api.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from aiohttp import web

from adapters.stream import Refusal
from adapters.twilio.starting import NoHttpsError, StartError, UnknownListenerError, WantedStream
from adapters.twilio.tickets import GOOD_SECONDS, Ticket
from gateway.http.bodies import Parameters, check_parameters, json_answer, read_body
from gateway.http.errors import ApiError, unavailable
from gateway.http.proxies import seen_of
from gateway.http.tokens import account_of
from gateway.wishes import Text  # noqa: TC001  at run time: msgspec resolves the annotations below

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.twilio.twiml import StreamStart
    from config.settings import Settings

MOST_PARAMETERS = 60
"""So many, with what Twilio tells itself, are kept of a call."""

Sid = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class NewStream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/twilio/streams."""

    call_sid: Sid
    account_sid: Sid
    listener: Text | None = None
    parameters: Parameters = msgspec.field(default_factory=dict)


class TwilioApi:
    """The handler, for everybody with a token.

    `start` is that of the adapter's `Starters`, `settings` gives those that apply.
    """

    def __init__(self, start: Callable[[WantedStream], StreamStart], settings: Callable[[], Settings]) -> None:
        self._start = start
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """List what is served."""
        return [web.post("/v1/twilio/streams", self._give_out)]

    async def _give_out(self, request: web.Request) -> web.Response:
        wanted = self._wanted(await read_body(request, NewStream), request)
        try:
            start = self._start(wanted)
        except UnknownListenerError as error:
            raise ApiError(404, "unknown_listener", str(error)) from None
        except NoHttpsError as error:
            raise ApiError(409, "no_https", str(error)) from None
        except StartError as error:
            raise ApiError(400, "invalid", str(error)) from None
        except Refusal as refusal:
            patience_seconds = self._settings().calls.final_wait_patience_seconds
            raise unavailable(refusal.reason, patience_seconds) from None
        return json_answer(_view(start), 201)

    def _wanted(self, asked: NewStream, request: web.Request) -> WantedStream:
        """Make of what is asked what is looked for. Raises ApiError."""
        if len(asked.parameters) > MOST_PARAMETERS:
            raise ApiError(
                400, "invalid", f"Expected `parameters` of at most {MOST_PARAMETERS}: Twilio tells some, too"
            )
        try:
            check_parameters(asked.parameters)
        except ValueError as error:
            raise ApiError(400, "invalid", str(error)) from error
        # What a program has reached us by tells nothing of what Twilio would: that must be said.
        base = seen_of(request).base_url if self._settings().http.public_url else ""
        ticket = Ticket(call_sid=asked.call_sid, account_sid=asked.account_sid, parameters=asked.parameters)
        return WantedStream(ticket=ticket, listener=asked.listener, program=account_of(request), base=base)


def _view(start: StreamStart) -> dict[str, str | int]:
    return {
        "url": start.url,
        "name": start.name,
        "track": start.track,
        "status_callback": start.status_callback,
        "expires_in_seconds": int(GOOD_SECONDS),
    }
