"""The gateway's listeners without models and calls, in a process of its own: audio in, and where speech is found.

    python -m bench.socket_server

Prints the ports it has taken as a line of JSON, and at the end of its standard input how many frames it has heard, and
the CPU time that this process has taken meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from itertools import chain
from typing import TYPE_CHECKING

import structlog
import uvloop

from adapters.asterisk import websocket_server as asterisk_websocket
from adapters.asterisk.server import AudioSocketServer
from adapters.freeswitch import server as freeswitch
from adapters.media.track import MediaTrack
from adapters.stream import AudioFrame, StreamStarted
from adapters.twilio import server as carriers
from adapters.twilio.carriers import TWILIO
from adapters.twilio.prospect import Prospect
from adapters.wire.server import routes
from asr.speech import SpeechTrack
from config.carriers import TwilioListener
from config.listeners import AsteriskWebSocketListener, AudioSocketListener, FreeSwitchListener, Http
from config.settings import Speech
from gateway.http.server import HttpServer
from gateway.http.streaming import StreamPort

if TYPE_CHECKING:
    from adapters.stream import Listener, Peer, StreamEvent, StreamOffer
    from adapters.twilio.prospect import Inquiry

clock = time.monotonic  # noqa: TID251  a benchmark lives in real time


class Ear:
    """A host, and the sink of all its streams: audio goes the way of every call's, up to utterances."""

    def __init__(self) -> None:
        self.frames = 0
        """Of 20 ms, of each track."""

    def foresee(
        self, listener: Listener, external_call_id: str | None, now: float, vouched_by: str | None = None
    ) -> None:
        """Refuse nobody."""

    def prospect(self, _inquiry: Inquiry, _now: float) -> Prospect:
        """Know nothing of what calls go on with."""
        return Prospect(voice=None, refused=None)

    def admit(self, offer: StreamOffer, _peer: Peer, arrived_at: float) -> _Stream:
        """Take everybody in."""
        return _Stream(self, offer, arrived_at)


class _Stream:
    def __init__(self, ear: Ear, offer: StreamOffer, arrived_at: float) -> None:
        self.log_context: dict[str, str] = {}
        self._ear = ear
        self._tracks = {track.id: (MediaTrack(arrived_at), SpeechTrack(Speech())) for track in offer.started.tracks}

    def handle(self, event: StreamEvent, arrived_at: float) -> None:
        if isinstance(event, AudioFrame):
            media, speech = self._tracks[event.track]
            for block in media.push(event, arrived_at):
                self._ear.frames += 1
                speech.push(block, arrived_at)
        else:
            assert isinstance(event, StreamStarted) or self._tracks  # noqa: S101  nothing else is to be done


async def main() -> None:
    """Serve until nobody wants anything any more."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    ear = Ear()
    audiosocket = AudioSocketServer(AudioSocketListener(port=0, keep_alive="never"), ear, clock)
    port = StreamPort()
    forks = freeswitch.servers([FreeSwitchListener()], ear, clock, port)
    channels = asterisk_websocket.servers([AsteriskWebSocketListener()], ear, clock, port)
    twilio = carriers.Twilio([TwilioListener()], ear, clock, port, os.urandom)
    paths = {freeswitch.PATH: forks, asterisk_websocket.PATH: channels, TWILIO.path: twilio.servers}
    ways = chain.from_iterable(routes(path, servers, clock) for path, servers in paths.items())
    http = HttpServer(Http(port=0), list(ways))
    print(json.dumps({"audiosocket": await audiosocket.start(), "http": await http.start()}), flush=True)
    idle = time.process_time()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({"frames": ear.frames, "cpu_seconds": time.process_time() - idle}), flush=True)
    await asyncio.gather(audiosocket.close(), *(server.close() for servers in paths.values() for server in servers))
    await http.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
