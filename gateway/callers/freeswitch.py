"""Calls of FreeSWITCH's mod_audio_fork and mod_audio_stream."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from gateway.callers.frames import Opcode
from gateway.callers.freeswitch_plan import (
    MOST_METADATA_BYTES,
    SUBPROTOCOL,
    End,
    ForkPlan,
    Module,
    ModuleBuffer,
    Step,
    fork_upgrade,
    steps,
    stream_upgrade,
)
from gateway.callers.upgrade import make_key, parse_url
from gateway.callers.websocket import WebSocket, ignore, open_websocket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from gateway.callers.sockets import OnProgress
    from gateway.callers.upgrade import Credentials
    from gateway.callers.websocket import OnText, SocketCall

OPEN_SECONDS = {Module.FORK: 10.0, Module.STREAM: 1.0}
"""Connecting may take so long, and so may the answer to the upgrade (audio_pipe.cpp, timeout_secs; seen of
mod_audio_stream)."""

CLOSE_SECONDS = {Module.FORK: 5.0, Module.STREAM: 1.0}
"""After its own Close a module waits so long: mod_audio_fork for the gateway's (libwebsockets, ops-ws.c), then it cuts
the connection; mod_audio_stream for the gateway to cut it (libwsc, armCloseTimer)."""


async def call_freeswitch(
    pcm: bytes,
    *,
    url: str,
    plan: ForkPlan = ForkPlan(),  # noqa: B008  frozen
    credentials: Credentials | None = None,
    subprotocol: str = SUBPROTOCOL,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    on_text: OnText = ignore,
    on_progress: OnProgress | None = None,
    randbytes: Callable[[int], bytes] = os.urandom,
) -> SocketCall:
    """Play 16-bit PCM of the plan's rate and channels as one call, in real time.

    `url` is taken as it is (see `with_format`). `subprotocol` is mod_audio_fork's, `headers` are mod_audio_stream's.
    Raises ValueError for a URL that is none, OSError when nobody answers, UpgradeError when the gateway does not open
    the WebSocket; what goes wrong later stands in the result.
    """
    begin = asyncio.get_running_loop().time()
    target = parse_url(url)
    key = make_key(randbytes(16))
    socket = await open_websocket(
        target,
        fork_upgrade(target, key, credentials=credentials, subprotocol=subprotocol)
        if plan.module is Module.FORK
        else stream_upgrade(target, key, credentials=credentials, headers=headers),
        mask_key=lambda: randbytes(4),
        connect_seconds=OPEN_SECONDS[plan.module],
        answer_seconds=OPEN_SECONDS[plan.module],
        tls=tls,
    )
    call = _Call(socket, pcm, plan, begin)
    return await call.run(on_text, on_progress)


class _Call:
    """One call whose WebSocket is open."""

    def __init__(self, socket: WebSocket, pcm: bytes, plan: ForkPlan, begin: float) -> None:
        self._socket = socket
        self._pcm = pcm
        self._plan = plan
        self._begin = begin
        self._opened_at = self._now()
        self._ends_at = plan.ends_at(pcm)
        self._buffer = ModuleBuffer(plan)
        self._over = False
        """Whether the call has ended on our side."""

    def _now(self) -> float:
        """Tell the time since `start` was said."""
        return asyncio.get_running_loop().time() - self._begin

    async def run(self, on_text: OnText, on_progress: OnProgress | None) -> SocketCall:
        try:
            async with asyncio.TaskGroup() as group:
                speaker = group.create_task(self._speak(on_progress))
                await self._socket.hear(on_text)
                ended_by_gateway = not self._over
                speaker.cancel()
            await self._part()
        finally:
            await self._socket.shut()
        return self._socket.result(ended_by_gateway=ended_by_gateway, overruns=self._buffer.overruns)

    async def _speak(self, on_progress: OnProgress | None) -> None:
        """Send everything on time; then wait as long as the module does for what the gateway owes it."""
        plan = self._plan
        if plan.module is Module.FORK and self._ends_at <= self._opened_at:
            await self._wait_for_close(plan.patience)  # the module has forgotten the socket, and says nothing on it
            return
        if plan.metadata is not None:
            self._socket.send(Opcode.TEXT, plan.metadata.encode()[:MOST_METADATA_BYTES])
        for step in steps(self._pcm, plan):
            await asyncio.sleep(max(0.0, step.at - self._now()))
            self._do(step)
            if on_progress is not None:
                on_progress(self._packets_before(step.at) + 1, self._packets_before(self._ends_at))
        await asyncio.sleep(max(0.0, self._ends_at - self._now()))
        self._end()
        await self._wait_for_close(plan.patience if plan.end is End.GRACEFUL else CLOSE_SECONDS[plan.module])

    def _packets_before(self, at: float) -> int:
        """Count the packets that are due by then."""
        return max(0, round((at - self._plan.begin) * 1000 / self._plan.packet_ms))

    def _do(self, step: Step) -> None:
        """Send a packet or a text. What comes before the WebSocket is open waits, or is lost."""
        opened = step.at > self._opened_at
        match step.what:
            case str() as text if opened:
                self._socket.send(Opcode.TEXT, text.encode())
            case bytes() as packet if self._plan.module is Module.FORK:
                self._buffer.push(packet)
                if opened and not self._socket.unsent_bytes:
                    self._socket.send_audio(self._buffer.take())
            case bytes() as packet if opened:
                self._socket.send_audio(packet)

    def _end(self) -> None:
        self._over = True
        if self._plan.end is End.GRACEFUL:
            self._socket.send(Opcode.BINARY, b"")
            return
        if self._plan.last_text is not None:
            self._socket.send(Opcode.TEXT, self._plan.last_text.encode())
        self._socket.say_close(self._plan.close)

    async def _wait_for_close(self, seconds: float) -> None:
        """Let the gateway say Close, for so long. Where it does, this is cancelled."""
        self._over = True
        await asyncio.sleep(seconds)
        self._socket.break_off(f"the gateway did not say Close within {seconds:g} s")

    async def _part(self) -> None:
        """Answer a Close, and leave the connection as the module does: mod_audio_stream lets the gateway go first."""
        heard = self._socket.heard_close
        if heard is None:
            return
        is_answer = self._socket.said_close
        self._socket.say_close(heard)
        if self._plan.module is Module.STREAM:
            await self._socket.wait_cut(CLOSE_SECONDS[Module.STREAM] if is_answer else self._plan.patience)
