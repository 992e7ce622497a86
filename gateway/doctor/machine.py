"""What the machine gives: files, disk, memory, a clock that is right."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import stat
import time
from typing import TYPE_CHECKING

import psutil
from rich.filesize import decimal

from gateway.doctor.findings import error, good, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from config.settings import Settings
    from gateway.doctor.findings import Finding

FILES_OF_A_CALL = 4
"""Two connections, and what answers to it: webhooks, and a place in a queue of connections."""
FILES_APART = 400
"""HTTP, the store, models, libraries."""

MIB = 1 << 20
SPARE_MIB = 256
"""Of the disk, that the spool leaves to others."""

NETWORKED = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.glusterfs", "ceph"}

STA_UNSYNC = 0x40
"""The kernel's clock follows nobody (adjtimex(2))."""
TIME_ERROR = 5

OLDEST_YEAR = 2025


def open_files(settings: Settings, limit: int | None = None) -> Finding:
    """Look whether as many files may be open as so many calls want."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    wanted = settings.calls.max_calls * FILES_OF_A_CALL + FILES_APART
    if limit < wanted:
        return error(
            "open-files",
            f"{limit} files may be open; calls.max_calls {settings.calls.max_calls} want some {wanted}",
            "LimitNOFILE=65536 in systemd's unit, or ulimit -n 65536; or a smaller calls.max_calls",
        )
    return good("open-files", f"{limit} may be open")


def state(settings: Settings, directory: Path) -> Iterator[Finding]:
    """Look at where the event store lies."""
    there = next(each for each in (directory, *directory.parents) if each.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield error("state-dir", f"{there} cannot be written to", "chown it to the gateway's user, or set state_dir")
        return
    if directory.exists() and stat.S_IMODE(directory.stat().st_mode) & 0o077:
        yield warning("state-dir", f"others may look into {directory}, where transcripts lie", f"chmod 700 {directory}")
    kind = _file_system(there)
    if kind in NETWORKED:
        yield error(
            "state-dir",
            f"{directory} lies on {kind}: a database that is locked over a network is lost one day",
            "set state_dir to a disk of this machine",
        )
    yield _room(settings, there)


def _room(settings: Settings, there: Path) -> Finding:
    free = shutil.disk_usage(there).free
    wanted = (settings.delivery.most_store_mib + settings.models.spool_mib + SPARE_MIB) * MIB
    if free < SPARE_MIB * MIB:
        return error("disk", f"{decimal(free)} are free in {there}", "make room: events cannot be stored for long")
    if free < wanted:
        return warning(
            "disk",
            f"{decimal(free)} are free in {there}; delivery.most_store_mib and models.spool_mib may take"
            f" {decimal(wanted)}",
            "make room, or make these settings smaller",
        )
    return good("disk", f"{decimal(free)} are free in {there}")


def memory(wanted_bytes: int, available_bytes: int | None = None) -> Finding:
    """Look whether the models have room."""
    available = psutil.virtual_memory().available if available_bytes is None else available_bytes
    if available < wanted_bytes:
        return error(
            "memory",
            f"{decimal(available)} are free; the models may want {decimal(wanted_bytes)}",
            "smaller models, models.compute_type int8, fewer models.processes, or more memory",
        )
    return good("memory", f"{decimal(available)} are free")


def clock(wall: Callable[[], float] = time.time, synchronised: bool | None = None) -> Finding:  # noqa: TID251, FBT001  a command's
    """Look whether the clock is right: receivers refuse webhooks that are signed five minutes off."""
    year = time.gmtime(wall()).tm_year
    if year < OLDEST_YEAR:
        return error("clock", f"it is not {year}", "set the clock: timedatectl set-ntp true")
    synchronised = _is_synchronised() if synchronised is None else synchronised
    if not synchronised:
        return warning(
            "clock",
            "nobody keeps it right: five minutes off, and receivers refuse every webhook",
            "timedatectl set-ntp true, or install chrony; in a virtual machine its host may do it",
        )
    return good("clock", "it follows another")


def _is_synchronised() -> bool:
    """Ask the kernel (adjtimex(2)); where it does not tell, nothing is said against it."""
    timex = (ctypes.c_long * 64)()  # larger than any struct timex; modes = 0 changes nothing
    try:
        state = ctypes.CDLL(None).adjtimex(timex)
    except (OSError, AttributeError):
        return True
    status = ctypes.cast(timex, ctypes.POINTER(ctypes.c_int))[10]  # modes, padding, offset, freq, maxerror, esterror
    return state != TIME_ERROR and not status & STA_UNSYNC


def _file_system(path: Path) -> str:
    """Name the kind of file system that holds a path."""
    holds = [each for each in psutil.disk_partitions(all=True) if path.resolve().is_relative_to(each.mountpoint)]
    return max(holds, key=lambda each: len(each.mountpoint)).fstype if holds else "unknown"
