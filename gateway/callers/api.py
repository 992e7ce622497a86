"""A gateway's HTTP API, as commands use it: to announce a simulated call, and to ask for the stream of a real one."""

from __future__ import annotations

import ssl  # noqa: TC003  at run time: msgspec resolves the annotations below
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.asking import LONGEST_QUOTE, AskError, post
from gateway.callers.upgrade import said_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.asking import Answer

ASK_SECONDS = 2.0
"""The gateway has so long to answer."""


class StreamPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stream of Twilio's is to come, and what else Twilio is to be told of it."""

    url: str
    """It holds a token, which is a secret until the stream has come."""
    name: str
    status_callback: str


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's HTTP API."""

    url: str
    token: str
    tls: ssl.SSLContext | None = None
    """Whom to trust on https; None: whom the system trusts."""

    async def register(self, announced: Mapping[str, str]) -> None:
        """Announce a stream with `POST /v1/calls`, as a dialplan does before it connects. Raises AskError."""
        await self._post("/v1/calls", data=announced)

    async def twilio_stream(self, wanted: Mapping[str, Any]) -> StreamPlace:
        """Ask for a stream with `POST /v1/twilio/streams`. Raises AskError."""
        answer = await self._post("/v1/twilio/streams", json=wanted)
        try:
            return answer.read(StreamPlace)
        except ValueError as error:
            raise AskError(f"{self.url} answered with something else than a gateway's: {error}") from error

    async def _post(self, path: str, **body: Any) -> Answer:
        target = f"{self.url.rstrip('/')}{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = await post(
                target, headers=headers, connect_seconds=ASK_SECONDS, answer_seconds=ASK_SECONDS, tls=self.tls, **body
            )
        except AskError as error:
            raise AskError(f"{target} cannot be asked: {error}") from error
        if not answer.good:
            said = said_by(answer.body) or answer.body.decode(errors="replace")
            raise AskError(f"{target} answered {answer.status}: {said[:LONGEST_QUOTE]}".strip())
        return answer
