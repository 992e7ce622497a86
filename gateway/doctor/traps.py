"""What is set as it may be, and seldom meant: traps of PBX, carriers and services. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.checks import is_loopback
from gateway.doctor.findings import good, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import Settings
    from gateway.doctor.findings import Finding

UNIT_STOP_SECONDS = 1860
"""TimeoutStopSec= of the units that are shipped."""


def traps(settings: Settings) -> list[Finding]:
    """Look for them."""
    found = [*_pbx(settings), *_carriers(settings), *_service(settings)]
    return found or [good("traps", "none of those that are known")]


def _pbx(settings: Settings) -> Iterator[Finding]:
    for each in settings.audiosocket:
        if is_loopback(each.host):
            yield warning(
                "pbx",
                f"audiosocket {each.name!r} listens on {each.host}: only an Asterisk on this machine reaches it",
                "where Asterisk is elsewhere: host with this machine's address, and allowed_peers with Asterisk's",
            )
        if each.keep_alive == "never":
            yield warning(
                "pbx",
                f"audiosocket {each.name!r} sends nothing: AudioSocket() drops calls that are silent for 2 s",
                "keep_alive: gaps",
            )
        if each.encoding != "slin":
            yield warning(
                "pbx",
                f"audiosocket {each.name!r} takes {each.encoding}, and AudioSocket() always sends slin",
                "encoding: slin, unless it is Dial(AudioSocket/...) without c(slin)",
            )
    proxied = settings.http.public_url or settings.http.trusted_proxies
    for kind in ("freeswitch", "asterisk_websocket"):
        for listener in settings.websockets[kind]:
            if proxied and not (listener.credentials or listener.allowed_peers or listener.accept_anybody):
                yield warning(
                    "pbx",
                    f"{kind} {listener.name!r} takes no calls: behind a proxy nobody is known to be on this machine",
                    "give it credentials or allowed_peers; or take it out of the settings",
                )


def _carriers(settings: Settings) -> Iterator[Finding]:
    secure = settings.http.tls is not None or (settings.http.public_url or "").startswith("https://")
    for kind, listeners in settings.carriers.items():
        used = any(each.accounts for each in settings.twilio) if kind == "twilio" else bool(listeners)
        if used and not secure:
            yield warning(
                "carriers",
                f"{kind} streams come by wss:// alone, and nothing here tells of TLS",
                "http.tls, or a proxy that speaks it and http.public_url: https://...",
            )
    if any(each.insecure for each in settings.twilio):
        yield warning("carriers", "twilio takes calls from anybody (insecure)", "accounts with their auth_tokens")


def _service(settings: Settings) -> Iterator[Finding]:
    needed = settings.calls.drain_seconds + settings.calls.hurry_seconds
    if needed >= UNIT_STOP_SECONDS:
        yield warning(
            "service",
            f"calls may run on for {needed:g} s when it stops; systemd kills the service after {UNIT_STOP_SECONDS}",
            f"TimeoutStopSec={needed + 60:.0f} in a drop-in of linescribe.service",
        )
    if settings.log.transcripts:
        yield warning("service", "what callers say stands in the log (log.transcripts)", "log.transcripts: false")
    if settings.models.language == "auto" and not settings.models.languages:
        yield warning(
            "service",
            "the language is sought among all hundred: short answers are decided by chance",
            "models.languages with those that are spoken, or models.language",
        )
