from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.load import Load
from asr.pressure import Level, Measures, Pressure
from asr.types import DecodeKind
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
    assert "".join(pressure.update(now, Measures(wait_seconds=wait)).name[0] for now, wait in waits) == levels


CEILINGS = Interims(elevated_finals=6, critical_finals=12, elevated_interims=20, critical_interims=40)


@pytest.mark.parametrize(
    ("why", "settings", "measures", "level"),
    [
        ("an interim that is waited for", Interims(), Measures(refresh_seconds=1.6), Level.ELEVATED),
        ("however long, it is no reason to show none", Interims(), Measures(refresh_seconds=99.0), Level.ELEVATED),
        ("its mark is a setting", Interims(elevated_refresh_ms=2000), Measures(refresh_seconds=1.6), Level.NORMAL),
        ("numbers do not count unless wanted", Interims(), Measures(finals=999, interims=999), Level.NORMAL),
        ("so many finals", CEILINGS, Measures(finals=6), Level.NORMAL),
        ("more finals", CEILINGS, Measures(finals=7), Level.ELEVATED),
        ("many more finals", CEILINGS, Measures(finals=13), Level.CRITICAL),
        ("more interims", CEILINGS, Measures(interims=21), Level.ELEVATED),
        ("many more interims", CEILINGS, Measures(interims=41), Level.CRITICAL),
        ("the worst counts", CEILINGS, Measures(interims=21, finals=13, wait_seconds=0.3), Level.CRITICAL),
    ],
)
def test_what_counts(why: str, settings: Interims, measures: Measures, level: Level) -> None:
    assert Pressure(settings).update(0.0, measures) is level, why


def test_a_level_is_kept_while_any_measure_is_above_half_of_its_mark() -> None:
    pressure = Pressure(CEILINGS)
    pressure.update(0.0, Measures(wait_seconds=0.7))
    levels = [pressure.update(now, Measures(finals=7)) for now in (1.0, 2.0, 3.0)]
    levels += [pressure.update(now, Measures(finals=6)) for now in (4.0, 5.0)]
    levels += [pressure.update(now, Measures(finals=4)) for now in (6.0, 7.0)]
    assert "".join(level.name[0] for level in levels) == "CCCCEEE"


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2)), max_size=40))
def test_a_level_is_reached_at_once_and_left_one_by_one(steps: list[tuple[float, float]]) -> None:
    pressure, now, before = Pressure(Interims()), 0.0, Level.NORMAL
    for seconds, wait in steps:
        now += seconds
        level = pressure.update(now, Measures(wait_seconds=wait))
        assert level >= (wait > 0.25) + (wait > 0.6)
        assert level >= before - 1
        before = level
    for _ in range(6):
        now += 1.0
        before = pressure.update(now, Measures())
    assert before is Level.NORMAL


def test_the_wait_is_what_runs_and_what_is_ahead_shared_by_the_lanes() -> None:
    load = Load()
    assert load.wait(0.0, 5, lanes=[0, 2]) == 0.0  # nothing is known yet
    load.begin(0, 0.0, 4, DecodeKind.FINAL)
    load.end(0, 0.4, 4)
    assert load.wait(1.0, 0, lanes=[0]) == 0.0
    assert load.wait(1.0, 3, lanes=[0]) == pytest.approx(0.3)
    load.begin(0, 1.0, 2, DecodeKind.FINAL)
    assert load.wait(1.1, 3, lanes=[0]) == pytest.approx(0.1 + 0.3)
    assert load.wait(1.1, 3, lanes=[0, 2]) == pytest.approx((0.1 + 0.3) / 2)
    assert load.wait(9.0, 0, lanes=[0]) == 0.0  # late, and as good as done


def test_what_a_request_costs_follows_the_latest_and_not_what_was_lost() -> None:
    load = Load()
    for number in range(40):
        load.begin(0, number, 1, DecodeKind.FINAL)
        load.end(0, number + (0.1 if number < 20 else 0.5), 1)
    load.begin(0, 90.0, 8, DecodeKind.FINAL)
    load.end(0, 99.0, 0)
    assert load.wait(99.0, 1, lanes=[0]) == pytest.approx(0.5, abs=0.01)


def test_other_marks_leave_the_level_as_it_is() -> None:
    pressure = Pressure(Interims())
    assert pressure.update(0.0, Measures(wait_seconds=0.61)) is Level.CRITICAL
    pressure.adopt(Interims())
    assert pressure.update(0.1, Measures()) is Level.CRITICAL  # it is left as slowly as ever
    pressure.adopt(Interims(elevated_wait_ms=5_000, critical_wait_ms=6_000))
    assert [pressure.update(now, Measures(wait_seconds=0.7)) for now in (2.0, 4.0, 6.0)][-1] is Level.NORMAL
