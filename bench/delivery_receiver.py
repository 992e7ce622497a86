"""A receiver of webhooks that writes down what comes, and behaves as badly as it is told to.

    python -m bench.delivery_receiver PORT RECORD [--seed N] [--trouble SHARE] [--key BASE64]

It prints the port once it listens. What it takes is in RECORD, a line of JSON each, before it answers: being killed
costs it nothing that it has accepted. SHARE of all requests meets with one of five troubles, chosen by the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import time
from typing import TYPE_CHECKING, cast

import msgspec
import uvloop

from bench.delivery_figures import Attempt
from gateway.delivery.signing import SignatureError, verify

if TYPE_CHECKING:
    from collections.abc import Callable

clock = time.monotonic  # noqa: TID251  a benchmark names its clock
wall = time.time  # noqa: TID251  the same

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
BROKEN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
PRESSED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
SLOWEST_SECONDS = 2.5

FAILS, LIES, CUTS, SLOW, TIRED = "fails", "lies", "cuts", "slow", "tired"
TROUBLES = (FAILS, LIES, CUTS, SLOW, TIRED)


class _Data(msgspec.Struct):
    call_id: str
    sequence: int


class _Body(msgspec.Struct):
    data: _Data


_decoder = msgspec.json.Decoder(_Body)
_encoder = msgspec.json.Encoder()


class Book:
    """What came, in a file that outlives this process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, event_id: str, body: bytes, *, accepted: bool) -> None:
        """Write an attempt down."""
        data = _decoder.decode(body).data
        attempt = Attempt(event_id, data.call_id, data.sequence, clock(), accepted)
        os.write(self._file, _encoder.encode(attempt) + b"\n")


class Connection(asyncio.Protocol):
    """HTTP as the gateway speaks it: POST, with its length, one at a time."""

    def __init__(self, book: Book, trouble: Callable[[], str | None], key: bytes | None) -> None:
        self._book = book
        self._trouble = trouble
        self._key = key
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            headers = _headers(self._buffer[:end])
            whole = end + 4 + int(headers["content-length"])
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._answer(headers, body)

    def _answer(self, headers: dict[str, str], body: bytes) -> None:
        if self._key is not None:
            try:
                verify([self._key], headers, body, wall())
            except SignatureError:
                self._transport.write(REFUSED)
                return
        trouble = self._trouble()
        self._book.write(headers["webhook-id"], body, accepted=trouble not in {FAILS, TIRED})
        if trouble is None:
            self._transport.write(OK)
        elif trouble == CUTS:
            self._transport.abort()
        elif trouble == SLOW:
            seconds = random.uniform(0.1, SLOWEST_SECONDS)  # noqa: S311  no secret
            asyncio.get_running_loop().call_later(seconds, self._late)
        else:
            self._transport.write(PRESSED if trouble == TIRED else BROKEN)

    def _late(self) -> None:
        if not self._transport.is_closing():  # the gateway may have waited long enough
            self._transport.write(OK)


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def main() -> None:
    """Receive until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("record")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trouble", type=float, default=0.0)
    parser.add_argument("--key", default="")
    options = parser.parse_args()
    random.seed(options.seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    book = Book(options.record)
    key = base64.b64decode(options.key) if options.key else None

    def trouble() -> str | None:
        return random.choice(TROUBLES) if random.random() < options.trouble else None  # noqa: S311  no secret

    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(book, trouble, key), "127.0.0.1", options.port
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    main()
