from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.tally import Effort
from gateway.bearing import WINDOW_SECONDS, Bearing

TICK_SECONDS = 0.1


class Machine:
    """Calls of which each has a final now and then, and what that costs its lanes."""

    def __init__(self, lanes: int = 1) -> None:
        self.bearing = Bearing()
        self.lanes = lanes
        self.now = 0.0
        self.decoded = 0.0
        self.seconds = 0.0
        self._look(0)

    def serve(self, calls: int, seconds: float, *, finals: float = 0.2, cost: float = 0.1) -> int | None:
        """Let so many calls go on for so long, with so many finals a second each, which cost so many seconds each."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self.now += TICK_SECONDS
            self.decoded += calls * finals * TICK_SECONDS
            self.seconds += calls * finals * cost * TICK_SECONDS
            self._look(calls)
        return self.bearing.calls

    def swap(self) -> None:
        """Let other models decode, which have done nothing yet."""
        self.decoded = self.seconds = 0.0

    def _look(self, calls: int) -> None:
        effort = Effort(lanes=self.lanes, requests=int(self.decoded), seconds=self.seconds)
        self.bearing.update(self.now, calls, effort)


@pytest.mark.parametrize(
    ("lanes", "calls", "finals", "cost", "bears"),
    [
        (1, 10, 0.2, 0.1, 37),  # 0.02 s of a lane for each second of call: 50 would fill it
        (4, 10, 0.2, 0.1, 150),
        (1, 10, 0.2, 0.5, 7),  # fewer than there are
        (1, 10, 0.2, 6.0, 0),
    ],
)
def test_what_a_machine_bears(lanes: int, calls: int, finals: float, cost: float, bears: int) -> None:
    assert Machine(lanes).serve(calls, 60.0, finals=finals, cost=cost) == pytest.approx(bears, abs=1)


def test_too_little_is_no_measurement() -> None:
    machine = Machine()
    assert machine.bearing.calls is None
    assert machine.serve(10, 5.0, finals=2.0) is None  # 50 seconds of call
    assert Machine().serve(10, 60.0, finals=0.03) is None  # 18 finals
    assert machine.serve(10, 5.0, finals=2.0) is not None


def test_what_was_measured_is_forgotten_in_time() -> None:
    machine = Machine()
    assert machine.serve(10, 60.0) is not None
    assert machine.serve(0, 10 * WINDOW_SECONDS) is None


def test_the_estimate_follows_what_calls_have_come_to_be_like() -> None:
    machine = Machine()
    machine.serve(10, 60.0, cost=0.1)
    assert machine.serve(10, 6 * WINDOW_SECONDS, cost=0.2) == pytest.approx(18, abs=1)


def test_nobody_in_progress_changes_nothing_while_it_is_remembered() -> None:
    machine = Machine()
    before = machine.serve(20, 200.0)
    assert before is not None
    assert machine.serve(0, 60.0) == pytest.approx(before, abs=1)


def test_other_models_are_measured_anew() -> None:
    machine = Machine()
    machine.serve(10, 60.0, cost=0.1)
    machine.swap()
    assert machine.serve(10, 1.0, cost=0.4) is None
    assert machine.serve(10, 60.0, cost=0.4) == pytest.approx(9, abs=1)


def test_what_was_done_before_the_first_look_belongs_to_no_call() -> None:
    bearing = Bearing()
    bearing.update(1000.0, 0, Effort(lanes=1, requests=500, seconds=500.0))
    bearing.update(1010.0, 10, Effort(lanes=1, requests=520, seconds=502.0))
    assert bearing.calls == int(0.75 * 100 / 2)


def test_decodes_that_take_no_time_set_no_limit() -> None:
    assert Machine().serve(10, 60.0, cost=0.0) is None


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 5), st.floats(0, 0.3), st.floats(0, 2)), max_size=20))
def test_an_estimate_is_never_negative_nor_missing_for_want_of_a_number(
    phases: list[tuple[int, float, float, float]],
) -> None:
    machine = Machine(2)
    for calls, seconds, finals, cost in phases:
        bears = machine.serve(calls, seconds, finals=finals, cost=cost)
        assert bears is None or bears >= 0
