"""TLS for any listener, with certificates that are renewed under it while it runs."""

from __future__ import annotations

import math
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import structlog

from adapters.pem import TlsError, load_authority, load_pair, reason_of, stamp

if TYPE_CHECKING:
    from config.listeners import Tls

__all__ = ["ServerTls", "TlsError"]

log = structlog.get_logger()

REFRESH_SECONDS = 10.0
"""How often `tick` looks whether a file has changed."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Those of TLS 1.2 that keep past calls secret and notice every change; TLS 1.3 has no others."""


class ServerTls:
    """What one listener needs to speak TLS. Raises TlsError, which names the listener, where its files cannot serve.

    Hand `context` to whoever opens the port, once; `tick` renews what is behind it.
    """

    def __init__(self, settings: Tls, listener: str) -> None:
        self._listener = listener
        self._paths = _Paths.of(settings)
        self._tried = _stamps(self._paths)
        self._problem: str | None = None
        self._refreshed_at = -math.inf
        self.context = _Handover(ssl.PROTOCOL_TLS_SERVER)
        try:
            self.context.newest = _load(self._paths, listener)
        except TlsError as error:
            raise TlsError(f"TLS of listener {listener!r}: {error}") from error

    def tick(self, now: float) -> None:
        """Refresh when it is time; to be called as often as one likes."""
        if now - self._refreshed_at >= REFRESH_SECONDS:
            self._refreshed_at = now
            self.refresh()

    def refresh(self) -> None:
        """Take what the files hold, if they have changed, for connections to come; those there are go on untouched.

        Never raises: where the files cannot serve, as in the middle of a renewal, what they held before stays in use.
        """
        stamps = _stamps(self._paths)
        # While something is wrong they are read each time: what a chmod repairs shows in no stamp.
        if stamps == self._tried and self._problem is None:
            return
        try:
            self.context.newest = _load(self._paths, self._listener)
        except TlsError as error:
            if (stamps, str(error)) != (self._tried, self._problem):
                self._report(str(error))
            self._problem = str(error)
        else:
            self._problem = None
            log.info("new certificates taken", listener=self._listener)
        self._tried = stamps

    def _report(self, problem: str) -> None:
        log.error("new certificates not taken, the old ones serve on", listener=self._listener, error=problem)


class _Handover(ssl.SSLContext):
    """The context that a port keeps; gives each new connection to the newest one behind it.

    `sni_callback` would not do: a session of the old client_ca could still be resumed with the new one in force.
    Both asyncio and uvloop begin each connection with `wrap_bio`. Without a certificate of its own, this context
    fails every handshake begun in another way.
    """

    newest: ssl.SSLContext

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  the signature is Python's
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return self.newest.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class _Handshake(ssl.SSLObject):
    """Tells the operator why a handshake failed; the loops tell nobody."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", None) or reason_of(error)
            log.warning("TLS handshake failed", listener=cast("_Context", self.context).listener, reason=reason)
            raise


class _Context(ssl.SSLContext):
    """A context that knows whose it is."""

    sslobject_class = _Handshake
    listener: str


class _Paths(msgspec.Struct, frozen=True):
    """Where the files lie."""

    certificate: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def of(cls, settings: Tls) -> _Paths:
        client_ca = Path(settings.client_ca).expanduser() if settings.client_ca else None
        return cls(Path(settings.certificate).expanduser(), Path(settings.key).expanduser(), client_ca)


def _stamps(paths: _Paths) -> tuple[Any, ...]:
    """Give what differs once a file is another; to be taken before it is read."""
    return tuple(stamp(path) for path in (paths.certificate, paths.key, paths.client_ca))


def _load(paths: _Paths, listener: str) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.listener = listener
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_authority(scratch, "certificate", paths.certificate)  # first, so that the right file is blamed
    load_pair(context, paths.certificate, paths.key)
    if paths.client_ca:
        load_authority(context, "client_ca", paths.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority below another one may stand alone
    return context
