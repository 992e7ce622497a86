"""What the processes of a run use, as Linux tells it (proc_pid_stat(5), proc_pid_status(5))."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROC = Path("/proc")
PARENT, USER_TICKS, SYSTEM_TICKS = 1, 11, 12
"""Places in `stat` behind the name."""

KB_PER_MB = 1000

clock = time.perf_counter


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a run cost: cores kept busy, and the most memory."""

    cpu_gateway: float
    cpu_models: float
    cpu_simulator: float
    memory_gateway_mb: int
    memory_models_mb: int


async def watch_load(gateway: int, simulator: int, *, since: float, until: float) -> Load:
    """Measure from `since` to `until`, with all of the gateway's descendants as its models.

    The memory is the most there ever was.
    """
    await asyncio.sleep(max(0.0, since - clock()))
    begin, before = clock(), _used(gateway, simulator)
    await asyncio.sleep(max(0.0, until - clock()))
    seconds = clock() - begin
    own, models, calls = (
        round(cores(old, new, seconds), 3) for old, new in zip(before, _used(gateway, simulator), strict=True)
    )
    return Load(
        cpu_gateway=own,
        cpu_models=models,
        cpu_simulator=calls,
        memory_gateway_mb=round(peak_memory_mb([gateway])),
        memory_models_mb=round(peak_memory_mb(descendants(gateway))),
    )


def _used(gateway: int, simulator: int) -> tuple[dict[int, float], ...]:
    return cpu_seconds([gateway]), cpu_seconds(descendants(gateway)), cpu_seconds([simulator])


def descendants(pid: int) -> set[int]:
    """Find the children of a process, and theirs."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(_stat(int(entry.name))[PARENT])
    return below(pid, parents)


def below(pid: int, parents: Mapping[int, int]) -> set[int]:
    """Tell from everybody's parent who comes from `pid`."""
    found: set[int] = set()
    newest = {pid}
    while newest:
        newest = {child for child, parent in parents.items() if parent in newest} - found
        found |= newest
    return found


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Tell the CPU time of each process that is there."""
    ticks = os.sysconf("SC_CLK_TCK")
    used = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            stat = _stat(pid)
            used[pid] = (int(stat[USER_TICKS]) + int(stat[SYSTEM_TICKS])) / ticks
    return used


def cores(before: Mapping[int, float], after: Mapping[int, float], seconds: float) -> float:
    """Tell how many cores these processes kept busy; one that is new has used all of its time since."""
    return sum(used - before.get(pid, 0.0) for pid, used in after.items()) / seconds


def peak_memory_mb(pids: Iterable[int]) -> float:
    """Add up the most that each process has had in memory."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            status = (PROC / str(pid) / "status").read_text()
            total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / KB_PER_MB
    return total


def _stat(pid: int) -> list[str]:
    """Read the fields behind the process's name, which may itself hold blanks and brackets."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
