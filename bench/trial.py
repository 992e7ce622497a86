"""One run of the whole gateway: itself, its receiver and its callers, each in a process of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import msgspec

from bench.decoding import Decoding, watch_decoding
from bench.measuring import Arrival, Figures, Window, measure
from bench.processes import Load, watch_load
from bench.scripts import INBOUND, OUTBOUND
from bench.simulator import Begun, Done, Job, clock
from config.checks import SECRET_PREFIX, decode_webhook_secret
from config.delivery import Endpoint
from config.load import load
from config.secret import Secret
from gateway.demo.process import GatewayProcessError, gateway_process
from gateway.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from bench.scripts import Script
    from config.settings import Settings
    from gateway.demo.process import GatewayProcess
    from gateway.receiver import Received

WARM_UP_SECONDS = 3.0
END_SECONDS = 60.0
"""After the last call has hung up, every call has so long to get its end: a backlog is worked off for 30 s."""

MOST_CALLS = 100_000
SECRET = SECRET_PREFIX + base64.b64encode(bytes(32)).decode()
"""It protects nothing: the receiver listens on this machine for the length of a run."""

INTERIMS = "interims"
HAS_INTERIMS = INTERIMS in {field.name for field in msgspec.structs.fields(Endpoint)}
"""Whether this gateway can be asked for interims."""


Told = TypeVar("Told", Begun, Done)


class TrialError(Exception):
    """A run that could not be made; the text says why."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway that is measured."""

    file: Path | None = None
    """Settings of its own; listeners, endpoints, models named here and the HTTP port are the benchmark's."""
    interim_model: str | None = None
    final_model: str | None = None

    def changes(self, state_dir: str, receiver_port: int) -> dict[str, str]:
        """Give what has to differ from the settings, as environment variables."""
        url = f"http://127.0.0.1:{receiver_port}/"
        endpoint = {"name": "bench", "url": url, "secrets": [SECRET], **({INTERIMS: True} if HAS_INTERIMS else {})}
        listeners = [{"name": name, "port": 0, "account": "bench", "role": name} for name in (INBOUND, OUTBOUND)]
        given = {
            "CONFIG": str(self.file) if self.file else None,
            "STATE_DIR": state_dir,
            "HTTP__HOST": "127.0.0.1",
            "HTTP__PORT": "0",
            "HTTP__TLS": "null",
            "AUDIOSOCKET": _json(listeners),
            "CALLS__MAX_CALLS": str(MOST_CALLS),
            "DELIVERY__ENDPOINTS": _json([endpoint]),
            "MODELS__INTERIM": self.interim_model,
            "MODELS__FINAL": self.final_model,
        }
        return {f"LINESCRIBE_{name}": value for name, value in given.items() if value is not None}

    def settings(self) -> Settings:
        """Read the settings as the gateway will. Raises ConfigError."""
        return load(self.file, self.changes("unused", 1))


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it went."""

    script: Script
    done: Done
    arrivals: list[Arrival]
    window: Window
    load: Load
    decoding: Decoding

    @property
    def figures(self) -> Figures:
        """What all of it came to."""
        return measure(self.script, self.done.lines, self.arrivals, self.window)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class Trial:
    """One run. `on_trouble` is told the gateway's warnings and errors, `on_stage` what happens."""

    def __init__(
        self,
        setup: Setup,
        script: Script,
        seconds: float,
        *,
        on_stage: Callable[[str], object],
        on_trouble: Callable[[str], object],
    ) -> None:
        self._setup = setup
        self._script = script
        self._seconds = seconds
        self._on_stage = on_stage
        self._on_trouble = on_trouble
        self._arrivals: list[Arrival] = []
        self._open = {line.call_uuid for line in script.lines}
        self._all_ended = asyncio.Event()

    async def run(self) -> Outcome:
        """Start everything, make the calls, and wait for every call's end. Raises TrialError, GatewayProcessError."""
        key = decode_webhook_secret(Secret(SECRET))
        receiver = Receiver([key], clock=time.time, on_event=self._receive)  # noqa: TID251  signatures are dated
        port = await receiver.start("127.0.0.1", 0)
        try:
            with tempfile.TemporaryDirectory(prefix="linescribe-bench-") as state_dir:
                return await self._in_gateway(self._setup.changes(state_dir, port))
        finally:
            await receiver.stop()

    def _receive(self, received: Received) -> None:
        self._arrivals.append(Arrival(type=received.type, data=received.data, at=clock()))
        if received.type == "call.ended":
            self._open.discard(received.data["source"]["call_id"])
            if not self._open:
                self._all_ended.set()

    async def _in_gateway(self, changes: Mapping[str, str]) -> Outcome:
        self._on_stage("starting the gateway and loading its models")
        try:
            async with gateway_process(changes, self._watch) as gateway:
                return await self._make_calls(gateway)
        except* (TrialError, GatewayProcessError) as errors:
            raise errors.exceptions[0] from None

    def _watch(self, record: Mapping[str, Any]) -> None:
        if record["level"] in {"warning", "error"}:
            left_out = {"event", "level", "logger", "timestamp"}
            details = " ".join(f"{key}={value}" for key, value in record.items() if key not in left_out)
            self._on_trouble(f"gateway: {record['event']} {details}".rstrip())

    async def _make_calls(self, gateway: GatewayProcess) -> Outcome:
        calls = len(self._open)
        self._on_stage(f"{calls} calls of {self._seconds:g} s")
        async with _simulator(Job(script=self._script, ports=gateway.ports)) as simulator:
            begun = await _tell(simulator, Begun)
            window = Window(since=begun.at + WARM_UP_SECONDS, until=begun.at + self._seconds)
            load = await watch_load(gateway.pid, simulator.pid, since=window.since, until=window.until)
            self._on_stage(f"{calls} calls, the last words")
            done = await _tell(simulator, Done)
        self._on_stage(f"{calls} calls, waiting for their ends")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_ended.wait(), END_SECONDS)
        assert gateway.http_port is not None  # noqa: S101  it was asked for
        try:
            decoding = await watch_decoding(gateway.http_port)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TrialError(f"the gateway does not tell its metrics: {error!r}") from error
        return Outcome(
            script=self._script,
            done=done,
            arrivals=self._arrivals,
            window=window,
            load=load,
            decoding=decoding,
        )


@contextlib.asynccontextmanager
async def _simulator(job: Job) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a simulator that has its job; whatever happens, it is gone in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.simulator"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=sys.maxsize // 2,  # its report is one line
        process_group=0,  # Ctrl-C is ours, and ends it from here
    )
    try:
        assert process.stdin is not None  # noqa: S101  it was asked for
        with contextlib.suppress(ConnectionError):  # it has ended, and what it does not tell says so
            process.stdin.write(msgspec.json.encode(job))
            await process.stdin.drain()
            process.stdin.close()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _tell(simulator: asyncio.subprocess.Process, kind: type[Told]) -> Told:
    """Read the simulator's next word. Raises TrialError when it has none."""
    assert simulator.stdout is not None  # noqa: S101  it was asked for
    line = await simulator.stdout.readline()
    if not line:
        raise TrialError(f"the simulator of calls ended too soon: status {await simulator.wait()}")
    return msgspec.json.decode(line, type=kind)
