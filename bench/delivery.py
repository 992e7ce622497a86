"""How fast events are stored and delivered, and whether any is lost, whatever happens to receivers and gateways.

    python -m bench.delivery [--only PART ...] [--events N] [--kills N] [--seed N] [--quick]

Parts: `throughput` (as fast as it goes), `latency` (500 events a second), `storm` (live calls while twenty thousand
events of others are delivered), `chaos` (a receiver that is down, slow, lying, failing and killed, and a gateway that
is killed in between; then everything is counted). Receivers and gateways are processes on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from bench.delivery_figures import (
    duplicates,
    events_per_second,
    lost,
    missing,
    out_of_order,
    percentile,
    second_ids,
    to_attempt_ms,
    to_commit_ms,
)
from bench.delivery_gateway import Task
from bench.delivery_processes import BenchError, Gateway, Receiver, running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.delivery_figures import Appended

clock = time.monotonic  # noqa: TID251  a benchmark names its clock

RATE_PER_SECOND = 500
STORM_EVENTS = 20_000
LIVE_PER_SECOND = 100
CALL_EVENTS = 100
TROUBLE = 0.08
"""So many requests meet with a receiver in trouble."""
SCHEDULE = (0.1, 0.3, 0.6, *[1.0] * 29)
"""The waits between attempts, scaled down to seconds, and more of them than anything can use up."""


class Size:
    """How much is done."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.throughput = 3000 if options.quick else 40_000
        self.seconds = 2.0 if options.quick else 20.0
        self.storm = 2000 if options.quick else STORM_EVENTS
        self.chaos = options.events or (3000 if options.quick else 100_000)
        self.kills = options.kills if options.kills is not None else (2 if options.quick else 20)
        self.seed = options.seed


async def _throughput(folder: Path, size: Size) -> dict[str, Any]:
    receiver = Receiver(folder / "crm")
    async with running(receiver):
        gateway = Gateway(folder, {"crm": receiver.port})
        async with running(gateway):
            calls = size.throughput // CALL_EVENTS
            await gateway.do(Task(name="flood", calls=calls, events=CALL_EVENTS, to="crm", deliver=True))
            await gateway.end()
    return {"events_per_second": round(events_per_second(gateway.appended(), receiver.attempts()))}


async def _latency(folder: Path, size: Size) -> dict[str, Any]:
    receiver = Receiver(folder / "crm")
    async with running(receiver):
        gateway = Gateway(folder, {"crm": receiver.port})
        async with running(gateway):
            await gateway.do(_paced("warm", 1.0, RATE_PER_SECOND, "crm"))
            await gateway.do(_paced("paced", size.seconds, RATE_PER_SECOND, "crm"))
            await gateway.end()
    took = to_attempt_ms(_named(gateway.appended(), "paced"), receiver.attempts())
    return {"append_to_attempt_p50_ms": _ms(took, 0.5), "append_to_attempt_p99_ms": _ms(took, 0.99)}


async def _storm(folder: Path, size: Size) -> dict[str, Any]:
    others, live = Receiver(folder / "others"), Receiver(folder / "live")
    async with running(others, live):
        await others.kill()
        gateway = Gateway(folder, {"others": others.port, "live": live.port}, rest_seconds=0.2, retry_seconds=SCHEDULE)
        async with running(gateway):
            await gateway.do(Task(name="pent", calls=size.storm // CALL_EVENTS, events=CALL_EVENTS, to="others"))
            seconds = size.seconds / 2
            await gateway.do(_paced("calm", seconds, LIVE_PER_SECOND, "live"))
            await others.start()
            began = clock()
            await gateway.do(_paced("storm", seconds, LIVE_PER_SECOND, "live"))
            ended = clock()
            await gateway.do(Task(name="rest", deliver=True))
            await gateway.end()
        delivered = [each for each in others.attempts() if began <= each.at <= ended]
        seconds = min(ended, max((each.at for each in delivered), default=ended)) - began
    appended, attempts = gateway.appended(), live.attempts()
    found: dict[str, Any] = {"storm_events_per_second": round(len(delivered) / seconds)}
    for name in ("calm", "storm"):
        # Only what fell into the storm: it may be over before the live calls are.
        mine = [each for each in _named(appended, name) if name == "calm" or each.begun <= began + seconds]
        found[f"{name}_append_p99_ms"] = _ms(to_commit_ms(mine), 0.99)
        found[f"{name}_append_to_attempt_p99_ms"] = _ms(to_attempt_ms(mine, attempts), 0.99)
    return found


async def _chaos(folder: Path, size: Size) -> dict[str, Any]:
    chance = random.Random(size.seed)  # noqa: S311  no secret
    receiver = Receiver(folder / "crm", trouble=TROUBLE, seed=size.seed, verifies=True)
    async with running(receiver):
        gateway = Gateway(
            folder,
            {"crm": receiver.port},
            retry_seconds=SCHEDULE,
            timeout_seconds=1.5,
            rest_seconds=0.5,
            concurrency=64,
        )
        async with running(gateway):
            task = Task(name="chaos", calls=size.chaos // CALL_EVENTS, events=CALL_EVENTS, to="crm", deliver=True)
            await _torment(gateway, receiver, task, size, chance)
            await gateway.end()
        attempts, appended, stored = receiver.attempts(), gateway.appended(), gateway.stored()
    if len(stored) != task.calls * task.events:
        raise BenchError(f"{len(stored)} events are stored of {task.calls * task.events} that were to be made")
    vanished = missing(appended, stored)
    return {
        "events": len(stored),
        "lost": len(lost(stored, attempts) | vanished),
        "second_ids": second_ids(attempts),
        "out_of_order": out_of_order(attempts),
        "duplicates": duplicates(attempts),
        "attempts": len(attempts),
        "gateway_kills": size.kills,
    }


async def _torment(gateway: Gateway, receiver: Receiver, task: Task, size: Size, chance: random.Random) -> None:
    """Have a task done while the gateway is killed as often as is asked, and the receiver now and then."""
    gateway.begin(task)
    done = asyncio.ensure_future(gateway.done())  # noqa: TID251  awaited below, or dropped with its process
    whole = task.calls * task.events
    try:
        for kill in range(size.kills):
            # Spread over the delivery, each somewhere in its part of it.
            goal = whole * (kill + chance.random()) / (size.kills + 1)
            await _accepted(receiver, goal, done)
            _say(f"chaos: {goal / whole:4.0%} delivered; kill -9 of the gateway, the {kill + 1}. of {size.kills}")
            done.cancel()
            await gateway.kill()
            if chance.random() < 0.5:  # noqa: PLR2004  a coin
                await receiver.kill()
                await asyncio.sleep(chance.random() * 0.5)
            await gateway.start()
            gateway.begin(task)
            done = asyncio.ensure_future(gateway.done())  # noqa: TID251  the same
            await asyncio.sleep(chance.random() * 2.0)
            await receiver.kill()
            await asyncio.sleep(chance.random())
            await receiver.start()
        await done
    finally:
        done.cancel()


async def _accepted(receiver: Receiver, goal: float, done: asyncio.Future[None]) -> None:
    """Wait until so many requests have come."""
    while _lines(receiver.record) < goal:
        if done.done():
            await done  # it has ended, which it should not have: say why
            return
        await asyncio.sleep(0.1)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _paced(name: str, seconds: float, per_second: int, to: str) -> Task:
    """Make calls of twenty events each, for so long."""
    calls = max(int(seconds * per_second) // 20, 1)
    return Task(name=name, calls=calls, events=20, per_second=per_second, to=to)


def _named(appended: list[Appended], name: str) -> list[Appended]:
    return [each for each in appended if each.event_id.startswith(f"msg_{name}-")]


def _ms(values: list[float], part: float) -> float:
    return round(percentile(values, part), 1)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


PARTS: dict[str, Callable[[Path, Size], Awaitable[dict[str, Any]]]] = {
    "throughput": _throughput,
    "latency": _latency,
    "storm": _storm,
    "chaos": _chaos,
}

GOALS = {
    "events_per_second": ">= 2,000",
    "append_to_attempt_p99_ms": "<= 50",
    "lost": "0",
    "second_ids": "0",
    "out_of_order": "0",
}


def main() -> None:
    """Run the parts, print the table, and last the JSON object."""
    parser = argparse.ArgumentParser(description="Storing and delivering events: how fast, and whether any is lost.")
    parser.add_argument("--only", choices=list(PARTS), nargs="+", default=list(PARTS), help="these parts alone")
    parser.add_argument("--events", type=int, help=f"in chaos, a multiple of {CALL_EVENTS} (100,000)")
    parser.add_argument("--kills", type=int, help="of the gateway in chaos (20)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="little of everything")
    options = parser.parse_args()
    try:
        found = asyncio.run(_run(options))
    except KeyboardInterrupt:
        _say("stopped")
        sys.exit(130)
    except (BenchError, TimeoutError) as error:
        _say(f"bench.delivery: {error or 'a part took too long'}")
        sys.exit(1)
    table = Table("figure", "value", "goal")
    for name, value in found.items():
        table.add_row(name, f"{value:,}", GOALS.get(name, ""))
    Console().print(table)
    print(json.dumps(found))


async def _run(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in options.only:
        _say(f"{name} ...")
        began = clock()
        with tempfile.TemporaryDirectory() as folder:
            found |= await PARTS[name](Path(folder), Size(options))
        _say(f"{name}: {clock() - began:.0f} s")
    return found


if __name__ == "__main__":
    main()
