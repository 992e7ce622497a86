"""`/v1/calls`: announce calls before they come, look at them, pause, resume and end them (docs/api.md)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import msgspec
import structlog
from aiohttp import hdrs, web

from adapters.stream import Refusal, StreamEnd
from config.checks import distinct, known

# At run time too: msgspec resolves the annotations below.
from config.routes import Patterns  # noqa: TC001
from config.types import Role  # noqa: TC001
from gateway.delivery.recipients import choose
from gateway.events import rfc3339
from gateway.finding import AmbiguousCallError, UnknownCallError
from gateway.http.bodies import Parameters, check_parameters, json_answer, read_body
from gateway.http.errors import ApiError, unavailable
from gateway.http.proxies import seen_of
from gateway.http.tokens import account_of
from gateway.registrations import Registration, RegistrationConflictError, RegistrationsFullError
from gateway.wishes import Text, Wishes, check_wishes

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.registry import Registry
    from gateway.session import CallSession

log = structlog.get_logger()

A_DAY = 86_400


class NewCall(Wishes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/calls."""

    stream_id: Text
    external_call_id: Text | None = None
    role: Role | None = None
    webhook: Patterns | None = None
    parameters: Parameters = msgspec.field(default_factory=dict)
    expires_in_seconds: Annotated[float, msgspec.Meta(ge=1, le=A_DAY)] | None = None


class Pause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/calls/{name}/pause."""

    reason: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class CallsApi:
    """The handlers, for everybody with a token."""

    def __init__(self, registry: Registry, *, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock
        self._wall = wall

    def routes(self) -> list[web.RouteDef]:
        """List what is served."""
        return [
            web.post("/v1/calls", self._register),
            web.get("/v1/calls", self._list),
            web.get("/v1/calls/{name}", self._show),
            web.delete("/v1/calls/{name}", self._forget),
            web.post("/v1/calls/{name}/pause", self._pause),
            web.post("/v1/calls/{name}/resume", self._resume),
            web.post("/v1/calls/{name}/end", self._end),
        ]

    async def _register(self, request: web.Request) -> web.Response:
        asked = await read_body(request, NewCall)
        registration = self._registration(asked, account_of(request))
        seconds = asked.expires_in_seconds or self._registry.settings.calls.registration_seconds
        try:
            outcome = self._registry.register(registration, seconds)
        except RegistrationConflictError:
            message = "this stream is registered already, with other values; DELETE it first, or end its call"
            raise ApiError(409, "conflict", message) from None
        except RegistrationsFullError:
            raise ApiError(503, "full", "too many registered calls have not come (calls.max_registrations)") from None
        except Refusal as refusal:
            patience_seconds = self._registry.settings.calls.final_wait_patience_seconds
            raise unavailable(refusal.reason, patience_seconds) from None
        answer = _announced(registration)
        if isinstance(outcome, bool):
            answer |= {"expires_at": rfc3339(self._wall() + seconds)}
        else:
            answer |= _view(outcome) | {"expires_at": None}
        place = f"{seen_of(request).base_url}/v1/calls/{quote(registration.stream_id)}"
        return json_answer(answer, 201 if outcome is True else 200, {hdrs.LOCATION: place})

    def _registration(self, asked: NewCall, account: str) -> Registration:
        """Make of what is asked what is remembered. Raises ApiError."""
        stream_id = _stream_id(asked.stream_id)
        endpoints = _several(asked.webhook)
        try:
            self._check(asked, endpoints or ())
        except ValueError as error:
            raise ApiError(400, "invalid", str(error)) from error
        return Registration(
            stream_id=stream_id,
            account=account,
            external_call_id=asked.external_call_id or stream_id,
            role=asked.role,
            label=asked.label,
            language=asked.language,
            languages=asked.allowed_languages,
            options=asked.options,
            endpoints=endpoints,
            parameters=asked.parameters,
        )

    def _check(self, asked: NewCall, endpoints: tuple[str, ...]) -> None:
        check_parameters(asked.parameters)
        check_wishes(asked, self._registry.settings.models)
        distinct("names in `webhook`", endpoints)
        known("webhook", endpoints, [endpoint.name for endpoint in self._registry.settings.delivery.endpoints])
        there = self._registry.settings.delivery.endpoints
        _, problems = choose(there, endpoints or [each.name for each in there], asked.parameters)
        if problems:
            raise ValueError("; ".join(problems))

    async def _list(self, request: web.Request) -> web.Response:
        return json_answer({"calls": [_view(session) for session in self._registry.sessions(account_of(request))]})

    async def _show(self, request: web.Request) -> web.Response:
        waiting = self._registry.registered(_name(request), account_of(request))
        return json_answer(_announced(waiting[0]) if waiting else _view(self._find(request)))

    async def _forget(self, request: web.Request) -> web.Response:
        """Take back what was announced, of a stream or of all those of a call."""
        waiting = self._registry.registered(_name(request), account_of(request))
        if not waiting:
            raise ApiError(404, "unknown_call", "nothing is registered under this name that has not come")
        for registration in waiting:
            self._registry.forget(registration)
        return web.Response(status=204)

    async def _pause(self, request: web.Request) -> web.Response:
        asked, session = await read_body(request, Pause), self._find(request)
        session.pause(asked.reason or None, self._clock())
        return json_answer(_view(session))

    async def _resume(self, request: web.Request) -> web.Response:
        session = self._find(request)
        session.resume(self._clock())
        return json_answer(_view(session))

    async def _end(self, request: web.Request) -> web.Response:
        session = self._find(request)
        if session.open:
            session.end(StreamEnd.ADMIN)
        return json_answer(_view(session))

    def _find(self, request: web.Request) -> CallSession:
        name, account = _name(request), account_of(request)
        try:
            return self._registry.find(name, account)
        except AmbiguousCallError:
            message = "several calls go by this name: use the call_id of one of them"
            raise ApiError(409, "ambiguous", message) from None
        except UnknownCallError:
            if self._registry.registered(name, account):
                message = "this call is registered and has not come yet; DELETE takes the registration back"
                raise ApiError(409, "not_started", message) from None
            raise ApiError(404, "unknown_call", "no call in progress goes by this name") from None


def _several(given: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Take one for a list of one."""
    return (given,) if isinstance(given, str) else given


def _name(request: web.Request) -> str:
    """Take a call's name from the path; a UUID may be written in any way that POST /v1/calls takes."""
    name = request.match_info["name"]
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return name


def _stream_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ApiError(
            400, "invalid", "Expected a UUID in `stream_id`, such as ${UUID()} of a dialplan gives"
        ) from None


def _announced(registration: Registration) -> dict[str, Any]:
    return {
        "state": "registered",
        "call_id": None,
        "stream_id": registration.stream_id,
        "external_call_id": registration.external_call_id,
        "account_id": registration.account,
    }


def _view(session: CallSession) -> dict[str, Any]:
    """Show a call as it is now."""
    live = {track.source.stream_id for track in session.tracks.values() if track.live}
    return {
        "state": "live" if session.open else "ending",
        "call_id": session.call_id,
        "external_call_id": session.external_call_id,
        "paused": session.paused,
        "route": session.settings.route,
        "started_at": rfc3339(session.started_wall),
        "streams": len(live),
        "tracks": [
            {
                "track": track.track.id,
                "role": track.track.role,
                "label": track.track.label,
                "duplicate": track.duplicate,
                "live": track.live,
                "source": track.source,
            }
            for track in session.tracks.values()
        ],
    }
