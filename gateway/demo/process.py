"""A gateway in a process of its own, for the demonstration, benchmarks and tests: started, followed, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Callable, Mapping

READY_SECONDS = 600.0
"""Fetching weights over a slow line takes minutes."""

STOP_SECONDS = 30.0
ASK_AGAIN_SECONDS = 1.5
"""A signal that comes sooner after another counts once."""


class GatewayProcessError(Exception):
    """The gateway did not start, or did not stop; the text says which."""


class GatewayProcess:
    """A gateway that takes calls."""

    def __init__(
        self, process: asyncio.subprocess.Process, ready: Mapping[str, Any], following: asyncio.Task[None]
    ) -> None:
        self._process = process
        self._following = following
        self.ports: dict[str, int] = ready["ports"]
        """Each AudioSocket listener's port, by its name."""
        self.http_port: int | None = ready["http_port"]

    @property
    def pid(self) -> int:
        """The gateway's own, not the model process's."""
        return self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        """Tell the gateway something."""
        self._process.send_signal(number)

    async def wait(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """Wait for its end and the end of its log; tell its exit status. Raises GatewayProcessError when it is late."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.wait({self._following})
                return await self._process.wait()
        except TimeoutError:
            raise GatewayProcessError(f"the gateway did not end within {timeout_seconds:g} s") from None


@contextlib.asynccontextmanager
async def gateway_process(
    settings: Mapping[str, str], on_record: Callable[[Mapping[str, Any]], None] = lambda _record: None
) -> AsyncIterator[GatewayProcess]:
    """Run `linescribe run` with the default settings and what `settings` changes, given as environment variables.

    `on_record` is told every line of its log. Whatever happens, the process is gone in the end. Raises
    GatewayProcessError.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LINESCRIBE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "run"),
        env={**inherited, "LINESCRIBE_LOG__FORMAT": "json", **settings},
        stderr=asyncio.subprocess.PIPE,
    )
    ready: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(_follow(process, ready, on_record))
            try:
                yield GatewayProcess(process, await asyncio.wait_for(ready, READY_SECONDS), following)
            finally:
                await _end(process)
    except* GatewayProcessError as errors:
        raise errors.exceptions[0] from None


async def _follow(
    process: asyncio.subprocess.Process,
    ready: asyncio.Future[Mapping[str, Any]],
    on_record: Callable[[Mapping[str, Any]], None],
) -> None:
    """Read the gateway's log to its end, and notice that it is ready."""
    assert process.stderr is not None  # noqa: S101  it was asked for
    async for line in process.stderr:
        record = _record(line)
        if record["event"] == "ready" and not ready.done():
            ready.set_result(record)
        on_record(record)
    if not ready.done():
        ready.set_exception(GatewayProcessError(f"the gateway did not start: status {await process.wait()}"))


def _record(line: bytes) -> dict[str, Any]:
    """Read a line of the log; what is none, such as an interpreter's last words, becomes one."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if isinstance(record, dict) and "event" in record:
        return record
    return {"event": line.decode(errors="replace").rstrip(), "level": "error"}


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask, ask again, which ends calls too, and then insist."""
    for seconds in (ASK_AGAIN_SECONDS, STOP_SECONDS):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            process.terminate()
            await asyncio.wait_for(process.wait(), seconds)
    if process.returncode is None:
        process.kill()
        await process.wait()
