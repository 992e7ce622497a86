"""The PEM files of TLS: read, and what is wrong with them said with their names and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from pathlib import Path


class TlsError(OSError):
    """The files cannot serve; the text says which of them, why, and what to do."""


def stamp(path: Path | None) -> tuple[int, int, int] | None:
    """Give what differs once a file is another; to be taken before it is read. None: it is not there."""
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Give a context the certificate that it shows. Raises TlsError."""
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
    reason = reason_of(error)
    if reason == "key values mismatch":
        return (
            f"tls.key, {key}, does not fit tls.certificate, {certificate};"
            " give two that belong together, the listener's own certificate first in its file"
        )
    if "pem lib" in reason:
        return f"tls.key, {key}, holds no whole private key in PEM; give the file that was made with the certificate"
    return f"tls.certificate, {certificate}, and tls.key, {key}, are refused by OpenSSL: {reason}; have a new pair made"


def load_authority(context: ssl.SSLContext, setting: str, path: Path) -> None:
    """Give a context a certificate that others are held against. Raises TlsError."""
    _check_readable(setting, path)
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise TlsError(
            f"tls.{setting}, {path}, holds no whole certificate in PEM ({reason_of(error)});"
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


def reason_of(error: OSError) -> str:
    """Put an error of OpenSSL or of a file in words of its own."""
    reason = getattr(error, "reason", None) or str(error.strerror or error)
    return reason.replace("_", " ").lower()
