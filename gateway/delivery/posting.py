"""One signed POST to one endpoint: what every attempt has in common, whatever it carries."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from yarl import URL

from config.checks import decode_webhook_secret
from gateway import __version__
from gateway.delivery.addresses import ForbiddenAddressError, PublicResolver, public_socket
from gateway.delivery.recipients import check_brought
from gateway.delivery.retry import Answered, Outcome, Unanswered, retry_after_seconds
from gateway.delivery.signing import sign
from gateway.delivery.trust import EndpointTls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from config.delivery import Endpoint

HEADERS = {"content-type": "application/json", "user-agent": f"Linescribe/{__version__}"}

LONGEST_ANSWER_BYTES = 65_536
"""Read so far to let the connection be used again; a longer answer costs its connection."""


class Sessions(NamedTuple):
    """What attempts are made by: they keep no cookies, ask no proxy and unpack no answer."""

    open: aiohttp.ClientSession
    guarded: aiohttp.ClientSession
    """Connects to public addresses alone."""
    resolver: PublicResolver
    """What looks names up for the guarded one."""


@asynccontextmanager
async def new_sessions(resolver: PublicResolver | None = None) -> AsyncIterator[Sessions]:
    """Make the sessions that senders share, and close them."""
    resolver = resolver or PublicResolver()
    connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, resolver=resolver, socket_factory=public_socket)
    async with _session(aiohttp.TCPConnector(limit=0)) as open_, _session(connector) as guarded:
        yield Sessions(open_, guarded, resolver)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    # No limit: each sender limits itself.
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
    )


class Poster:
    """Make attempts at one endpoint. `clock` gives seconds since the epoch, for the signature.

    Raises TlsError where the files of its TLS cannot serve.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sessions: Sessions,
        *,
        timeout_seconds: float,
        connect_timeout_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._session = sessions.guarded if endpoint.guarded else sessions.open
        self._resolver = sessions.resolver
        self._keys = [decode_webhook_secret(secret) for secret in endpoint.secrets]
        self._headers = HEADERS | {name: value.reveal() for name, value in endpoint.headers.items()}
        self._tls = EndpointTls(endpoint.tls, endpoint.name) if endpoint.tls else None
        self._timeout_seconds = timeout_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._clock = clock

    async def post(self, event_id: str, body: bytes, url: str | None = None) -> Outcome:
        """Make one attempt, at a URL that a call has brought if there is one.

        What the receiver or the network does wrong is an outcome, never raised.
        """
        try:
            return await self._post(event_id, body, self._url(url))
        except aiohttp.ConnectionTimeoutError:
            return Unanswered(f"no connection within {self._connect_timeout_seconds:g} s")
        except TimeoutError:
            return Unanswered(f"no answer within {self._timeout_seconds:g} s")
        except aiohttp.ClientError as error:
            return Unanswered(_describe(error))
        except (ForbiddenAddressError, ValueError) as error:
            return Unanswered(str(error))

    def _url(self, brought: str | None) -> URL:
        """Say where it goes. Raises ValueError: the settings no longer let calls go there."""
        if brought is not None:
            check_brought(self._endpoint, brought)
        elif self._endpoint.url is None:
            raise ValueError("the call has brought no URL")
        return URL(brought or self._endpoint.url or "")

    async def _post(self, event_id: str, body: bytes, url: URL) -> Outcome:
        left_seconds = await self._check(url) if self._endpoint.guarded else self._timeout_seconds
        async with self._session.post(
            url,
            data=body,
            headers=self._headers | sign(self._keys, event_id, int(self._clock()), body),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=left_seconds, connect=self._connect_timeout_seconds),
            ssl=self._tls.context(self._clock()) if self._tls else True,
        ) as answer:
            # The status is the answer, whatever becomes of the rest.
            with suppress(aiohttp.ClientError, TimeoutError):
                await _drain(answer)
            asked = retry_after_seconds(answer.headers.get("retry-after"), self._clock())
            return Answered(answer.status, asked)

    async def _check(self, url: URL) -> float:
        """Look at where it goes, each time: a connection that is kept open was made to what the name stood for then.

        Gives the seconds that are left. Raises ForbiddenAddressError and ValueError.
        """
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timeout_seconds / 2):
                await self._resolver.check(url.raw_host or "")
        except socket.gaierror as error:
            raise ValueError(f"{url.raw_host} is not known: {error.strerror}") from error
        return self._timeout_seconds - (asyncio.get_running_loop().time() - began)


def _describe(error: aiohttp.ClientError) -> str:
    """Put an error in words that cannot hold the path of the URL, which may be a secret."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {_reason(error.os_error)}"
    return str(error) if isinstance(error, aiohttp.ClientOSError) else type(error).__name__


def _reason(error: OSError) -> str:
    match error:
        case ForbiddenAddressError():
            return str(error)
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError() | socket.gaierror():
            return str(error.strerror or error)
    return os.strerror(error.errno) if error.errno else str(error)


async def _drain(answer: aiohttp.ClientResponse) -> None:
    left = LONGEST_ANSWER_BYTES
    while left > 0 and (chunk := await answer.content.read(left)):
        left -= len(chunk)
