"""Ports that are to be opened, endpoints that are to be reached, and certificates that run out."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from yarl import URL

from adapters.tls import ServerTls, TlsError
from gateway.delivery.addresses import ForbiddenAddressError, PublicResolver
from gateway.delivery.trust import EndpointTls
from gateway.doctor.findings import error, good, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.delivery import Endpoint
    from config.listeners import Tls
    from config.settings import Settings
    from gateway.doctor.findings import Finding

ANSWER_SECONDS = 5.0
SOON_DAYS = 14
A_DAY = 86_400


def ports(settings: Settings, *, running: bool) -> Iterator[Finding]:
    """Look whether the ports can be had; those of a gateway that is `running` are its own."""
    wanted = [(f"audiosocket {each.name!r}", each.host, each.port) for each in settings.audiosocket]
    if settings.http.port is not None:
        wanted.append(("http", settings.http.host, settings.http.port))
    if settings.admin.tokens:
        wanted.append(("admin", settings.admin.host, settings.admin.port))
    if running:
        yield good(
            "ports", f"the gateway that runs has them: {', '.join(f'{host}:{port}' for _, host, port in wanted)}"
        )
        return
    for what, host, port in wanted:
        yield _port(what, host, port)


def _port(what: str, host: str, port: int) -> Finding:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as problem:
        remedy = f"ss -ltnp 'sport = :{port}' tells who has it; or another port, or host, in the settings"
        return error("ports", f"{what} cannot have {host}:{port}: {problem.strerror or problem}", remedy)
    return good("ports", f"{what}: {host}:{port} is free")


def certificates(settings: Settings) -> Iterator[Finding]:
    """Look at the files of TLS, and how long they are good."""
    listeners: dict[str, Tls | None] = {"http": settings.http.tls}
    listeners |= {each.name: each.tls for each in settings.audiosocket}
    for name, tls in listeners.items():
        if tls is not None:
            yield _listener(name, tls)
    for endpoint in settings.delivery.endpoints:
        if endpoint.tls is not None:
            yield from _endpoint_files(endpoint)


def _listener(name: str, tls: Tls) -> Finding:
    try:
        ServerTls(tls, name)
    except TlsError as problem:
        return error("tls", str(problem), "give files that serve; the message tells which")
    return _expiry(f"listener {name!r}", Path(tls.certificate).expanduser())


def _endpoint_files(endpoint: Endpoint) -> Iterator[Finding]:
    assert endpoint.tls is not None  # noqa: S101  its caller looked
    try:
        EndpointTls(endpoint.tls, endpoint.name)
    except TlsError as problem:
        yield error("tls", str(problem), "give files that serve; the message tells which")
        return
    if endpoint.tls.certificate:
        yield _expiry(f"what endpoint {endpoint.name!r} is shown", Path(endpoint.tls.certificate).expanduser())


def _expiry(what: str, path: Path) -> Finding:
    """Tell how long a file's first certificate is good."""
    until = x509.load_pem_x509_certificates(path.read_bytes())[0].not_valid_after_utc.timestamp()
    return _until(what, until, f"renew {path}")


def _until(what: str, until: float, remedy: str) -> Finding:
    days = (until - time.time()) / A_DAY  # noqa: TID251  a command's
    if days < 0:
        return error("tls-expiry", f"the certificate of {what} ran out {-days:.0f} days ago", remedy)
    if days < SOON_DAYS:
        return warning("tls-expiry", f"the certificate of {what} runs out in {days:.0f} days", remedy)
    return good("tls-expiry", f"the certificate of {what} is good for {days:.0f} days")


async def endpoints(settings: Settings) -> list[Finding]:
    """Look whether each endpoint can be connected to, by its own TLS; nothing is posted."""
    if not settings.delivery.endpoints:
        remedy = "set delivery.endpoints; linescribe receive prints settings to try it with"
        return [warning("endpoints", "there is none: transcripts are stored and sent to nobody", remedy)]
    tried = await asyncio.gather(*(_endpoint(each) for each in settings.delivery.endpoints if each.url is not None))
    return [finding for findings in tried for finding in findings]


async def _endpoint(endpoint: Endpoint) -> list[Finding]:
    url = URL(endpoint.url or "")
    host, port = url.raw_host or "", url.port or 0
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            if endpoint.guarded:
                await PublicResolver().check(host)
            return await _connect(endpoint, host, port, secure=url.scheme == "https")
    except TimeoutError:
        return [_unreachable(endpoint, host, port, f"no answer within {ANSWER_SECONDS:g} s")]
    except ForbiddenAddressError as problem:
        remedy = "an address out in the world; or addresses: any for this endpoint, if that is meant"
        return [error("endpoints", f"{endpoint.name}: {problem}", remedy)]
    except ssl.SSLCertVerificationError as problem:
        remedy = "have its certificate renewed, or give its authority as tls.ca of this endpoint"
        return [error("endpoints", f"{endpoint.name}: {host} is not trusted: {problem.verify_message}", remedy)]
    except (OSError, ssl.SSLError) as problem:
        return [_unreachable(endpoint, host, port, str(problem.strerror or problem))]


async def _connect(endpoint: Endpoint, host: str, port: int, *, secure: bool) -> list[Finding]:
    context = None
    if secure:
        context = (
            EndpointTls(endpoint.tls, endpoint.name).context(0.0) if endpoint.tls else ssl.create_default_context()
        )
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    shown = writer.get_extra_info("peercert") if secure else None
    writer.transport.abort()
    found = [good("endpoints", f"{endpoint.name}: {host}:{port} answers")]
    if shown:
        until = ssl.cert_time_to_seconds(shown["notAfter"])
        found.append(_until(f"endpoint {endpoint.name!r} ({host})", until, "tell whoever runs it"))
    return found


def _unreachable(endpoint: Endpoint, host: str, port: int, why: str) -> Finding:
    return error(
        "endpoints",
        f"{endpoint.name}: cannot connect to {host}:{port}: {why}",
        "events wait until it can be; try curl -v from this machine, and see its firewall and resolver",
    )
