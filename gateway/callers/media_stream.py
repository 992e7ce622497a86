"""Calls of Twilio's media streams and their relatives: `<Start><Stream>`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from gateway.callers.frames import NORMAL, Close, Opcode
from gateway.callers.media_stream_plan import End, Media, StreamPlan, steps
from gateway.callers.media_stream_upgrade import media_stream_upgrade
from gateway.callers.media_stream_writer import Writer
from gateway.callers.upgrade import make_key, parse_url
from gateway.callers.websocket import ignore, open_websocket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Sequence

    from gateway.callers.media_stream_names import Stream
    from gateway.callers.media_stream_plan import Key
    from gateway.callers.media_stream_writer import Message
    from gateway.callers.sockets import OnProgress
    from gateway.callers.websocket import OnText, SocketCall, WebSocket

OPEN_SECONDS = 10.0
"""Connecting may take so long, and so may the answer to the upgrade. How long carriers wait they do not tell."""

CLOSE_SECONDS = 5.0
"""So long the gateway's Close is waited for."""

MOST_UNSENT_BYTES = 65_536
"""With more than this waiting for a gateway that reads too slowly, packets are thrown away (Twilio's error 31930; its
own measure is not known)."""


async def call_media_stream(
    payloads: Sequence[bytes],
    *,
    url: str,
    stream: Stream,
    plan: StreamPlan = StreamPlan(),  # noqa: B008  frozen
    proof: Sequence[str] = (),
    tls: ssl.SSLContext | None = None,
    on_text: OnText = ignore,
    on_progress: OnProgress | None = None,
    randbytes: Callable[[int], bytes] = os.urandom,
) -> SocketCall:
    """Play each track's payload, as the plan's `encode` makes it, as one stream, in real time.

    `proof` are the header lines that the request proves itself by. Raises ValueError for a URL that is none,
    OSError when nobody answers, UpgradeError when the gateway does not open the WebSocket; what goes wrong later stands
    in the result.
    """
    target = parse_url(url)
    socket = await open_websocket(
        target,
        media_stream_upgrade(plan.dialect, target, make_key(randbytes(16)), proof=proof),
        mask_key=lambda: randbytes(4),
        connect_seconds=OPEN_SECONDS,
        answer_seconds=OPEN_SECONDS,
        tls=tls,
    )
    return await _Call(socket, payloads, stream, plan).run(on_text, on_progress)


class _Call:
    """One stream whose WebSocket is open."""

    def __init__(self, socket: WebSocket, payloads: Sequence[bytes], stream: Stream, plan: StreamPlan) -> None:
        self._socket = socket
        self._payloads = payloads
        self._plan = plan
        self._writer = Writer(stream, plan)
        self._begin = asyncio.get_running_loop().time()
        self._overruns = 0
        self._over = False
        """Whether the stream has ended on our side."""

    async def run(self, on_text: OnText, on_progress: OnProgress | None) -> SocketCall:
        try:
            async with asyncio.TaskGroup() as group:
                speaker = group.create_task(self._speak(on_progress))
                await self._socket.hear(on_text)
                ended_by_gateway = not self._over
                speaker.cancel()
            if self._socket.heard_close is not None:
                self._socket.say_close(self._socket.heard_close)
        finally:
            await self._socket.shut()
        return self._socket.result(ended_by_gateway=ended_by_gateway, overruns=self._overruns)

    async def _speak(self, on_progress: OnProgress | None) -> None:
        """Send everything on time, then end as planned."""
        ends_at = self._plan.ends_at(self._payloads)
        total = self._plan.packets_until(ends_at)
        self._send(self._writer.open())
        for step in steps(self._payloads, self._plan):
            await self._sleep_until(step.at)
            self._do(step.what)
            if on_progress is not None and isinstance(step.what, Media):
                on_progress((step.what.stamp_ms - self._plan.first_ms) // self._plan.packet_ms + 1, total)
        await self._sleep_until(ends_at)
        await self._end()

    async def _sleep_until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._begin + at - asyncio.get_running_loop().time()))

    def _do(self, what: Media | Key) -> None:
        """Send a packet or a key; a packet that could not be sent is thrown away before it is counted."""
        if isinstance(what, Media) and self._socket.unsent_bytes > MOST_UNSENT_BYTES:
            self._overruns += 1
        else:
            self._send(self._writer.write(what))

    def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._socket.send(Opcode.TEXT, message.text.encode())
            if message.audio_bytes:
                self._socket.count_audio(message.audio_bytes)

    async def _end(self) -> None:
        """Break the connection, or say Close and wait for the gateway's. Where it comes, this is cancelled."""
        self._over = True
        self._send(self._writer.close())
        if self._plan.end is End.BREAK:
            self._socket.reset()
            return
        self._socket.say_close(Close(NORMAL))
        await asyncio.sleep(CLOSE_SECONDS)
        self._socket.break_off(f"the gateway did not say Close within {CLOSE_SECONDS:g} s")
