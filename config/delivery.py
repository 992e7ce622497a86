"""Who is sent webhooks, and how they are sent."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec

from config.checks import check_path, decode_webhook_secret, distinct, http_url, is_loopback, known

# At run time too: msgspec resolves the annotations below.
from config.secret import Secret  # noqa: TC001
from config.types import Count, Group, Name, NotNegative, Positive

STORED_TYPES = (
    "call.started",
    "track.started",
    "transcript.final",
    "transcript.failed",
    "call.digit",
    "call.message",
    "call.paused",
    "call.resumed",
    "call.ended",
)
"""Events that an endpoint may be sent, interims aside."""

HeaderName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]

OURS = re.compile(
    r"webhook-.*|content-.*|transfer-encoding|host|user-agent|connection|keep-alive|upgrade|te|trailer|expect"
)
"""Headers that the gateway writes itself, or that would change what a request is."""

HOST_PATTERN = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]+\]?")


class ClientTls(Group, frozen=True, kw_only=True):
    """Whom an endpoint has to prove to be, and what the gateway shows: PEM files, read again when they change."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        for path in (self.ca, self.certificate, self.key):
            check_path(path)
        if (self.certificate is None) != (self.key is None):
            raise ValueError("Expected certificate and key together: the one is of no use without the other")
        if self.ca is None and self.certificate is None:
            raise ValueError("Expected a ca, or a certificate and its key, or no tls")


class Endpoint(Group, frozen=True, kw_only=True):
    """One receiver of webhooks; where calls bring its URL, as many as they name."""

    name: Name
    url: str | None = None
    url_parameter: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    allowed_hosts: tuple[str, ...] = ()
    secrets: Annotated[tuple[Secret, ...], msgspec.Meta(min_length=1, max_length=8)]
    events: tuple[str, ...] = ("*",)
    interims: bool = False
    headers: dict[HeaderName, Secret] = msgspec.field(default_factory=dict)
    tls: ClientTls | None = None
    allow_plain_http: bool = False
    addresses: Literal["any", "public"] | None = None

    def __post_init__(self) -> None:
        if (self.url is None) == (self.url_parameter is None):
            raise ValueError("Expected a url, or a url_parameter where calls bring it: just one of them")
        if self.url is not None:
            self._check_url(self.url)
        self._check_hosts()
        for pattern in self.events:
            if not any(fnmatchcase(kind, pattern) for kind in STORED_TYPES):
                raise ValueError(f"Expected events such as {', '.join(STORED_TYPES)} or call.*, got {pattern!r}")
        for name, value in self.headers.items():
            check_header(name, value)
        for secret in self.secrets:
            decode_webhook_secret(secret)

    @property
    def guarded(self) -> bool:
        """Whether it must have a public address."""
        return (self.addresses or ("public" if self.url is None else "any")) == "public"

    def _check_url(self, url: str) -> None:
        parts = http_url(url)
        if parts.scheme == "http" and not self.allow_plain_http and not is_loopback(parts.hostname or ""):
            raise ValueError(
                "Expected an https:// url: a transcript over plain http can be read on its way"
                " (allow_plain_http: true accepts that)"
            )

    def _check_hosts(self) -> None:
        if (self.url_parameter is None) == bool(self.allowed_hosts):
            raise ValueError("Expected allowed_hosts with url_parameter, and only there: calls may name no other hosts")
        for host in self.allowed_hosts:
            if not HOST_PATTERN.fullmatch(host):
                raise ValueError(f"Expected a host such as hooks.example.com or *.example.com, got {host!r}")


def check_header(name: str, value: Secret) -> None:
    """Refuse a header that the gateway writes itself, or whose value no header can carry. Raises ValueError."""
    if OURS.fullmatch(name.lower()):
        raise ValueError(f"Expected headers of your own: {name} is written by the gateway")
    text = value.reveal()
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"Expected printable ASCII in the header {name}")


class Delivery(Group, frozen=True, kw_only=True):
    """How webhooks reach their receivers."""

    endpoints: tuple[Endpoint, ...] = ()
    timeout_seconds: Positive = 15.0
    connect_timeout_seconds: Positive = 5.0
    retry_seconds: Annotated[tuple[NotNegative, ...], msgspec.Meta(max_length=32)] = (
        5.0,
        300.0,
        1800.0,
        7200.0,
        18000.0,
        36000.0,
        36000.0,
    )
    jitter: Annotated[float, msgspec.Meta(ge=0, le=0.9)] = 0.2
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    hold_back_seconds: NotNegative = 600.0
    breaker_failures: Count = 10
    breaker_rest_seconds: Positive = 60.0
    interim_timeout_seconds: Positive = 2.0
    interim_concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    keep_hours: Positive = 168.0
    keep_dead_hours: Positive = 720.0
    most_store_mib: Annotated[int, msgspec.Meta(ge=16)] = 4096

    def __post_init__(self) -> None:
        distinct("names in delivery.endpoints", [endpoint.name for endpoint in self.endpoints])

    def check_names(self, what: str, names: tuple[str, ...]) -> None:
        """Refuse names that are not those of endpoints, or stand twice. Raises ValueError."""
        known(f"endpoint in {what}", names, [endpoint.name for endpoint in self.endpoints])
        distinct(f"endpoints of {what}", names)
