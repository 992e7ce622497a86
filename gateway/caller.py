"""Calls for trying a gateway: files played into it exactly as Asterisk would play them."""

from __future__ import annotations

import asyncio
import socket
import ssl  # noqa: TC003  at run time: msgspec resolves the annotations below
import struct
import wave
from typing import TYPE_CHECKING, Protocol

import aiohttp
import msgspec
import numpy as np
from scipy import signal

from adapters.asterisk.audiosocket import HEADER, Kind, encode
from adapters.media.g711 import decoder
from adapters.stream import Encoding
from gateway.call_plan import RATE_HZ, CallPlan, Send, schedule

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CONNECT_SECONDS = 2.0
"""Asterisk waits so long for a connection."""


class AudioFileError(Exception):
    """A file that cannot be played; the text names it and says what can be."""


class RegisterError(Exception):
    """The gateway's HTTP API did not take a call that was announced; the text says what it answered."""


class CallResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a simulated call went."""

    call_uuid: str
    frames: int
    heard_frames: int
    """Audio frames that the gateway sent, such as its keep-alive."""
    ended_by_gateway: bool


class OnProgress(Protocol):
    """Told about every frame that was sent."""

    def __call__(self, frames: int, total: int) -> None:
        """Take the count so far."""
        ...


def read_audio(path: Path) -> bytes:
    """Read a WAV file of any rate, or raw mu-law at 8 kHz, as 16-bit mono PCM at 8 kHz. Raises AudioFileError."""
    try:
        if path.suffix.lower() == ".wav":
            return _read_wav(path)
        return decoder(Encoding.PCMU)(path.read_bytes())
    except OSError as error:
        raise AudioFileError(f"{path}: {error.strerror}") from error
    except (wave.Error, EOFError, ValueError) as error:
        reason = str(error) or "it is cut short"
        raise AudioFileError(
            f"{path}: expected a WAV file of 8 or 16 bit PCM, or raw mu-law at 8 kHz: {reason}"
            f" (sox {path.name} -b 16 -e signed out.wav makes one)"
        ) from error


def _read_wav(path: Path) -> bytes:
    with wave.open(str(path), "rb") as file:
        rate_hz, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        data = file.readframes(file.getnframes())
    match width:
        case 1:
            samples = (np.frombuffer(data, np.uint8).astype(np.float64) - 128) * 256
        case 2:
            samples = np.frombuffer(data, "<i2").astype(np.float64)
        case _:
            raise ValueError(f"{width * 8} bits a sample; 8 and 16 can be played")
    mono = samples.reshape(-1, channels).mean(axis=1)
    if rate_hz != RATE_HZ:
        mono = signal.resample_poly(mono, RATE_HZ, rate_hz)
    pcm: bytes = np.clip(np.rint(mono), -32768, 32767).astype("<i2").tobytes()
    return pcm


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's HTTP API."""

    url: str
    token: str
    tls: ssl.SSLContext | None = None
    """Whom to trust on https; None: whom the system trusts."""

    async def register(self, announced: Mapping[str, str]) -> None:
        """Announce a stream with `POST /v1/calls`, as a dialplan does before it connects. Raises RegisterError."""
        target = f"{self.url.rstrip('/')}/v1/calls"
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(CONNECT_SECONDS), headers=headers) as session,
                session.post(target, data=announced, ssl=self.tls or True) as response,
            ):
                if not response.ok:
                    raise RegisterError(f"{target} answered {response.status}: {await response.text()}".strip())
        except (aiohttp.ClientError, ValueError, TimeoutError) as error:
            raise RegisterError(f"{target} cannot be asked: {str(error) or 'nobody answered'}") from error


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
                _will_reset(writer)
            writer.close()  # what Asterisk does at the end of a call: FIN, and no word
            heard = await listener
    except* (ConnectionError, TimeoutError) as group_error:
        raise ConnectionError("the gateway broke the call off") from group_error
    finally:
        writer.close()
    return CallResult(call_uuid=str(call_uuid), frames=frames, heard_frames=heard, ended_by_gateway=ended_by_gateway)


def _will_reset(writer: asyncio.StreamWriter) -> None:
    """Let the close of the socket be a reset (socket(7), SO_LINGER)."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


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
