from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.endpointing import Began, Ended, Endpointer, quietest


def run(verdicts: str, minimum: int = 5, hangover: int = 10) -> list[tuple[int, Began | Ended]]:
    """Feed `#` as voiced and `.` as not; tell what was decided, and at which block."""
    endpointer = Endpointer(minimum_blocks=minimum, hangover_blocks=hangover)
    decided = [(block, endpointer.push(verdict == "#")) for block, verdict in enumerate(verdicts)]
    return [(block, change) for block, change in decided if change is not None]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("." * 50, []),
        ("..####" + "." * 50, []),  # a click: 80 ms
        ("..#####" + "." * 5, [(6, Began(2))]),  # still within its hangover
        ("..#####" + "." * 20, [(6, Began(2)), (16, Ended(6))]),
        ("#.#.#.#.#" + "." * 20, [(8, Began(0)), (18, Ended(8))]),  # begins with pauses
        ("#####" + "." * 8 + "##" + "." * 20, [(4, Began(0)), (24, Ended(14))]),  # a pause inside
        ("#####" + "." * 9 + "#" + "." * 20, [(4, Began(0)), (14, Ended(4))]),  # a click does not prolong it
        (
            "#####" + "." * 10 + "#####" + "." * 10,
            [(4, Began(0)), (14, Ended(4)), (19, Began(15)), (29, Ended(19))],
        ),
        ("#" + "." * 20 + "####", []),  # too far apart to be one onset
    ],
)
def test_cases(verdicts: str, expected: list[tuple[int, Began | Ended]]) -> None:
    assert run(verdicts) == expected


def test_the_end_of_the_audio_ends_what_is_open() -> None:
    endpointer = Endpointer(minimum_blocks=2, hangover_blocks=10)
    assert endpointer.finish() is None
    endpointer.push(True)  # noqa: FBT003
    endpointer.push(True)  # noqa: FBT003
    assert endpointer.finish() == Ended(1)
    assert endpointer.finish() is None


@given(st.text("#.", max_size=400), st.integers(1, 10), st.integers(2, 30))
def test_beginnings_and_ends_alternate_and_hold_what_they_promise(verdicts: str, minimum: int, hangover: int) -> None:
    changes = run(verdicts, minimum, hangover)
    assert all(isinstance(change, Began if index % 2 == 0 else Ended) for index, (_, change) in enumerate(changes))
    for block, change in changes:
        if isinstance(change, Began):
            assert verdicts[change.block] == "#"
            assert verdicts[change.block : block + 1].count("#") >= minimum
        else:
            assert block - change.last_voiced == hangover
            assert "##" not in verdicts[change.last_voiced + 1 : block + 1]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60), st.integers(0, 59), st.integers(1, 5))
def test_the_cut_is_where_the_sum_is_lowest(levels: list[int], first: int, width: int) -> None:
    place = quietest(levels, first, width)
    starts = range(first, len(levels) - width + 1)
    if not starts:
        assert place == len(levels)
    else:
        here = sum(levels[place - width // 2 : place - width // 2 + width])
        assert here == min(sum(levels[start : start + width]) for start in starts)


def test_of_equally_quiet_places_the_latest_is_taken() -> None:
    assert quietest([9, 0, 9, 0, 9], 0, 1) == 3
