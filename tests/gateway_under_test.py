"""A whole gateway inside a test: real sockets, real store, real receiver; only the engine is a stand-in."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from adapters.asterisk.audiosocket import Kind, encode
from config.load import load
from gateway.receiver import Receiver
from gateway.service import Gateway
from tests.fakes import FakeEngine, bring_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from config.settings import Settings
    from gateway.engines import Load
    from gateway.receiver import Received
    from gateway.service import Ready

KEY = bytes(range(32))
WHSEC = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TOKEN = "0123456789abcdef" * 2
PATIENCE_SECONDS = 30.0
"""Only a broken gateway needs so long."""


class Inbox:
    """What the receiver was sent."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.log: list[Mapping[str, Any]] = []
        """What a gateway process logged."""
        self._told = asyncio.Event()

    def take(self, received: Received) -> None:
        self.received.append(received)
        self._told.set()

    def note(self, record: Mapping[str, Any]) -> None:
        self.log.append(record)
        self._told.set()

    async def wait_logged(self, beginning: str) -> None:
        """Wait for a line of the log whose event begins like this."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.has_logged(beginning):
                self._told.clear()
                await self._told.wait()

    def has_logged(self, beginning: str) -> bool:
        return any(record["event"].startswith(beginning) for record in self.log)

    def of(self, kind: str, external_call_id: str | None = None) -> list[dict[str, Any]]:
        """Give the data of every event of one type, of one call if it is named."""
        return [
            each.data
            for each in self.received
            if each.type == kind and external_call_id in (None, each.data["source"]["call_id"])
        ]

    async def wait(self, kind: str, count: int = 1, external_call_id: str | None = None) -> list[dict[str, Any]]:
        """Wait for so many events of a type."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := self.of(kind, external_call_id)) < count:
                self._told.clear()
                await self._told.wait()
        return found

    def of_any(self) -> list[dict[str, Any]]:
        """Give the data of every event."""
        return [each.data for each in self.received]

    @property
    def ids(self) -> list[str]:
        """Give the id of every event, in order of arrival."""
        return [each.event_id for each in self.received]

    def types(self, external_call_id: str) -> list[str]:
        """Give the types of a call's events in the order of their sequence."""
        mine = [each for each in self.received if each.data["source"]["call_id"] == external_call_id]
        assert len({each.data["call_id"] for each in mine}) == 1
        assert [each.data["sequence"] for each in sorted(mine, key=_sequence)] == list(range(1, len(mine) + 1))
        return [each.type for each in sorted(mine, key=_sequence)]


def _sequence(received: Received) -> int:
    sequence: int = received.data["sequence"]
    return sequence


class House:
    """A running gateway and what surrounds it."""

    def __init__(
        self, gateway: Gateway, running: asyncio.Task[None], ready: Ready, inbox: Inbox, engine: FakeEngine, port: int
    ) -> None:
        self.gateway = gateway
        self.running = running
        self.ports = ready.ports
        self.port = ready.ports["audiosocket"]
        self.http_port = ready.http_port
        self.admin_port = ready.admin_port
        self.inbox = inbox
        self.engine = engine
        self.receiver_port = port

    async def until_no_calls(self) -> None:
        """Wait until no call is in progress."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.gateway._registry.calls:  # noqa: ASYNC110  it tells nobody of each call's end
                await asyncio.sleep(0.01)

    async def ask(
        self, method: str, path: str, *, token: str | None = TOKEN, **body: Any
    ) -> tuple[int, dict[str, Any]]:
        """Make a request of the HTTP API; `json` or `data` is its body."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self.http_port}{path}"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, **body) as response,
        ):
            return response.status, msgspec.json.decode(await response.read() or b"{}")

    async def connect(self, listener: str = "audiosocket") -> Line:
        """Open a connection that has said nothing yet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[listener])
        return Line(reader, writer)

    async def call(
        self, pcm: bytes = b"", *, listener: str = "audiosocket", call_uuid: uuid.UUID | None = None
    ) -> Line:
        """Open a call and say something at once."""
        line = await self.connect(listener)
        line.uuid = call_uuid or line.uuid
        await line.introduce()
        await line.say(pcm)
        return line


class Line:
    """One AudioSocket connection, Asterisk's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.uuid = uuid.uuid4()
        self.reader = reader
        self.writer = writer

    @property
    def name(self) -> str:
        return str(self.uuid)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def introduce(self) -> None:
        self.write(encode(Kind.UUID, self.uuid.bytes))
        await self.writer.drain()

    async def say(self, pcm: bytes) -> None:
        """Send PCM at 8 kHz in frames of 20 ms, as fast as it goes."""
        for start in range(0, len(pcm), 320):
            self.writer.write(encode(Kind.SLIN, pcm[start : start + 320]))
        await self.writer.drain()

    async def hang_up(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def rest(self) -> bytes:
        """Read until the gateway closes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()


def settings(state_dir: Path, receiver_port: int, **changes: Any) -> Settings:
    """Give the default settings with free ports, one receiver, and a call's linger short."""
    endpoint = {"name": "test", "url": f"http://127.0.0.1:{receiver_port}/", "secrets": [WHSEC]}
    environ = {
        "LINESCRIBE_STATE_DIR": str(state_dir),
        "LINESCRIBE_AUDIOSOCKET__0__PORT": "0",
        "LINESCRIBE_HTTP__PORT": "0",
        "LINESCRIBE_HTTP__TOKENS": msgspec.json.encode([{"name": "pbx", "secret": TOKEN}]).decode(),
        "LINESCRIBE_CALLS__LINGER_SECONDS": "0",
        "LINESCRIBE_DELIVERY__ENDPOINTS": msgspec.json.encode([endpoint]).decode(),
        "LINESCRIBE_DELIVERY__RETRY_SECONDS": "[0.05, 0.05, 0.1, 0.1, 0.2]",
    }
    return load(None, environ | {f"LINESCRIBE_{name}": str(value) for name, value in changes.items()})


def listener(**settings: Any) -> str:
    """Write the only listener of its kind."""
    return msgspec.json.encode([settings]).decode()


@asynccontextmanager
async def house(
    state_dir: Path,
    *,
    engine: FakeEngine | None = None,
    more: Sequence[FakeEngine] = (),
    load: Load | None = None,
    read: Callable[[], Settings] | None = None,
    **changes: Any,
) -> AsyncIterator[House]:
    """Run a gateway for the length of a test; it must stop by itself when told to.

    `more` engines are what it is given when it loads models again, or `load` gives all; `read` reads its settings.
    """
    inbox = Inbox()
    engine = engine or FakeEngine()
    receiver = Receiver([KEY], clock=time.time, on_event=inbox.take)  # noqa: TID251  tests live in real time
    port = await receiver.start("127.0.0.1", 0)
    gateway = Gateway(settings(state_dir, port, **changes), load or bring_up(engine, *more), read=read)
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            running = group.create_task(gateway.run(ready.set_result))
            running.add_done_callback(lambda _: ready.cancel())
            yield House(gateway, running, await ready, inbox, engine, port)
            gateway.stop()
            gateway.stop()
    finally:
        await receiver.stop()
