"""Calls of Asterisk's chan_websocket: `Dial(WebSocket/...)`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from gateway.callers.asterisk_websocket_plan import Direction, key_of, mask_key_of, react, upgrade
from gateway.callers.frames import NORMAL, Close, Opcode
from gateway.callers.plan import At, CallPlan, steps
from gateway.callers.upgrade import UpgradeError, parse_url
from gateway.callers.websocket import ignore, open_websocket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from gateway.callers.asterisk_websocket_plan import Leg
    from gateway.callers.sockets import OnProgress
    from gateway.callers.upgrade import Credentials
    from gateway.callers.websocket import OnText, SocketCall, WebSocket


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """How often Asterisk tries, and how long it waits, by the defaults of websocket_client.conf."""

    attempts: int = 4
    """reconnect_attempts."""
    interval_seconds: float = 0.5
    """reconnect_interval, after an attempt that failed."""
    connect_seconds: float = 0.5
    """connection_timeout."""
    answer_seconds: float = 1.0
    """Twice connection_timeout."""


async def call_asterisk_websocket(
    payload: bytes,
    *,
    url: str,
    leg: Leg,
    plan: CallPlan = CallPlan(),  # noqa: B008  frozen
    credentials: Credentials | None = None,
    attempts: Attempts = Attempts(),  # noqa: B008  frozen
    tls: ssl.SSLContext | None = None,
    on_text: OnText = ignore,
    on_progress: OnProgress | None = None,
    randbytes: Callable[[int], bytes] = os.urandom,
) -> SocketCall:
    """Play audio, as the leg's codec encodes it, as one call, in real time.

    Raises ValueError for a URL that is none, OSError when nobody answers, UpgradeError when the gateway does not open
    the WebSocket, both after the last attempt; what goes wrong later stands in the result.
    """
    target = parse_url(url)

    async def attempt() -> WebSocket:
        return await open_websocket(
            target,
            upgrade(target, key_of(randbytes), credentials=credentials),
            mask_key=lambda: mask_key_of(randbytes),
            connect_seconds=attempts.connect_seconds,
            answer_seconds=attempts.answer_seconds,
            tls=tls,
        )

    socket = await _try(attempt, attempts)
    return await _Call(socket, leg, plan, on_text).run(payload, on_progress)


async def _try(attempt: Callable[[], Awaitable[WebSocket]], attempts: Attempts) -> WebSocket:
    for _ in range(attempts.attempts - 1):
        with contextlib.suppress(OSError, UpgradeError):
            return await attempt()
        await asyncio.sleep(attempts.interval_seconds)
    return await attempt()


class _Call:
    """One call whose WebSocket is open."""

    def __init__(self, socket: WebSocket, leg: Leg, plan: CallPlan, on_text: OnText) -> None:
        self._socket = socket
        self._leg = leg
        self._plan = plan
        self._on_text = on_text
        self._direction = leg.direction
        self._begin = asyncio.get_running_loop().time()
        self._over = False
        """Whether the caller has hung up."""

    async def run(self, payload: bytes, on_progress: OnProgress | None) -> SocketCall:
        try:
            async with asyncio.TaskGroup() as group:
                speaker = group.create_task(self._speak(payload, on_progress))
                await self._socket.hear(self._take)
                ended_by_gateway = not self._over
                speaker.cancel()
            if self._socket.heard_close is not None:
                self._socket.say_close(Close(self._socket.heard_close.code or NORMAL))
        finally:
            await self._socket.shut()
        return self._socket.result(ended_by_gateway=ended_by_gateway)

    async def _speak(self, payload: bytes, on_progress: OnProgress | None) -> None:
        """Send everything on time, then hang up."""
        self._say(self._leg.media_start())
        packet_bytes = self._leg.codec.packet_bytes(self._plan.packet_ms)
        total, frames, last = -(-len(payload) // packet_bytes), 0, 0.0
        for step in steps(payload, packet_bytes, self._plan):
            await self._sleep_until(step.at)
            last = step.at
            if isinstance(step.what, At):
                self._say(self._leg.dtmf_end(step.what.what))
                continue
            frames += 1
            if self._direction is not Direction.OUT:
                self._socket.send_audio(step.what)
            if on_progress is not None:
                on_progress(frames, total)
        hang_up_at = self._plan.hang_up_at
        await self._sleep_until(last + self._plan.linger if hang_up_at is None else hang_up_at)
        self._over = True
        if self._plan.reset:
            self._socket.reset()
        else:
            self._hang_up()

    async def _sleep_until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._begin + at - asyncio.get_running_loop().time()))

    def _say(self, text: str) -> None:
        self._socket.send(Opcode.TEXT, text.encode())

    def _hang_up(self) -> None:
        """Say Close, and shut the connection at once, whatever the gateway would have answered."""
        self._socket.say_close(Close(NORMAL))
        self._socket.leave()

    def _take(self, text: str) -> None:
        reaction = react(text, self._leg, self._direction)
        self._direction = reaction.direction or self._direction
        if reaction.answer is not None:
            self._say(reaction.answer)
        if reaction.hangs_up:
            self._hang_up()
        self._on_text(text)
