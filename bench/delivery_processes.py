"""The processes of `bench.delivery`: receivers and gateways that are started, told, killed and started anew."""

from __future__ import annotations

import asyncio
import base64
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.delivery_figures import Appended, Attempt
from bench.delivery_gateway import Setup, Task
from gateway.delivery.database import open_beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
LONGEST_SECONDS = 1200.0
"""Of one task."""


class BenchError(Exception):
    """A process ended, or did not come to its end, that should have."""


class Receiver:
    """A receiver's process, on one port for good."""

    def __init__(self, record: Path, *, trouble: float = 0.0, seed: int = 1, verifies: bool = False) -> None:
        self.record = record
        self.port = 0
        self._options = ["--trouble", str(trouble)]
        self._options += ["--key", base64.b64encode(KEY).decode()] if verifies else []
        self._seed = seed
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, with another seed each time, and wait until it listens."""
        self._seed += 1
        self._process = await _start(
            "bench.delivery_receiver", str(self.port), str(self.record), "--seed", str(self._seed), *self._options
        )
        line = await _line(self._process)
        self.port = int(line)

    async def kill(self) -> None:
        """End it as a power failure would."""
        await _kill(self._process)

    def attempts(self) -> list[Attempt]:
        """Give all that came, to this process and to those before it."""
        return _read(self.record, Attempt)


class Gateway:
    """A gateway's process, on one state directory for good."""

    def __init__(self, folder: Path, ports: dict[str, int], **settings: Any) -> None:
        self._state_dir = folder / "state"
        self._record = folder / "appended"
        self._setup = Setup(
            state_dir=str(self._state_dir), record=str(self._record), secret=SECRET, ports=ports, **settings
        )
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it delivers."""
        self._process = await _start("bench.delivery_gateway")
        self._tell(self._setup)
        await self.done()

    async def do(self, task: Task) -> None:
        """Have a task done."""
        self.begin(task)
        await self.done()

    def begin(self, task: Task) -> None:
        """Tell it of a task."""
        self._tell(task)

    async def done(self) -> None:
        """Wait for the end of the last task. Raises BenchError."""
        async with asyncio.timeout(LONGEST_SECONDS):
            await _line(self._process)

    async def kill(self) -> None:
        """End it as a power failure would."""
        await _kill(self._process)

    async def end(self) -> None:
        """Let it come to its end."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            async with asyncio.timeout(60):
                await self._process.wait()

    def appended(self) -> list[Appended]:
        """Give what was committed, by what it has written down."""
        return _read(self._record, Appended)

    def stored(self) -> set[str]:
        """Give what is in its store."""
        with open_beside(self._state_dir) as db:
            return {event_id for (event_id,) in db.execute("SELECT event_id FROM event")}

    def _tell(self, what: Setup | Task) -> None:
        if self._process is None or self._process.stdin is None:
            raise BenchError("the gateway is not there")
        self._process.stdin.write(msgspec.json.encode(what) + b"\n")


@asynccontextmanager
async def running(*processes: Receiver | Gateway) -> AsyncIterator[None]:
    """Start processes, and end them whatever happens."""
    try:
        for process in processes:
            await process.start()
        yield
    finally:
        for process in processes:
            await process.kill()


async def _start(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )


async def _line(process: asyncio.subprocess.Process | None) -> str:
    if process is None or process.stdout is None:
        raise BenchError("the process is not there")
    line = await process.stdout.readline()
    if not line:
        raise BenchError("a process has ended before its time; its last words stand above")
    return line.decode()


async def _kill(process: asyncio.subprocess.Process | None) -> None:
    if process is not None and process.returncode is None:
        process.kill()
        await process.wait()


def _read(path: Path, kind: type[Any]) -> list[Any]:
    """Read a record; a process that was killed may have left its last line short."""
    if not path.exists():
        return []
    decoder = msgspec.json.Decoder(kind)
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        lines.append(rest)
    found = []
    for line in lines:
        try:
            found.append(decoder.decode(line))
        except msgspec.DecodeError:
            continue
    return found
