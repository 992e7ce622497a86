"""One request that a command makes of a web server, and its answer, as far as it is read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import msgspec

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

T = TypeVar("T")

LONGEST_ANSWER_BYTES = 65_536

LONGEST_QUOTE = 300
"""Characters of what an answer says to a person."""


class AskError(Exception):
    """What was asked for was not done; the text says why, and may quote whoever was asked."""


class Answer(msgspec.Struct, frozen=True):
    """What came back. A redirection is an answer, too: a secret goes to whom it was meant for and no further."""

    status: int
    body: bytes

    @property
    def good(self) -> bool:
        """Whether what was asked for was done."""
        return self.status in range(200, 300)

    def read(self, kind: type[T]) -> T:
        """Read its body as JSON. Raises ValueError where it is something else."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except RecursionError as error:
            raise ValueError(f"Expected JSON of fewer levels: {error}") from error


async def post(
    url: str,
    *,
    headers: Mapping[str, str],
    connect_seconds: float,
    answer_seconds: float,
    tls: ssl.SSLContext | None = None,
    **body: Any,
) -> Answer:
    """Make a request; `json` or `data` is its body. `tls` None: trust whom the system trusts.

    Raises AskError where no answer can be had.
    """
    limits = aiohttp.ClientTimeout(total=answer_seconds, sock_connect=connect_seconds)
    plain = {"Accept-Encoding": "identity"}  # nothing is unpacked: what is read is what was sent
    try:
        async with (
            aiohttp.ClientSession(timeout=limits, trust_env=False, auto_decompress=False) as session,
            session.post(url, headers={**plain, **headers}, ssl=tls or True, allow_redirects=False, **body) as response,
        ):
            return Answer(response.status, await _read(response.content))
    except TimeoutError as error:
        raise AskError(str(error) or f"nobody answered within {answer_seconds:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise AskError(_why(error)) from error


def _why(error: Exception) -> str:
    """Leave out what aiohttp writes of its own objects."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.errno or 0  # those of resolvers are below, and have their own words
        return f"{os.strerror(number) if number > 0 else error.os_error.strerror or error.os_error}; is it there?"
    return str(error) or type(error).__name__


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = b""
    while chunk := await content.read(LONGEST_ANSWER_BYTES + 1 - len(body)):
        body += chunk
        if len(body) > LONGEST_ANSWER_BYTES:
            raise AskError(f"the answer has more than {LONGEST_ANSWER_BYTES} bytes")
    return body
