"""What an endpoint's TLS stands on, by its settings: an authority of its own, a certificate that the gateway shows."""

from __future__ import annotations

import math
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from adapters.pem import TlsError, load_authority, load_pair, stamp

if TYPE_CHECKING:
    from config.delivery import ClientTls

REFRESH_SECONDS = 10.0
"""How often it is looked whether a file has changed."""

log = structlog.get_logger()


class EndpointTls:
    """The context of one endpoint, made anew when a file changes. Raises TlsError where they cannot serve.

    While changed files cannot serve, as in the middle of a renewal, what they held before stays in use.
    """

    def __init__(self, settings: ClientTls, endpoint: str) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._looked_at = -math.inf
        self._stamps = self._look()
        try:
            self._context = _load(settings)
        except TlsError as error:
            raise TlsError(f"TLS of endpoint {endpoint!r}: {error}") from error

    def context(self, now: float) -> ssl.SSLContext:
        """Give the context for connections to come."""
        if now - self._looked_at >= REFRESH_SECONDS:
            self._looked_at = now
            stamps = self._look()
            if stamps != self._stamps:
                self._stamps = stamps
                self._renew()
        return self._context

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [stamp(path) for path in map(_path, (self._settings.ca, self._settings.certificate, self._settings.key))]

    def _renew(self) -> None:
        try:
            self._context = _load(self._settings)
        except TlsError as error:
            self._report(str(error))
        else:
            log.info("new certificates taken", endpoint=self._endpoint)

    def _report(self, problem: str) -> None:
        log.error("new certificates not taken, the old ones serve on", endpoint=self._endpoint, error=problem)


def _load(settings: ClientTls) -> ssl.SSLContext:
    ca, certificate, key = map(_path, (settings.ca, settings.certificate, settings.key))
    if ca is None:
        context = ssl.create_default_context()
    else:  # that authority, and no other
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        load_authority(context, "ca", ca)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority below another one may stand alone
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None and key is not None:
        scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        load_authority(scratch, "certificate", certificate)  # first, so that the right file is blamed
        load_pair(context, certificate, key)
    return context


def _path(path: str | None) -> Path | None:
    return Path(path).expanduser() if path else None
