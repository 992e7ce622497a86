"""Who is sent the events of a call. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec
from yarl import URL

from config.checks import http_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from config.delivery import Endpoint

LONGEST_URL = 2000

DEFAULT_PORTS = {"https": 443, "http": 80}


class Recipient(msgspec.Struct, frozen=True):
    """One who is sent a call's events."""

    endpoint: str
    """Its name in the settings."""
    url: str | None = None
    """Where the call has brought it."""

    @property
    def queue(self) -> str:
        """Under which name its deliveries wait: hosts that calls bring do not wait for one another."""
        if self.url is None:
            return self.endpoint
        parts = http_url(self.url)
        return f"{self.endpoint}@{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}"


def name_of(queue: str) -> str:
    """Give the name in the settings of what deliveries wait for."""
    return queue.partition("@")[0]  # a name in the settings holds none


def wants(endpoint: Endpoint, kind: str) -> bool:
    """Tell whether an endpoint is sent events of a type."""
    return any(fnmatchcase(kind, pattern) for pattern in endpoint.events)


def choose(
    endpoints: Iterable[Endpoint], names: Sequence[str], parameters: Mapping[str, str]
) -> tuple[tuple[Recipient, ...], tuple[str, ...]]:
    """Tell who of these is sent the events of a call with such parameters, and why others are not.

    Who has its URL of calls, and of this one none, is not, and that needs no reason.
    """
    chosen, problems = [], []
    for endpoint in endpoints:
        if endpoint.name not in names:
            continue
        if endpoint.url_parameter is None:
            chosen.append(Recipient(endpoint.name))
        elif url := parameters.get(endpoint.url_parameter):
            try:
                check_brought(endpoint, url)
                chosen.append(Recipient(endpoint.name, url))
            except ValueError as error:
                problems.append(f"{endpoint.url_parameter} of endpoint {endpoint.name}: {error}")
    return tuple(chosen), tuple(problems)


def secret_parameters(endpoints: Iterable[Endpoint]) -> frozenset[str]:
    """Name the parameters that hold URLs, which may let in whoever knows them."""
    return frozenset(each.url_parameter for each in endpoints if each.url_parameter is not None)


def check_brought(endpoint: Endpoint, url: str) -> None:
    """Refuse a URL that calls may not bring. Raises ValueError, which tells no more of it than its host."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"expected a URL of at most {LONGEST_URL} characters, ASCII without blanks")
    try:
        parts = http_url(url)
    except ValueError:
        raise ValueError("expected a URL such as https://hooks.example.com/calls, without user name") from None
    if parts.scheme != "https" and not endpoint.allow_plain_http:
        raise ValueError("expected an https:// URL (allow_plain_http accepts others)")
    host = (parts.hostname or "").rstrip(".")
    if URL(url).raw_host != parts.hostname:  # whoever posts to it must not read another host in it
        raise ValueError("expected a URL whose host is written plainly")
    if not any(_fits(host, allowed.lower()) for allowed in endpoint.allowed_hosts):
        raise ValueError(f"{host[:100]!r} is not among allowed_hosts")


def _fits(host: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return host.endswith(allowed[1:]) and len(host) > len(allowed) - 1
    return host == allowed.strip("[]")
