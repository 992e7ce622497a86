from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission import RELIEF, Admission

LIMIT, PATIENCE = 5.0, 3.0


@pytest.mark.parametrize(
    ("waits", "states"),
    [
        ([(0.0, 0.0), (9.0, 5.0)], "oo"),  # the limit itself is still in time
        ([(0.0, 6.0), (2.75, 6.0)], "oo"),
        ([(0.0, 6.0), (2.75, 6.0), (3.0, 5.1)], "oo-"),
        ([(0.0, 6.0), (2.0, 5.0), (2.25, 6.0), (5.0, 6.0), (5.25, 6.0)], "oooo-"),  # a break: it begins over
        ([(0.0, 6.0), (3.0, 6.0), (4.0, 4.0), (9.0, 2.5)], "o---"),  # less than the limit is not enough
        ([(0.0, 6.0), (3.0, 6.0), (3.25, 2.4), (6.0, 2.4), (6.25, 0.0)], "o---o"),
        ([(0.0, 6.0), (3.0, 6.0), (3.25, 2.4), (4.0, 2.6), (6.5, 2.4), (9.25, 2.4), (9.5, 2.4)], "o-----o"),
        ([(0.0, 6.0), (3.0, 6.0), (3.5, 0.0), (6.5, 0.0), (7.0, 6.0), (9.5, 6.0), (10.0, 6.0)], "o--ooo-"),
    ],
)
def test_cases(waits: list[tuple[float, float]], states: str) -> None:
    admission = Admission(LIMIT, PATIENCE)
    seen = ""
    for now, wait in waits:
        admission.update(now, wait)
        seen += "o" if admission.open else "-"
    assert seen == states


def test_without_patience_it_closes_and_opens_at_once() -> None:
    admission = Admission(LIMIT, 0.0)
    assert [admission.update(0.0, wait) for wait in (5.1, 6.0, 3.0, 2.4, 5.0)] == [True, False, False, True, False]


@given(st.floats(0, 1e9))
def test_without_a_limit_it_stays_open(wait: float) -> None:
    admission = Admission(None, 0.0)
    assert not admission.update(0.0, wait)
    assert admission.open


@given(st.lists(st.tuples(st.floats(0, 4), st.floats(0, 8)), max_size=60))
def test_it_changes_only_for_what_was_so_at_every_look_for_long_enough(steps: list[tuple[float, float]]) -> None:
    admission, now = Admission(LIMIT, PATIENCE), 0.0
    seen: list[tuple[float, float]] = []
    """Since the last change."""
    for seconds, wait in steps:
        now += seconds
        was_open = admission.open
        changed = admission.update(now, wait)
        assert changed is (admission.open is not was_open)
        seen.append((now, wait))
        reasons = [(at, wait > LIMIT if was_open else wait < LIMIT * RELIEF) for at, wait in seen]
        others = [place for place, (_, reason) in enumerate(reasons) if not reason]
        unbroken = reasons[others[-1] + 1 :] if others else reasons
        assert changed is (bool(unbroken) and now - unbroken[0][0] >= PATIENCE)
        if changed:
            seen.clear()
