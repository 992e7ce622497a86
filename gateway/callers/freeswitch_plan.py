"""What FreeSWITCH's mod_audio_fork and mod_audio_stream send, and when. Pure.

mod_audio_fork is that of drachtio/drachtio-freeswitch-modules; jambonz's sends the same. mod_audio_stream is
amigniter's with its libwsc. Neither ever sends pings, pieces of a message, or anything compressed.

Not simulated: a busy FreeSWITCH, which sends packets late, and two or three in one message; two speakers of whom
nothing is sent before both are heard, and one is late then; silence that is not quite silent.
"""

from __future__ import annotations

import heapq
import itertools
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import msgspec

from gateway.callers.frames import NORMAL, Close
from gateway.callers.upgrade import Upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.callers.plan import At
    from gateway.callers.upgrade import Credentials, Target

RATES_HZ = (8_000, 16_000, 24_000, 32_000, 48_000)
SUBPROTOCOL = "audio.drachtio.org"
"""MOD_AUDIO_FORK_SUBPROTOCOL_NAME names another."""

SAMPLE_BYTES = 2

MOST_METADATA_BYTES = 8192
"""MAX_METADATA_LEN; what is longer is cut there, whatever it is."""

LWS_PRE = 16
"""So many bytes libwebsockets wants before a message's first; see `ModuleBuffer`."""


class Module(StrEnum):
    """Which module FreeSWITCH has loaded."""

    FORK = "fork"
    STREAM = "stream"


class End(StrEnum):
    """How a call ends."""

    HANGUP = "hangup"
    """The caller hangs up, or somebody says `uuid_kill`."""
    STOP = "stop"
    """`uuid_audio_fork ... stop`, with a last text or without."""
    GRACEFUL = "graceful"
    """`uuid_audio_fork ... graceful-shutdown`: the gateway has the last word."""


class ForkPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How audio is played. All times are seconds since `start` was said."""

    module: Module = Module.FORK
    rate_hz: int = 8_000
    channels: int = 1
    """1: the caller alone, or everybody mixed; 2: the caller left, whom the caller hears right."""
    packet_ms: int = 20
    begin: float = 0.02
    """When the first packet comes."""
    metadata: str | None = None
    """The first text."""
    texts: tuple[At, ...] = ()
    """`send_text`, at the time into the call."""
    pauses: tuple[At, ...] = ()
    """`pause`; `what` is how many seconds later `resume` comes. What is said between is lost."""
    end: End = End.HANGUP
    last_text: str | None = None
    """What `stop` says."""
    hang_up_at: float | None = None
    """When the call ends; None: `linger` after the audio did."""
    linger: float = 1.0
    """The line is silent for so long, and the silence is sent, as everything is."""
    buffer_seconds: int = 2
    """MOD_AUDIO_FORK_BUFFER_SECS."""
    patience: float = 60.0
    """So long the module is given to wait for a Close that only the gateway can say. The real one waits for ever."""

    def __post_init__(self) -> None:
        """Refuse what the modules cannot do. Raises ValueError."""
        if self.module is Module.STREAM and self.end is End.GRACEFUL:
            raise ValueError("mod_audio_stream knows no graceful-shutdown")
        if self.end is not End.STOP and self.last_text is not None:
            raise ValueError("only stop has a last text")

    @property
    def packet_bytes(self) -> int:
        """Tell how long a packet is."""
        return self.rate_hz * self.packet_ms // 1000 * self.channels * SAMPLE_BYTES

    def ends_at(self, pcm: bytes) -> float:
        """Tell when a call with this audio ends."""
        if self.hang_up_at is not None:
            return self.hang_up_at
        return _exactly(self.begin + len(pcm) / (self.rate_hz * self.channels * SAMPLE_BYTES) + self.linger)

    @property
    def close(self) -> Close:
        """Tell what the module's Close says."""
        return Close(NORMAL, "Normal closure" if self.module is Module.STREAM else "")


class Step(msgspec.Struct, frozen=True):
    """A packet of audio, or a text, and its time."""

    at: float
    what: bytes | str


def steps(pcm: bytes, plan: ForkPlan) -> Iterator[Step]:
    """Lay out what a call sends but for its beginning and its end, in order, each when it is asked for.

    `pcm` is 16-bit, of the plan's rate, and interleaved where there are two channels.
    """
    ends_at = plan.ends_at(pcm)
    texts = sorted((Step(text.seconds, text.what) for text in plan.texts if text.seconds < ends_at), key=_time)
    return heapq.merge(_packets(pcm, plan, ends_at), texts, key=_time)


def _exactly(seconds: float) -> float:
    """Make times of whole milliseconds equal that are, however they were added up."""
    return round(seconds, 6)


def _time(step: Step) -> float:
    return step.at


def _packets(pcm: bytes, plan: ForkPlan, ends_at: float) -> Iterator[Step]:
    size = plan.packet_bytes
    for number in itertools.count():
        at = _exactly(plan.begin + number * plan.packet_ms / 1000)
        if at >= ends_at:
            return
        if not any(pause.seconds <= at < pause.seconds + float(pause.what) for pause in plan.pauses):
            yield Step(at, pcm[number * size : (number + 1) * size].ljust(size, b"\0"))


class ModuleBuffer:
    """What mod_audio_fork has of the call's audio and has not sent yet.

    When it is full it is not trimmed but emptied (lws_glue.cpp, fork_frame), and the module forgets to leave the
    LWS_PRE bytes before what comes next (audio_pipe.hpp, binaryWritePtrResetToZero): these are never sent. That holds
    where FreeSWITCH need not resample. Where it must, the module stops reading, and nothing is lost; that is not
    simulated.
    """

    def __init__(self, plan: ForkPlan) -> None:
        self._capacity = plan.buffer_seconds * plan.rate_hz * plan.channels * SAMPLE_BYTES
        self._held = bytearray(LWS_PRE)
        self.overruns = 0

    def push(self, packet: bytes) -> None:
        """Take a packet."""
        if LWS_PRE + self._capacity - len(self._held) < len(packet):
            self.overruns += 1
            self._held.clear()
        self._held += packet

    def take(self) -> bytes:
        """Give what there is, as the payload of one message; nothing is no message."""
        payload = bytes(self._held[LWS_PRE:])
        self._held = bytearray(LWS_PRE)
        return payload


def fork_upgrade(
    target: Target, key: str, *, credentials: Credentials | None = None, subprotocol: str = SUBPROTOCOL
) -> Upgrade:
    """Spell mod_audio_fork's request, which is that of libwebsockets 4.1; its Host has no port, its Origin no https."""
    lines = [
        f"GET {target.path} HTTP/1.1",
        "Pragma: no-cache",
        "Cache-Control: no-cache",
        f"Host: {target.host}",
        f"Origin: http://{target.host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        f"Sec-WebSocket-Protocol: {subprotocol}",
        "Sec-WebSocket-Version: 13",
        *([f"authorization: {credentials.basic}"] if credentials else []),
    ]
    return Upgrade(request=_request(lines), key=key, protocol=subprotocol)


def stream_upgrade(
    target: Target, key: str, *, credentials: Credentials | None = None, headers: Mapping[str, str] | None = None
) -> Upgrade:
    """Spell mod_audio_stream's request, which is libwsc's; STREAM_EXTRA_HEADERS has the headers."""
    extra = ({"Authorization": credentials.basic} if credentials else {}) | dict(headers or {})
    lines = [
        f"GET {target.path} HTTP/1.1",
        f"Host:{target.host}:{target.port}",
        "Upgrade:websocket",
        "Connection:upgrade",
        f"Sec-WebSocket-Key:{key}",
        "Sec-WebSocket-Version:13",
        f"Origin:http://{target.host}:{target.port}",
        *(f"{name}:{value}" for name, value in extra.items()),
    ]
    return Upgrade(request=_request(lines), key=key)


def _request(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def with_format(url: str, plan: ForkPlan) -> str:
    """Add `rate` and `channels` to a URL's query where they do not stand there: nothing else on the wire tells them."""
    known = parse_qs(urlsplit(url).query, keep_blank_values=True)
    wanted = {"rate": plan.rate_hz, "channels": plan.channels}
    missing = "&".join(f"{name}={value}" for name, value in wanted.items() if name not in known)
    if not missing:
        return url
    return f"{url}{'&' if known else '?'}{missing}"
