from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.processes import below, cores, cpu_seconds, descendants, peak_memory_mb


def test_all_who_come_from_a_process_are_below_it() -> None:
    parents = {2: 1, 3: 1, 4: 2, 5: 4, 6: 3, 7: 0, 1: 0}
    assert below(2, parents) == {4, 5}
    assert below(1, parents) == {2, 3, 4, 5, 6}
    assert below(5, parents) == set()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({1: 1.0}, {1: 3.0}, 0.5),
        ({1: 1.0, 2: 5.0}, {1: 1.0, 2: 9.0}, 1.0),
        ({1: 1.0}, {2: 2.0}, 0.5),
        ({1: 1.0}, {}, 0.0),
    ],
    ids=["one", "two", "a new one", "gone"],
)
def test_cores_kept_busy_in_four_seconds(before: dict[int, float], after: dict[int, float], expected: float) -> None:
    assert cores(before, after, 4.0) == expected


def test_a_child_is_found_with_its_memory_until_it_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
    assert child.stdout is not None
    child.stdout.readline()
    assert child.pid in descendants(os.getpid())
    assert peak_memory_mb([child.pid]) > 1
    child.communicate()
    assert child.pid not in descendants(os.getpid())
    assert (cpu_seconds([child.pid]), peak_memory_mb([child.pid])) == ({}, 0.0)


def test_our_own_cpu_time_is_what_the_clock_of_the_process_says() -> None:
    own = cpu_seconds([os.getpid()])[os.getpid()]
    assert own == pytest.approx(sum(os.times()[:2]), abs=0.1)
