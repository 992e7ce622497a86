"""What a frame of 20 ms costs the gateway's process, from the socket to utterances, by each wire.

    python -m bench.sockets [--streams N] [--seconds S] [--rounds R]

Plays so many streams of speech at once, in real time, into listeners without models (bench.socket_server), and
measures the CPU time of their process. Rounds of the wires alternate; the figures are medians. A stereo fork has two
frames in each message, one of each speaker.
"""

from __future__ import annotations

import argparse
import asyncio
import audioop
import json
import statistics
import sys
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop
from rich.console import Console
from rich.table import Table

from adapters.asterisk.audiosocket import Kind, encode
from bench.twilio_messages import START, media
from gateway.callers.asterisk_websocket_plan import Leg
from gateway.callers.frames import Opcode
from gateway.callers.frames import encode as encode_message
from gateway.callers.freeswitch_plan import fork_upgrade
from gateway.callers.upgrade import parse_url
from gateway.demo.script import scripts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FRAME_SECONDS = 0.02
FRAME_BYTES = 320
NOTCHES = 10
GOAL_US = 20.0

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x5a\xa5\x3c\xc3"


def _speech() -> list[bytes]:
    pcm = scripts()[0].pcm
    return [pcm[start : start + FRAME_BYTES] for start in range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)]


def _stereo() -> list[bytes]:
    left, right = _speech(), list(reversed(_speech()))
    return [
        audioop.add(audioop.tostereo(one, 2, 1, 0), audioop.tostereo(other, 2, 0, 1), 2)
        for one, other in zip(left, right, strict=True)
    ]


def _text(text: str) -> bytes:
    return encode_message(Opcode.TEXT, text.encode(), MASK)


def _binary(payloads: list[bytes]) -> list[bytes]:
    return [encode_message(Opcode.BINARY, payload, MASK) for payload in payloads]


class Wire:
    """One way in: what is said first, and then every 20 ms."""

    def __init__(self, port: str, hello: bytes, messages: list[bytes], tracks: int = 1) -> None:
        self.port = port
        self.tracks = tracks
        self.hello = hello
        self.messages = messages


def wires() -> dict[str, Wire]:
    """Make what each wire sends."""
    start = Leg(channel_id="17.1").media_start()
    ulaw = [audioop.lin2ulaw(pcm, 2) for pcm in _speech()]

    def upgrade(path: str) -> bytes:
        return fork_upgrade(parse_url(f"ws://127.0.0.1{path}"), KEY).request

    return {
        "audiosocket": Wire(
            "audiosocket", encode(Kind.UUID, uuid.UUID(int=1).bytes), [encode(Kind.SLIN, pcm) for pcm in _speech()]
        ),
        "freeswitch": Wire("http", upgrade("/freeswitch?rate=8000"), _binary(_speech())),
        "freeswitch stereo": Wire("http", upgrade("/freeswitch?rate=8000&channels=2"), _binary(_stereo()), tracks=2),
        "asterisk_websocket": Wire("http", upgrade("/asterisk") + _text(start), _binary(ulaw)),
        "twilio": Wire("http", upgrade("/twilio") + _text(START), [_text(media(*each)) for each in enumerate(ulaw)]),
    }


def main() -> None:
    """Measure, print the table, and last the JSON object."""
    parser = argparse.ArgumentParser(description="Microseconds of CPU per frame of 20 ms, by wire.")
    parser.add_argument("--streams", type=int, default=200, help="at once")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_measure(options.streams, options.seconds, options.rounds))
    table = Table("wire", "µs of CPU per frame", "lowest", "highest", "streams a core bears")
    medians = {name: round(statistics.median(values), 1) for name, values in found.items()}
    for name, values in found.items():
        bears = round(FRAME_SECONDS * 1e6 / medians[name])
        table.add_row(name, f"{medians[name]:.1f}", f"{min(values):.1f}", f"{max(values):.1f}", f"{bears:,}")
    Console().print(table)
    print(json.dumps({"goal_us": GOAL_US, "streams": options.streams, "us_per_frame": medians}))


async def _measure(streams: int, seconds: float, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in wires()}
    for _ in range(rounds):
        for name, wire in wires().items():
            found[name].append(await _round(wire, streams, seconds))
    return found


async def _round(wire: Wire, streams: int, seconds: float) -> float:
    """Tell how many microseconds of CPU a frame cost."""
    async with _server() as (process, told):
        await _play(wire, told[wire.port], streams, seconds)
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101  both were asked for
        process.stdin.close()
        heard: dict[str, float] = json.loads(await process.stdout.readline())
    expected = streams * round(seconds / FRAME_SECONDS) * wire.tracks
    if heard["frames"] < 0.98 * expected:
        found = f"only {heard['frames']:,.0f} of {expected} frames were heard"
        raise SystemExit(f"{found}: the machine is too slow for so many streams")
    return heard["cpu_seconds"] / heard["frames"] * 1e6


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.socket_server"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None  # noqa: S101  it was asked for
    try:
        yield process, json.loads(await process.stdout.readline())
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _play(wire: Wire, port: int, streams: int, seconds: float) -> None:
    """Send every stream's frames at their times, a tenth of the streams every two milliseconds."""
    loop = asyncio.get_running_loop()
    transports = [(await loop.create_connection(asyncio.Protocol, "127.0.0.1", port))[0] for _ in range(streams)]
    for transport in transports:
        transport.write(wire.hello)
    await asyncio.sleep(0.5)
    begin = loop.time()
    for tick in range(round(seconds / FRAME_SECONDS) * NOTCHES):
        await asyncio.sleep(max(0.0, begin + tick * FRAME_SECONDS / NOTCHES - loop.time()))
        message = wire.messages[tick // NOTCHES % len(wire.messages)]
        for transport in transports[tick % NOTCHES :: NOTCHES]:
            transport.write(message)
    await asyncio.sleep(0.2)
    for transport in transports:
        transport.abort()


if __name__ == "__main__":
    main()
