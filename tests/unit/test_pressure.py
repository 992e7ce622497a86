from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.load import Load
from asr.pressure import Level, Pressure
from config.settings import Interims


@pytest.mark.parametrize(
    ("waits", "levels"),
    [
        ([(0.0, 0.1), (0.1, 0.25)], "NN"),
        ([(0.0, 0.26), (0.1, 0.61)], "EC"),
        ([(0.0, 0.61), (0.1, 0.0)], "CC"),  # not at once
        ([(0.0, 0.61), (0.1, 0.0), (1.0, 0.0), (1.1, 0.0), (1.2, 0.0), (2.2, 0.0)], "CCCEEN"),
        ([(0.0, 0.61), (0.1, 0.35), (9.0, 0.35)], "CCC"),  # more than half of what it began at
        ([(0.0, 0.61), (0.1, 0.2), (1.1, 0.2), (9.0, 0.2), (9.1, 0.1), (10.1, 0.1)], "CCEEEN"),
        ([(0.0, 0.3), (0.1, 0.1), (0.9, 0.2), (1.0, 0.1), (1.5, 0.1), (2.0, 0.1)], "EEEEEN"),  # begins over
    ],
)
def test_levels(waits: list[tuple[float, float]], levels: str) -> None:
    pressure = Pressure(Interims())
    assert "".join(pressure.update(now, wait).name[0] for now, wait in waits) == levels


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2)), max_size=40))
def test_a_level_is_reached_at_once_and_left_one_by_one(steps: list[tuple[float, float]]) -> None:
    pressure, now, before = Pressure(Interims()), 0.0, Level.NORMAL
    for seconds, wait in steps:
        now += seconds
        level = pressure.update(now, wait)
        assert level >= (wait > 0.25) + (wait > 0.6)
        assert level >= before - 1
        before = level
    for _ in range(6):
        now += 1.0
        before = pressure.update(now, 0.0)
    assert before is Level.NORMAL


def test_the_wait_is_what_runs_and_what_is_ahead_shared_by_the_lanes() -> None:
    load = Load()
    assert load.wait(0.0, 5, lanes=[0, 2]) == 0.0  # nothing is known yet
    load.begin(0, 0.0, 4)
    load.end(0, 0.4, 4)
    assert load.wait(1.0, 0, lanes=[0]) == 0.0
    assert load.wait(1.0, 3, lanes=[0]) == pytest.approx(0.3)
    load.begin(0, 1.0, 2)
    assert load.wait(1.1, 3, lanes=[0]) == pytest.approx(0.1 + 0.3)
    assert load.wait(1.1, 3, lanes=[0, 2]) == pytest.approx((0.1 + 0.3) / 2)
    assert load.wait(9.0, 0, lanes=[0]) == 0.0  # late, and as good as done


def test_what_a_request_costs_follows_the_latest_and_not_what_was_lost() -> None:
    load = Load()
    for number in range(40):
        load.begin(0, number, 1)
        load.end(0, number + (0.1 if number < 20 else 0.5), 1)
    load.begin(0, 90.0, 8)
    load.end(0, 99.0, 0)
    assert load.wait(99.0, 1, lanes=[0]) == pytest.approx(0.5, abs=0.01)
