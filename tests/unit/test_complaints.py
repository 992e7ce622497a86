from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from adapters.complaints import SECONDS, Complaints


def test_the_first_is_told_at_once_and_the_next_after_a_second_with_how_many_went_untold() -> None:
    complaints = Complaints()
    assert [complaints.take(now) for now in (5.0, 5.1, 5.9, 6.0, 6.1, 9.0)] == [0, None, None, 2, None, 1]


@given(st.lists(st.floats(0, 20), max_size=60))
def test_none_is_forgotten_and_no_two_are_told_within_a_second(moments: list[float]) -> None:
    complaints = Complaints()
    told = [(now, untold) for now in sorted(moments) if (untold := complaints.take(now)) is not None]
    assert all(later - now >= SECONDS for (now, _), (later, _) in pairwise(told))
    assert sum(untold for _, untold in told) + len(told) <= len(moments)
    assert bool(told) == bool(moments)
