"""The one vocabulary that every adapter speaks: what a stream is, what it says, how it ends.

A *stream* is the audio of one connection, on one or more *tracks*. A protocol file turns bytes into these
events; the pump hands them to the sink that the host admitted the stream to.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class TrackRole(StrEnum):
    """Whose voice a track carries; inbound is the caller's."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    MIXED = "mixed"
    OTHER = "other"


class Encoding(StrEnum):
    """How samples are written in a payload (RFC 3551; L16 here is little-endian)."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    L16 = "L16"

    @property
    def bytes_per_sample(self) -> int:
        """Bytes that one sample takes."""
        return 2 if self is Encoding.L16 else 1


class AudioFormat(msgspec.Struct, frozen=True):
    """Mono samples of one encoding at one rate."""

    encoding: Encoding
    rate_hz: int

    def seconds(self, payload: bytes) -> float:
        """Tell how long a payload lasts."""
        return len(payload) / (self.encoding.bytes_per_sample * self.rate_hz)

    def __str__(self) -> str:
        return f"{self.encoding} {self.rate_hz}"


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One speaker's part of a stream."""

    id: str
    role: TrackRole
    label: str | None = None
    """The operator's word, such as customer or agent."""


class StreamEnd(StrEnum):
    """Why a stream ended; also the `reason` of `call.ended`."""

    HANGUP = "hangup"
    STOPPED = "stopped"
    IDLE = "idle"
    LIMIT = "limit"
    SHUTDOWN = "shutdown"
    GATEWAY_RESTART = "gateway_restart"
    CONNECTION_LOST = "connection_lost"
    PROTOCOL_ERROR = "protocol_error"
    ADMIN = "admin"
    ERROR = "error"


class StreamStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The first event of every stream, exactly once."""

    stream_id: str | None
    """The peer's own name for it; None where it gives none."""
    external_call_id: str | None
    vouched_by: str | None = None
    """Who vouches for these names beside the listener, such as the account that has signed: what somebody else vouches
    for is another call."""
    tracks: tuple[Track, ...]
    parameters: dict[str, str] = {}
    wishes: dict[str, Any] = {}
    """What the peer asks for this stream, such as a language, as it came: whoever takes it in looks at it first."""
    remarks: tuple[str, ...] = ()
    """What the operator should know about how it came; nothing that the peer wrote."""


class AudioFrame(msgspec.Struct, frozen=True):
    """One packet's audio on one track."""

    track: str
    format: AudioFormat
    payload: bytes
    wire_ms: int | None = None
    """The wire's own stamp; None where the wire has none."""


class TrackStarted(msgspec.Struct, frozen=True):
    """One more track of a stream that has started; its first frame follows."""

    track: Track


DIGITS = frozenset("0123456789*#ABCD")


class DigitPressed(msgspec.Struct, frozen=True):
    """A key of the telephone."""

    track: str
    digit: str


class StreamMessage(msgspec.Struct, frozen=True):
    """Text that the peer sent in mid-call."""

    text: str


class Remark(msgspec.Struct, frozen=True):
    """What the operator should know about a stream, found out while it goes on; nothing that the peer wrote."""

    text: str


class Flush(msgspec.Struct, frozen=True):
    """The peer wants what was said so far, now."""


class StreamEnded(msgspec.Struct, frozen=True):
    """The last event of every stream, exactly once."""

    reason: StreamEnd
    error: str | None = None
    stays: bool = False
    """The peer stays to be told what was said until here, and waits to be closed after that."""
    overtakes: bool = False
    """What was sent before may still come; once nothing does, the stream has ended."""


StreamEvent = StreamStarted | TrackStarted | AudioFrame | DigitPressed | StreamMessage | Remark | Flush | StreamEnded


class WireError(Exception):
    """The peer broke its protocol; nothing more of the connection can be understood.

    `events` is what was understood of the same bytes before that.
    """

    def __init__(self, message: str, events: Sequence[StreamEvent] = ()) -> None:
        super().__init__(message)
        self.events = events


class RefusalReason(StrEnum):
    """Why a stream is not admitted: a closed set, fit for a metric label."""

    FULL = "full"
    DRAINING = "draining"
    UNREGISTERED = "unregistered"
    OVERLOADED = "overloaded"
    """Finals would have to wait for too long."""
    UNSTORABLE = "unstorable"
    """The disk takes no events, and memory should not fill up with more of them."""


class Refusal(Exception):  # noqa: N818  no error: the gateway declines on purpose
    """The host does not take a stream."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """The port or path by which a stream comes in."""

    kind: str
    """The adapter, such as `audiosocket`."""
    name: str
    """The operator's word for it."""
    account: str | None = None
    """Streams of one account are of one call when they bring the same external call id."""
    registered_only: bool = False
    """Whether a stream must have been registered beforehand."""
    vouched: bool = False
    """Whether its clients are such that the names they give to calls are those calls'. Streams of one name are one call
    then, also where there is no account."""
    takes_announced: bool = True
    """Whether a stream is what was announced under its name. Not where clients whom nobody vouches for choose names."""


class StreamOffer(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that asks to be admitted, and where it came from."""

    listener: Listener
    address: str
    """The peer's network address, for the log."""
    started: StreamStarted


Data = TypeVar("Data", contravariant=True)  # noqa: PLC0105  a name like Data_contra tells readers nothing more
"""What a transport hands over: bytes, cut anywhere, of TCP; whole messages, text or binary, of a WebSocket."""


class Wire(Protocol[Data]):
    """The meaning of what one connection brings. Cannot wait, log or look at a clock."""

    def receive_data(self, data: Data) -> list[StreamEvent]:
        """Take what arrived, and tell what it meant. Raises WireError."""
        ...


class Hearing(StrEnum):
    """Which transcripts a peer is sent back."""

    NOTHING = "nothing"
    FINALS = "finals"
    INTERIMS = "interims"
    """And finals."""


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, on its way back to the peer that it came from."""

    utterance_id: str
    final: bool
    data: bytes
    """UTF-8 JSON: the `data` of the public event."""


class Peer(Protocol):
    """The far end of a stream, for whoever the stream was admitted to. Nothing here waits."""

    @property
    def hearing(self) -> Hearing:
        """Which transcripts it wants; the same for the whole stream."""
        ...

    def send(self, transcript: Transcript) -> int:
        """Send a transcript back, unless the peer reads too slowly or is gone; tell how many interims are shed for it.

        An interim is shed for a newer one of its utterance, too, and for its final. Never raises.
        """
        ...

    def close(self) -> None:
        """End the connection in its protocol's own way, once what was sent is out.

        The peer's call goes on where the wire allows it.
        """
        ...


class StreamSink(Protocol):
    """Where the events of one admitted stream go."""

    @property
    def log_context(self) -> Mapping[str, str]:
        """What is to stand on every line of the log about this stream."""
        ...

    def handle(self, event: StreamEvent, arrived_at: float) -> None:
        """Take the next event. Must not block; the last one is StreamEnded."""
        ...


class Host(Protocol):
    """Whoever decides about streams that are offered."""

    def admit(self, offer: StreamOffer, peer: Peer, arrived_at: float) -> StreamSink:
        """Take a stream in. Raises Refusal."""
        ...


class ForeseeingHost(Host, Protocol):
    """One that can be asked before a stream is there, where its wire has a way to refuse it then."""

    def foresee(
        self, listener: Listener, external_call_id: str | None, now: float, vouched_by: str | None = None
    ) -> None:
        """Look at a stream of which no more is known. Raises Refusal where it could not be admitted."""
        ...
