"""What listens for carriers: Twilio's Media Streams, and those that speak nearly the same."""

from __future__ import annotations

from typing import Literal

import msgspec

from config.checks import check_token, decode_public_key, distinct
from config.listeners import WebSocketListener

# At run time too: msgspec resolves the annotations below.
from config.secret import Secret  # noqa: TC001
from config.types import Group, Name, Positive, Rate, Role

RESERVED = ("voice", "status")
"""Parts of paths that stand beside the names of listeners."""


class CarrierListener(WebSocketListener, frozen=True, kw_only=True):
    """A path of the HTTP port at which the media streams of one carrier come in."""

    labels: dict[Role, str] = msgspec.field(default_factory=dict)
    idle_timeout_seconds: Positive | None = 60.0
    first_message_seconds: Positive = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name in RESERVED:
            raise ValueError(f"Expected another name than {self.name!r}: that part of the path has its own meaning")


class TwilioAccount(Group, frozen=True, kw_only=True):
    """An account of Twilio, or a sub-account, and what it signs with: tokens, or webhook shared keys by their ids."""

    sid: str
    auth_tokens: tuple[Secret, ...] = ()
    shared_keys: dict[str, Secret] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.auth_tokens and not self.shared_keys:
            raise ValueError("Expected auth_tokens, or shared_keys: without one nothing of the account can be verified")
        for token in (*self.auth_tokens, *self.shared_keys.values()):
            check_token(token)


class TwilioListener(CarrierListener, frozen=True, kw_only=True):
    """Where Twilio's Media Streams come in, and where its voice webhook is answered."""

    name: Name = "twilio"
    accounts: tuple[TwilioAccount, ...] = ()
    hand_written_twiml: bool = False
    insecure: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        distinct("sid in twilio accounts", [each.sid for each in self.accounts])
        if self.insecure and self.accounts:
            raise ValueError("Expected accounts, whose signatures are verified, or insecure, which verifies none")
        if self.hand_written_twiml and not self.accounts:
            raise ValueError("Expected accounts with hand_written_twiml: its streams are known by their signatures")
        if self.accounts and self.credentials:
            raise ValueError("Expected no credentials with accounts: Twilio's signature is what counts")
        if self.accept_anybody:
            raise ValueError("Expected accounts rather than accept_anybody; or insecure, for a try on this machine")


class TelnyxListener(CarrierListener, frozen=True, kw_only=True):
    """Where Telnyx's media streams come in, and its webhooks about them."""

    name: Name = "telnyx"
    public_keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in self.public_keys:
            decode_public_key(key)


class SignalWireListener(CarrierListener, frozen=True, kw_only=True):
    """Where SignalWire's streams come in."""

    name: Name = "signalwire"


class PlivoListener(CarrierListener, frozen=True, kw_only=True):
    """Where Plivo's audio streams come in."""

    name: Name = "plivo"
    auth_tokens: tuple[Secret, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for token in self.auth_tokens:
            check_token(token)
        if self.auth_tokens and (self.credentials or self.accept_anybody):
            raise ValueError("Expected neither credentials nor accept_anybody with auth_tokens: its signature counts")


class ExotelListener(CarrierListener, frozen=True, kw_only=True):
    """Where Exotel's streams come in."""

    name: Name = "exotel"


class PcmListener(CarrierListener, frozen=True, kw_only=True):
    """Where bare PCM comes in behind one JSON text; what is said there goes before these settings."""

    rate_hz: Rate = 8000
    channels: Literal[1, 2] = 1
    role: Role = "inbound"


class JambonzListener(PcmListener, frozen=True, kw_only=True):
    """Where jambonz's `listen` comes in."""

    name: Name = "jambonz"


class VonageListener(PcmListener, frozen=True, kw_only=True):
    """Where Vonage's WebSockets come in."""

    name: Name = "vonage"
    rate_hz: Rate = 16000
