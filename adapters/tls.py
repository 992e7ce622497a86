"""TLS for any listener, with certificates that are renewed under it while it runs."""

from __future__ import annotations

import math
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import structlog

if TYPE_CHECKING:
    from config.listeners import Tls

log = structlog.get_logger()

REFRESH_SECONDS = 10.0
"""How often `tick` looks whether a file has changed."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Those of TLS 1.2 that keep past calls secret and notice every change; TLS 1.3 has no others."""


class TlsError(OSError):
    """The files cannot serve; the text says which of them, why, and what to do."""


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
            reason = getattr(error, "verify_message", None) or _reason(error)
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
    return tuple(_stamp(path) for path in (paths.certificate, paths.key, paths.client_ca))


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)


def _load(paths: _Paths, listener: str) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.listener = listener
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_authority(scratch, "certificate", paths.certificate)  # first, so that the right file is blamed
    _load_pair(context, paths.certificate, paths.key)
    if paths.client_ca:
        _load_authority(context, "client_ca", paths.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority below another one may stand alone
    return context


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    _check_readable("key", key)
    asked = []

    def no_passphrase() -> bytes:
        """Give none: without this function OpenSSL asks on the terminal, and waits."""
        asked.append(key)
        return b""

    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except OSError as error:
        if asked:
            raise TlsError(
                f"tls.key, {key}, wants a passphrase, which nobody is here to type;"
                " give it without one: openssl pkey -in KEY -out NEW_KEY"
            ) from error
        raise TlsError(_unfit_pair(error, certificate, key)) from error


def _unfit_pair(error: OSError, certificate: Path, key: Path) -> str:
    reason = _reason(error)
    if reason == "key values mismatch":
        return (
            f"tls.key, {key}, does not fit tls.certificate, {certificate};"
            " give two that belong together, the listener's own certificate first in its file"
        )
    if "pem lib" in reason:
        return f"tls.key, {key}, holds no whole private key in PEM; give the file that was made with the certificate"
    return f"tls.certificate, {certificate}, and tls.key, {key}, are refused by OpenSSL: {reason}; have a new pair made"


def _load_authority(context: ssl.SSLContext, setting: str, path: Path) -> None:
    _check_readable(setting, path)
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise TlsError(
            f"tls.{setting}, {path}, holds no whole certificate in PEM ({_reason(error)});"
            " if it is DER: openssl x509 -inform der -in FILE -out NEW_FILE"
        ) from error


def _check_readable(setting: str, path: Path) -> None:
    """Try a file: Python's ssl says that one is missing, but not which."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise TlsError(
            f"cannot read tls.{setting}, {path}: {error.strerror}; give a PEM file that the gateway's user may read"
        ) from error


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None) or str(error.strerror or error)
    return reason.replace("_", " ").lower()
