"""What listens: the settings of ports, and of who may use them."""

from __future__ import annotations

from typing import Literal

from config.checks import check_network, check_path, check_token, distinct, http_url

# At run time too: msgspec resolves the annotations below.
from config.secret import Secret  # noqa: TC001
from config.types import Group, Host, Name, Port, Positive, Role


class Tls(Group, frozen=True, kw_only=True):
    """What a listener needs to speak TLS: PEM files, read again when they change."""

    certificate: str
    key: str
    client_ca: str | None = None

    def __post_init__(self) -> None:
        for path in (self.certificate, self.key, self.client_ca):
            check_path(path)


class AudioSocketListener(Group, frozen=True, kw_only=True):
    """One port on which Asterisk's AudioSocket is answered."""

    name: Name = "audiosocket"
    host: Host = "127.0.0.1"
    port: Port = 9092
    encoding: Literal["slin", "ulaw", "alaw"] = "slin"
    allowed_peers: tuple[str, ...] = ()
    account: Name | None = None
    registration: Literal["optional", "required"] = "optional"
    role: Role = "inbound"
    label: str | None = None
    uuid_timeout_seconds: Positive = 5.0
    idle_timeout_seconds: Positive | None = None
    keep_alive: Literal["gaps", "always", "never"] = "gaps"
    keep_alive_seconds: Positive = 1.0
    tls: Tls | None = None

    def __post_init__(self) -> None:
        for network in self.allowed_peers:
            check_network(network)


class Token(Group, frozen=True, kw_only=True):
    """Who may use the HTTP API."""

    name: Name
    secret: Secret

    def __post_init__(self) -> None:
        check_token(self.secret)


class Http(Group, frozen=True, kw_only=True):
    """The port of the HTTP API."""

    host: Host = "127.0.0.1"
    port: Port | None = 8080
    tls: Tls | None = None
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()

    def __post_init__(self) -> None:
        if self.public_url is not None and any((http_url(self.public_url).query, http_url(self.public_url).fragment)):
            raise ValueError("Expected a public_url without ? and #")
        for network in self.trusted_proxies:
            check_network(network)
        distinct("names in http.tokens", [token.name for token in self.tokens])
        if len({token.secret for token in self.tokens}) < len(self.tokens):
            raise ValueError("Expected each of http.tokens to have a secret of its own")
