"""How one kind of telephone system wants its WebSockets to be kept, and what all those of one listener share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from adapters.complaints import Complaints
    from adapters.connections import Connections
    from adapters.rate import RateVerdict
    from adapters.stream import Hearing, Host, Listener, Transcript
    from adapters.wire.websocket import WebSocketConnection

LONGEST_MESSAGE_BYTES = 2 * 1024 * 1024
"""mod_audio_fork's largest buffer, five seconds of 48 kHz stereo, is half of that."""


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of telephone system wants a WebSocket to be kept."""

    compress: bool
    """Whether an offer to compress is taken up."""
    hearing: Hearing
    encode: Callable[[Transcript], bytes] = lambda transcript: transcript.data
    """Make the text message that carries a transcript."""
    advice: Mapping[RateVerdict, str] = {}
    longest_message_bytes: int = LONGEST_MESSAGE_BYTES
    most_waiting_of_one: int | None = None
    """Connections from one address that have yet to introduce themselves, where they do so at once."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What all connections of a listener share."""

    listener: Listener
    host: Host
    clock: Callable[[], float]
    manner: Manner
    connections: Connections[WebSocketConnection]
    complaints: Complaints
