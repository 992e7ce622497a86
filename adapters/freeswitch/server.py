"""Where FreeSWITCH's forks come in: mod_audio_fork and mod_audio_stream, on one path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.pump import Limits
from adapters.rate import RateVerdict
from adapters.stream import Hearing, Listener
from adapters.wire.access import Access
from adapters.wire.introduction import Introduction
from adapters.wire.manner import Manner
from adapters.wire.preamble_pcm import PreamblePcmWire
from adapters.wire.server import Visit, WebSocketServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adapters.stream import ForeseeingHost, Transcript
    from adapters.wire.access import Approach
    from adapters.wire.server import HttpPort
    from config.listeners import FreeSwitchListener

KIND = "freeswitch"
PATH = "/freeswitch"

STRANGER_SECONDS = 5.0
"""Where a token may come in the metadata, anybody may connect, but has no longer than that to show it."""

CROSSED = (
    "the URL names another call than the metadata, which is believed: FreeSWITCH mixes calls up once a handshake of its"
    " was never answered, until it is restarted (docs/freeswitch.md)"
)

REMEDY = "say in the URL what the command says, as in ?rate=16000&channels=2 with stereo 16k (docs/freeswitch.md)"
ADVICE = {
    RateVerdict.SLOW: f"less audio comes than the rate says that it is taken to have: {REMEDY}",
    RateVerdict.FAST: f"more audio comes than the rate says that it is taken to have: {REMEDY}",
}


class FreeSwitchDialect:
    """One listener."""

    def __init__(self, settings: FreeSwitchListener) -> None:
        self._settings = settings
        self.listener = Listener(
            kind=KIND, name=settings.name, account=settings.account, takes_announced=settings.account is not None
        )
        self.access = Access(settings, metadata_token=settings.metadata_token)
        self.manner = Manner(compress=True, hearing=Hearing(settings.transcripts), encode=transcription, advice=ADVICE)

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        """Take whatever is offered: its name is set in FreeSWITCH's environment, and another one would be refused."""
        return offered[0] if offered else None

    def visit(self, approach: Approach, query: Mapping[str, str], _now: float) -> Visit:
        """Read what the dialplan wrote into the URL. Raises AccessError and ValueError."""
        shown = self.access.check(approach)
        introduction = Introduction(self._settings, query, self.access, shown=shown, crossed=CROSSED)
        # Stereo and mixed forks send nothing at all until the other side speaks; but metadata comes at once.
        patience = self._settings.first_message_seconds
        limits = Limits(
            handshake_seconds=patience if shown else min(patience, STRANGER_SECONDS),
            idle_seconds=self._settings.idle_timeout_seconds,
        )
        return Visit(wire=PreamblePcmWire(introduction.open), limits=limits, call=introduction.call, known=shown)


def transcription(transcript: Transcript) -> bytes:
    """Make the message that becomes the event mod_audio_fork::transcription, or mod_audio_stream::json."""
    return b'{"type":"transcription","data":' + transcript.data + b"}"


def servers(
    listeners: Sequence[FreeSwitchListener], host: ForeseeingHost, clock: Callable[[], float], port: HttpPort
) -> list[WebSocketServer]:
    """Make the servers of all listeners."""
    return [WebSocketServer(FreeSwitchDialect(each), host, clock, port) for each in listeners]
