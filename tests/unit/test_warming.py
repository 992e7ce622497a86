from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.warming import Memory, memory

LINUX = "Name:\tpython3\nVmPeak:\t  900000 kB\nVmHWM:\t  345600 kB\nVmRSS:\t  234500 kB\nThreads:\t4\n"


def told(tmp_path: Path, status: str) -> Memory | None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text(status)
    return memory(7, tmp_path)


def test_linux_tells_what_a_process_holds(tmp_path: Path) -> None:
    assert told(tmp_path, LINUX) == Memory(resident_bytes=234_500 * 1024, peak_bytes=345_600 * 1024)


def test_a_process_that_is_ending_holds_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, "Name:\tpython3\nState:\tZ (zombie)\n") is None


@pytest.mark.parametrize("pid", [None, 8])
def test_a_process_that_is_not_there(pid: int | None, tmp_path: Path) -> None:
    assert memory(pid, tmp_path) is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone tells")
def test_of_this_process() -> None:
    held = memory(os.getpid())
    assert held
    assert 1 << 20 < held.resident_bytes <= held.peak_bytes
