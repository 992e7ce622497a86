"""The delivery of a gateway, as a process that is fed events and may be killed.

    python -m bench.delivery_gateway

It is told what to do by lines of JSON on its input, a `Task` each, and says `{"done": NAME}` after each of them. The
first line is its `Setup`. Events that are committed are written to the record before anything else happens.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop

from bench.delivery_figures import Appended
from config.delivery import Delivery, Endpoint
from config.secret import Secret
from config.settings import Log
from gateway import log
from gateway.delivery.database import open_beside
from gateway.delivery.deliveries import Deliveries
from gateway.delivery.posting import new_sessions
from gateway.delivery.recipients import Recipient
from gateway.events import CallEnded, Source, TranscriptFinal, store

if TYPE_CHECKING:
    from gateway.events import Event

clock = time.monotonic  # noqa: TID251  a benchmark names its clock
wall = time.time  # noqa: TID251  the same

SOURCE = Source(kind="bench", listener="bench")
TEXT = "Please enter your password, followed by the pound key, and then your conference number, please. " * 2
LIVE_CALLS = 300
"""At a time."""


class Setup(msgspec.Struct, kw_only=True):
    """What the gateway is made with."""

    state_dir: str
    record: str
    secret: str
    ports: dict[str, int]
    """Of receivers, by the endpoint's name."""
    retry_seconds: tuple[float, ...] = (5.0, 300.0)
    timeout_seconds: float = 15.0
    rest_seconds: float = 60.0
    concurrency: int = 16


class Task(msgspec.Struct, kw_only=True):
    """Calls to be made: each goes on where the store has it, to its last event."""

    name: str
    calls: int = 0
    events: int = 0
    """Of each call."""
    per_second: float | None = None
    """Of all calls; None: as fast as they can be stored."""
    to: str = ""
    deliver: bool = False
    """Then wait until everything is delivered."""


class Feeder:
    """Makes events, and writes down which are committed."""

    def __init__(self, setup: Setup, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._directory = Path(setup.state_dir)
        self._record = os.open(setup.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def do(self, task: Task) -> None:
        """Make the calls of a task."""
        done = await asyncio.to_thread(self._stored, task.name)
        waiting = iter(range(task.calls))
        begun, given = clock(), 0

        async def worker() -> None:
            nonlocal given
            for number in waiting:
                call_id = f"{task.name}-{number}"
                for sequence in range(done.get(call_id, 0) + 1, task.events + 1):
                    given += 1
                    if task.per_second is not None:
                        await asyncio.sleep(max(0.0, begun + given / task.per_second - clock()))
                    await self._publish(_event(call_id, sequence, last=sequence == task.events), task.to)

        async with asyncio.TaskGroup() as group:
            for _ in range(LIVE_CALLS):
                group.create_task(worker())
        while task.deliver and await self._deliveries.finish(3600.0):  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.05)

    async def _publish(self, event: Event, to: str) -> None:
        begun = clock()
        stored = store(event, wall())
        await self._deliveries.publish(stored, [Recipient(to)])
        line = msgspec.json.encode(Appended(stored.event_id, begun, clock()))
        os.write(self._record, line + b"\n")

    def _stored(self, name: str) -> dict[str, int]:
        with open_beside(self._directory) as db:
            rows = db.execute(
                "SELECT call_id, max(sequence) FROM event WHERE call_id GLOB ? GROUP BY call_id", (f"{name}-*",)
            )
            return dict(rows.fetchall())


def _event(call_id: str, sequence: int, *, last: bool) -> Event:
    if last:
        return CallEnded(
            call_id=call_id,
            sequence=sequence,
            source=SOURCE,
            parameters={},
            reason="hangup",
            error=None,
            duration_ms=1000,
            audio_ms={},
            gap_ms={},
            utterances=sequence,
            interims_shed=0,
            failed=0,
            suppressed={},
            last_sequence=sequence,
        )
    return TranscriptFinal(
        call_id=call_id,
        sequence=sequence,
        source=SOURCE,
        track="inbound",
        role="inbound",
        label=None,
        utterance_id=f"{call_id}_inbound_{sequence}",
        start_ms=60,
        end_ms=3300,
        text=TEXT,
        start_time="2026-11-20T07:54:17.803Z",
        end_of_turn=True,
        language="en",
        language_probability=None,
        confidence=0.839,
        words=None,
        segments=None,
        model="base int8",
        latency_ms=1200,
    )


async def _main() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    setup = msgspec.json.decode(await reader.readline(), type=Setup)
    deliveries = Deliveries(_settings(setup), Path(setup.state_dir), clock=clock, wall=wall, random=random.random)
    await deliveries.open()
    feeder = Feeder(setup, deliveries)
    async with new_sessions() as sessions, asyncio.TaskGroup() as group:
        running = group.create_task(deliveries.run(sessions))
        print(msgspec.json.encode({"done": "setup"}).decode(), flush=True)
        while line := await reader.readline():
            task = msgspec.json.decode(line, type=Task)
            await feeder.do(task)
            print(msgspec.json.encode({"done": task.name}).decode(), flush=True)
        running.cancel()
    await deliveries.close(10.0)


def _settings(setup: Setup) -> Delivery:
    return Delivery(
        endpoints=tuple(
            Endpoint(name=name, url=f"http://127.0.0.1:{port}/", secrets=(Secret(setup.secret),))
            for name, port in setup.ports.items()
        ),
        retry_seconds=setup.retry_seconds,
        timeout_seconds=setup.timeout_seconds,
        connect_timeout_seconds=min(setup.timeout_seconds, 5.0),
        breaker_rest_seconds=setup.rest_seconds,
        hold_back_seconds=86_400.0,  # no head is released: what comes is to come in order
        concurrency=setup.concurrency,
    )


if __name__ == "__main__":
    log.configure(Log(level="error"))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
