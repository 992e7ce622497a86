"""What Asterisk's chan_websocket sends but for its audio, and what it makes of what it is sent. Pure.

As of Asterisk 23.5 (chan_websocket.c, res_http_websocket.c).
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from adapters.stream import Encoding
from gateway.callers.encoders import encoder
from gateway.callers.upgrade import Upgrade, make_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.callers.upgrade import Credentials, Target

SUBPROTOCOL = "media"
"""websocket_client.conf names it; chan_websocket asks for this one."""

MOST_COMMAND_BYTES = 128
"""MAX_TEXT_MESSAGE_LEN: what is longer is no command, and nobody is told."""

PACKET_MS = 20
"""MEDIA_START names the codec's default, whatever the caller's packets are."""


class Dialect(StrEnum):
    """How events and commands are written: `f()` of the dial string, or control_message_format."""

    JSON = "json"
    PLAIN = "plain-text"


class Direction(StrEnum):
    """Whose audio flows, as the application sees it: `d()` of the dial string, or SET_MEDIA_DIRECTION."""

    BOTH = "both"
    IN = "in"
    OUT = "out"


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """How a format's samples are sent."""

    rate_hz: int
    sample_bytes: int
    encode: Callable[[bytes], bytes]
    """16-bit PCM of the rate to the payload."""

    def packet_bytes(self, packet_ms: int) -> int:
        """Tell how long a packet is."""
        return self.rate_hz * packet_ms // 1000 * self.sample_bytes


CODECS = {
    "ulaw": Codec(rate_hz=8_000, sample_bytes=1, encode=encoder(Encoding.PCMU)),
    "alaw": Codec(rate_hz=8_000, sample_bytes=1, encode=encoder(Encoding.PCMA)),
    **{
        f"slin{name}": Codec(rate_hz=rate_hz, sample_bytes=2, encode=encoder(Encoding.L16))
        for name, rate_hz in {"": 8_000, "12": 12_000, "16": 16_000, "24": 24_000, "32": 32_000, "48": 48_000}.items()
    },
}
"""Each format that can be played, by Asterisk's name for it."""


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """The channel that Asterisk makes for `Dial(WebSocket/...)`."""

    channel_id: str
    """Such as 1795154106.105, unique to the leg."""
    channel: str = "WebSocket/gw/0x7fb90c004be0"
    connection_id: str = "gw"
    """The section of websocket_client.conf."""
    format: str = "ulaw"
    dialect: Dialect = Dialect.JSON
    direction: Direction = Direction.BOTH
    variables: tuple[tuple[str, str], ...] = ()
    """What the channel has by inheritance, as MEDIA_START spells it: `_A` arrives as `A`, `__A` as it is."""

    @property
    def codec(self) -> Codec:
        """Look up the format."""
        return CODECS[self.format]

    def media_start(self) -> str:
        """Make the first message."""
        facts: dict[str, Any] = {
            "connection_id": self.connection_id,
            "channel": self.channel,
            "channel_id": self.channel_id,
            "format": self.format,
            "optimal_frame_size": self.codec.packet_bytes(PACKET_MS),
            "ptime": PACKET_MS,
        }
        if self.dialect is Dialect.JSON:
            return _json({"event": "MEDIA_START", **facts, "channel_variables": self._variables()})
        return " ".join(["MEDIA_START", *(f"{name}:{value}" for name, value in facts.items())])

    def _variables(self) -> dict[str, str]:
        limited = "" if self.direction is Direction.BOTH else f"d({self.direction})"
        return {
            "DIALEDPEERNUMBER": f"{self.connection_id}/c({self.format})f({self.dialect}){limited}",
            "MEDIA_WEBSOCKET_CONNECTION_ID": self.connection_id,
            "MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE": str(self.codec.packet_bytes(PACKET_MS)),
            **dict(self.variables),
        }

    def dtmf_end(self, key: str) -> str:
        """Tell of a key that was released."""
        if self.dialect is Dialect.JSON:
            return _json({"event": "DTMF_END", "channel_id": self.channel_id, "digit": key})
        return f"DTMF_END digit:{key} channel_id:{self.channel_id}"

    def error(self, text: str) -> str:
        """Tell of a command that is not carried out."""
        if self.dialect is Dialect.JSON:
            return _json({"event": "ERROR", "channel_id": self.channel_id, "error_text": text})
        return f"ERROR channel_id:{self.channel_id} error_text:{text}"


class Reaction(msgspec.Struct, frozen=True, kw_only=True):
    """What a command brings about."""

    hangs_up: bool = False
    direction: Direction | None = None
    answer: str | None = None


_MEDIA_COMMANDS = frozenset(
    {
        "START_MEDIA_BUFFERING",
        "STOP_MEDIA_BUFFERING",
        "MARK_MEDIA",
        "FLUSH_MEDIA",
        "REPORT_QUEUE_DRAINED",
        "PAUSE_MEDIA",
        "CONTINUE_MEDIA",
    }
)


def react(text: str, leg: Leg, direction: Direction) -> Reaction:
    """Decide what a text from the gateway does while audio flows so.

    That audio can be sent to Asterisk is not simulated, nor therefore what commands about it and STATUS would tell;
    only that such commands are refused where it cannot.
    """
    if not 0 < len(text.encode()) <= MOST_COMMAND_BYTES:
        return Reaction()
    command = _read_command(text.strip(), leg.dialect)
    if command is None:
        return Reaction(answer=leg.error("Unable to parse JSON command"))
    name = command.get("command")
    if name == "HANGUP":
        return Reaction(hangs_up=True)
    if name == "SET_MEDIA_DIRECTION" and command.get("direction") in set(Direction):
        return Reaction(direction=Direction(command["direction"]))
    if name in _MEDIA_COMMANDS and direction is Direction.IN:
        return Reaction(answer=leg.error(f"{name} not supported while media direction is '{direction}'"))
    return Reaction()


def _read_command(text: str, dialect: Dialect) -> dict[str, Any] | None:
    """Read a command; None for what is no JSON where it has to be."""
    if dialect is Dialect.PLAIN:
        return {"command": text.partition(" ")[0]}
    try:
        read = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return read if isinstance(read, dict) else {}


def _json(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


def upgrade(
    target: Target, key: str, *, credentials: Credentials | None = None, subprotocol: str = SUBPROTOCOL
) -> Upgrade:
    """Spell the request, which is res_http_websocket's."""
    lines = [
        f"GET {target.path} HTTP/1.1",
        "Sec-WebSocket-Version: 13",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Host: {target.authority}",
        *([f"Authorization: {credentials.basic}"] if credentials else []),
        f"Sec-WebSocket-Protocol: {subprotocol}",
        f"Sec-WebSocket-Key: {key}",
    ]
    return Upgrade(request="".join(f"{line}\r\n" for line in [*lines, ""]).encode(), key=key, protocol=subprotocol)


def key_of(randbytes: Callable[[int], bytes]) -> str:
    """Make a key: two random numbers of 31 bits, each in eight bytes."""
    return make_key(struct.pack("<qq", _random(randbytes), _random(randbytes)))


def mask_key_of(randbytes: Callable[[int], bytes]) -> bytes:
    """Make a frame's mask key: one such number in four."""
    return struct.pack("<i", _random(randbytes))


def _random(randbytes: Callable[[int], bytes]) -> int:
    """Draw as ast_random() does."""
    return int.from_bytes(randbytes(4), "little") & 0x7FFFFFFF
