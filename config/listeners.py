"""What listens: the settings of ports, and of who may use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from config.checks import check_network, check_path, check_token, distinct, http_url, is_loopback

# At run time too: msgspec resolves the annotations below.
from config.secret import Secret  # noqa: TC001
from config.types import Group, Host, Name, Port, Positive, Rate, Role

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


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
    accept_anybody: bool = False
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
    """Who may use the HTTP API, or bring calls: a name and its secret."""

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
    monitors: tuple[str, ...] = ()
    accept_anybody: bool = False

    def __post_init__(self) -> None:
        if self.public_url is not None and any((http_url(self.public_url).query, http_url(self.public_url).fragment)):
            raise ValueError("Expected a public_url without ? and #")
        for network in (*self.trusted_proxies, *self.monitors):
            check_network(network)
        _check_tokens("http.tokens", self.tokens)


class Admin(Group, frozen=True, kw_only=True):
    """The operator's port: closed, unless there are tokens."""

    host: Host = "127.0.0.1"
    port: Port = 8081
    tokens: tuple[Token, ...] = ()
    model_directories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_loopback(self.host):
            raise ValueError("Expected admin.host to be 127.0.0.1 or ::1; reach it from elsewhere by ssh -L")
        _check_tokens("admin.tokens", self.tokens)
        for directory in self.model_directories:
            check_path(directory)


def _check_tokens(where: str, tokens: Sequence[Token]) -> None:
    distinct(f"names in {where}", [token.name for token in tokens])
    if len({token.secret for token in tokens}) < len(tokens):
        raise ValueError(f"Expected each of {where} to have a secret of its own")


class WebSocketListener(Group, frozen=True, kw_only=True):
    """A path of the HTTP port at which calls come in over WebSockets, and who may bring them."""

    name: Name
    credentials: tuple[Token, ...] = ()
    allowed_peers: tuple[str, ...] = ()
    accept_anybody: bool = False
    account: Name | None = None
    idle_timeout_seconds: Positive | None = None

    def __post_init__(self) -> None:
        for network in self.allowed_peers:
            check_network(network)
        distinct("names in credentials", [each.name for each in self.credentials])


class FreeSwitchListener(WebSocketListener, frozen=True, kw_only=True):
    """Where forks of FreeSWITCH's calls come in: mod_audio_fork, mod_audio_stream."""

    name: Name = "freeswitch"
    role: Role = "inbound"
    metadata_token: bool = False
    rate_hz: Rate = 8000
    channels: Literal[1, 2] = 1
    labels: dict[Role, str] = msgspec.field(default_factory=dict)
    transcripts: Literal["nothing", "finals", "interims"] = "finals"
    first_message_seconds: Positive = 45.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.metadata_token and not self.credentials:
            raise ValueError("Expected credentials with metadata_token: their secrets are the tokens that are taken")


class AsteriskWebSocketListener(WebSocketListener, frozen=True, kw_only=True):
    """Where Asterisk's chan_websocket comes in."""

    name: Name = "asterisk"
    role: Role = "inbound"
    label: str | None = None
    first_message_seconds: Positive = 5.0


def check_listeners(
    http: Http,
    admin: Admin,
    audiosocket: Sequence[AudioSocketListener],
    websockets: Mapping[str, Sequence[WebSocketListener]],
    shipped: Collection[WebSocketListener],
) -> None:
    """Refuse listeners that get in one another's way, or that nobody could use. Raises ValueError.

    `websockets` are those of the HTTP port, by kind; `shipped` stand there where nothing was set.
    """
    distinct("names in audiosocket", [listener.name for listener in audiosocket])
    for kind, listeners in websockets.items():
        distinct(f"names in {kind}", [listener.name for listener in listeners])
        if http.port is None and any(each not in shipped for each in listeners):
            raise ValueError(f"Expected an http.port, for {kind} is answered there")
    bound = [f"{each.host}:{each.port}" for each in audiosocket if each.port]
    distinct("addresses in audiosocket", bound)
    if http.port is not None:
        bound.append(f"{http.host}:{http.port}")
    if admin.tokens:
        bound.append(f"{admin.host}:{admin.port}")
    distinct("addresses of listeners", [each for each in bound if not each.endswith(":0")])
    tokens = [] if http.port is None else [token.name for token in http.tokens]
    for listener in audiosocket:
        if listener.registration == "required":
            _check_registration(listener, tokens)


def _check_registration(listener: AudioSocketListener, tokens: Sequence[str]) -> None:
    if not tokens:
        raise ValueError(
            f"Expected http.tokens, and http.port, for listener {listener.name!r} demands registration:"
            " without them nobody could register a call"
        )
    if listener.account is not None and listener.account not in tokens:
        raise ValueError(
            f"Expected a token named {listener.account!r} in http.tokens, for listener {listener.name!r} demands"
            " registration, and takes only those of its account"
        )
