"""One signed POST to one endpoint: what every attempt has in common, whatever it carries."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp

from config.checks import decode_webhook_secret
from gateway import __version__
from gateway.delivery.retry import Answered, Outcome, Unanswered, retry_after_seconds
from gateway.delivery.signing import sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Endpoint

HEADERS = {"content-type": "application/json", "user-agent": f"Linescribe/{__version__}"}

LONGEST_ANSWER_BYTES = 65_536
"""Read so far to let the connection be used again; a longer answer costs its connection."""


def new_session() -> aiohttp.ClientSession:
    """Make the session that senders share: it keeps no cookies, asks no proxy and unpacks no answer."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # each sender limits itself
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )


class Poster:
    """Make attempts at one endpoint. `clock` gives seconds since the epoch, for the signature."""

    def __init__(
        self,
        endpoint: Endpoint,
        session: aiohttp.ClientSession,
        *,
        timeout_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._url = endpoint.url
        self._keys = [decode_webhook_secret(secret) for secret in endpoint.secrets]
        self._session = session
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    async def post(self, event_id: str, body: bytes, url: str | None = None) -> Outcome:
        """Make one attempt. What the receiver or the network does wrong is an outcome, never raised."""
        try:
            return await self._post(event_id, body, url)
        except TimeoutError:
            return Unanswered(f"no answer within {self._timeout_seconds:g} s")
        except aiohttp.ClientError as error:
            return Unanswered(_describe(error))

    async def _post(self, event_id: str, body: bytes, url: str | None) -> Outcome:
        async with self._session.post(
            url or self._url,
            data=body,
            headers=HEADERS | sign(self._keys, event_id, int(self._clock()), body),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
        ) as answer:
            # The status is the answer, whatever becomes of the rest.
            with suppress(aiohttp.ClientError, TimeoutError):
                await _drain(answer)
            asked = retry_after_seconds(answer.headers.get("retry-after"), self._clock())
            return Answered(answer.status, asked)


def _describe(error: aiohttp.ClientError) -> str:
    """Put an error in words that cannot hold the path of the URL, which may be a secret."""
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = os.strerror(error.errno) if error.errno else error.os_error
        return f"cannot connect to {error.host}:{error.port}: {reason}"
    return str(error) if isinstance(error, aiohttp.ClientOSError) else type(error).__name__


async def _drain(answer: aiohttp.ClientResponse) -> None:
    left = LONGEST_ANSWER_BYTES
    while left > 0 and (chunk := await answer.content.read(left)):
        left -= len(chunk)
