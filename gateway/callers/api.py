"""A gateway's HTTP API, as whoever announces a simulated call uses it."""

from __future__ import annotations

import ssl  # noqa: TC003  at run time: msgspec resolves the annotations below
from typing import TYPE_CHECKING

import aiohttp
import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

ASK_SECONDS = 2.0
"""The gateway has so long to answer."""


class RegisterError(Exception):
    """The gateway's HTTP API did not take a call that was announced; the text says what it answered."""


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's HTTP API."""

    url: str
    token: str
    tls: ssl.SSLContext | None = None
    """Whom to trust on https; None: whom the system trusts."""

    async def register(self, announced: Mapping[str, str]) -> None:
        """Announce a stream with `POST /v1/calls`, as a dialplan does before it connects. Raises RegisterError."""
        target = f"{self.url.rstrip('/')}/v1/calls"
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ASK_SECONDS), headers=headers) as session,
                session.post(target, data=announced, ssl=self.tls or True) as response,
            ):
                if not response.ok:
                    raise RegisterError(f"{target} answered {response.status}: {await response.text()}".strip())
        except (aiohttp.ClientError, ValueError, TimeoutError) as error:
            raise RegisterError(f"{target} cannot be asked: {str(error) or 'nobody answered'}") from error
