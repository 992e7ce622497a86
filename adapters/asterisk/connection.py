"""One connection of Asterisk: how it is kept, by limits and by silence, and how it is ended."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, cast

from adapters.asterisk.audiosocket import SILENCE, TERMINATE, AudioSocketWire
from adapters.asterisk.keep_alive import Pace
from adapters.pump import Pump
from adapters.rate import RateVerdict
from adapters.sockets import harden, peer_name
from adapters.stream import Hearing, StreamEnd

if TYPE_CHECKING:
    from adapters.asterisk.server import AudioSocketServer
    from adapters.stream import Transcript

FAREWELL_SECONDS = 2.0
"""So long the peer may take to close after we said that it is over."""

ADVICE = {
    RateVerdict.SLOW: "audio comes at half the rate of its kind: it is mu-law, A-law or G.722, and is heard as noise."
    " Dial AudioSocket/.../c(slin), or set this listener's encoding",
    RateVerdict.FAST: "audio comes at twice the rate of its kind: it is wideband under the kind of 8 kHz, or 16-bit PCM"
    " where this listener's encoding says otherwise. Dial AudioSocket/.../c(slin), and set encoding to slin",
}


class Connection(asyncio.Protocol):
    """One TCP connection of Asterisk; also the Peer of its stream, to which AudioSocket carries no text back."""

    hearing = Hearing.NOTHING

    def __init__(self, server: AudioSocketServer) -> None:
        self._server = server
        settings = server.settings
        self._longest_gap = settings.keep_alive_seconds if settings.keep_alive == "gaps" else None
        self._quiet_since = 0.0
        self._pace = Pace()
        self._farewell_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, over TLS once its handshake is done."""
        self._transport = cast("asyncio.Transport", transport)
        harden(self._transport)
        server = self._server
        self._pump = Pump(
            AudioSocketWire(server.track, server.encoding),
            listener=server.listener,
            address=peer_name(self._transport),
            limits=server.limits,
            host=server.host,
            peer=self,
            clock=server.clock,
            complaints=server.complaints,
            advice=ADVICE,
        )
        self._quiet_since = server.clock()
        server.welcome(self)
        if not server.allows(self._transport):
            self.drop("this peer is not allowed (allowed_peers)")

    @property
    def waiting(self) -> bool:
        """Whether the peer has yet to introduce itself."""
        return self._pump.waiting

    def data_received(self, data: bytes) -> None:
        """Hear the peer out, also when it is over: what stays unread would make the close a reset."""
        self._quiet_since = self._server.clock()
        if self._farewell_at is None:
            self._pump.receive(data)

    def eof_received(self) -> None:
        """Take FIN, or TLS's close_notify, for the end of the call that it is."""
        self._transport.close()  # first, so that nothing is said to a peer that is gone
        self._pump.end(StreamEnd.HANGUP)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the stream if nothing has ended it yet."""
        self._server.forget(self)
        self._pump.end(_reason(exc))

    def tick(self, now: float) -> None:
        """Hold the peer to its limits, and fill its gaps; to be called every 100 ms or so."""
        self._pump.tick(now)
        if self._farewell_at is not None:
            if now - self._farewell_at > FAREWELL_SECONDS:
                self.abort()
        elif self._longest_gap is not None and now - self._quiet_since >= self._longest_gap and not self._pump.waiting:
            self._quiet_since = now
            self._be_silent(1)

    def beat(self, now: float) -> None:
        """Send what is due of a steady silence; to be called every 20 ms or so."""
        if self._farewell_at is None and not self._pump.waiting:
            self._be_silent(self._pace.due(now))

    def send(self, transcript: Transcript) -> int:  # noqa: ARG002  for other wires
        """Do nothing."""
        return 0

    def close(self) -> None:
        """Say 00 00 00, then FIN, and read on until the peer closes.

        Releases up to 20.13 take FIN alone for no end and spin. To close with its audio unread would send a
        reset, on which Asterisk drops the call. TLS knows no FIN that leaves us reading: there 00 00 00 must do.
        """
        if self._farewell_at is not None or self._transport.is_closing():
            return
        self._farewell_at = self._server.clock()
        # Not held back like silence: over TLS the last of the handshake still waits when a peer is turned away.
        self._transport.write(TERMINATE)
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        except OSError:  # the peer was quicker, and is gone
            self.abort()

    def abort(self) -> None:
        """Give up on a peer that does not close."""
        self._transport.abort()

    def drop(self, reason: str) -> None:
        """End a connection that is one too many."""
        self._pump.end(StreamEnd.LIMIT, reason)

    def _be_silent(self, frames: int) -> None:
        """Send silence unless the peer does not read; a frame that waits would be as good as lost."""
        if frames and not self._transport.is_closing() and not self._transport.get_write_buffer_size():
            self._transport.write(SILENCE * frames)  # Asterisk waits but 5 ms from header to payload


def _reason(error: Exception | None) -> StreamEnd:
    """Tell a vanished peer from a reset, which is how a call ends that had something unread."""
    lost = isinstance(error, OSError) and error.errno in {
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    }
    return StreamEnd.CONNECTION_LOST if lost else StreamEnd.HANGUP
