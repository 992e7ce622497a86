"""Calls of Asterisk's `AudioSocket()`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from adapters.asterisk.audiosocket import HEADER, Kind, encode
from gateway.callers.plan import CallPlan, Send, schedule
from gateway.callers.sockets import will_reset

if TYPE_CHECKING:
    import ssl
    import uuid
    from collections.abc import Sequence

    from gateway.callers.sockets import OnProgress

CONNECT_SECONDS = 2.0
"""Asterisk waits so long for a connection."""


class CallResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a simulated call went."""

    call_uuid: str
    frames: int
    heard_frames: int
    """Audio frames that the gateway sent, such as its keep-alive."""
    ended_by_gateway: bool


async def call_audiosocket(
    pcm: bytes,
    *,
    host: str,
    port: int,
    call_uuid: uuid.UUID,
    plan: CallPlan = CallPlan(),  # noqa: B008  frozen
    tls: ssl.SSLContext | None = None,
    on_progress: OnProgress | None = None,
) -> CallResult:
    """Play 16-bit mono PCM at 8 kHz as one call of `AudioSocket()`, in real time.

    The UUID goes first, then each frame at its time, the last one as short as it is. Raises OSError when nobody
    answers.
    """
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        async with asyncio.TaskGroup() as group:
            listener = group.create_task(_listen(reader))
            writer.write(encode(Kind.UUID, call_uuid.bytes))
            frames = await _speak(writer, schedule(pcm, plan), listener, on_progress)
            await asyncio.wait({listener}, timeout=0 if plan.hang_up_at is not None else plan.linger)
            ended_by_gateway = listener.done()
            if plan.reset:
                will_reset(writer)
            writer.close()  # what Asterisk does at the end of a call: FIN, and no word
            heard = await listener
    except* (ConnectionError, TimeoutError) as group_error:
        raise ConnectionError("the gateway broke the call off") from group_error
    finally:
        writer.close()
    return CallResult(call_uuid=str(call_uuid), frames=frames, heard_frames=heard, ended_by_gateway=ended_by_gateway)


async def _speak(
    writer: asyncio.StreamWriter,
    sends: Sequence[Send],
    listener: asyncio.Task[int],
    on_progress: OnProgress | None,
) -> int:
    """Send everything on time, or until the gateway hangs up; tell how many frames went out."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number, send in enumerate(sends):
        wait = begin + send.at - loop.time()
        if wait > 0:
            await asyncio.wait({listener}, timeout=wait)
        if listener.done():
            return number
        writer.write(send.frame)
        await writer.drain()
        if on_progress is not None:
            on_progress(number + 1, len(sends))
    return len(sends)


async def _listen(reader: asyncio.StreamReader) -> int:
    """Read until the gateway hangs up or closes; tell how many audio frames it sent."""
    heard = 0
    try:
        while True:
            kind, length = HEADER.unpack(await reader.readexactly(HEADER.size))
            await reader.readexactly(length)
            if kind == Kind.TERMINATE:
                return heard
            heard += kind == Kind.SLIN
    except (asyncio.IncompleteReadError, ConnectionError):
        return heard
