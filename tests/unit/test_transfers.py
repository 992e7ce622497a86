from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from asr.weights import unheard
from gateway.cli.transfers import Tenths, transfers

if TYPE_CHECKING:
    import pytest


@given(st.integers(1, 10**10), st.lists(st.floats(0, 1), max_size=50))
def test_a_tenth_is_told_once_and_never_too_early(total: int, shares: list[float]) -> None:
    tenths = Tenths()
    done = sorted(int(total * share) for share in shares)
    told = [(percent, each) for each in done if (percent := tenths.percent("small", each, total)) is not None]
    assert len({percent for percent, _ in told}) == len(told)
    assert all(percent % 10 == 0 and percent * total <= each * 100 for percent, each in told)


def test_the_whole_must_be_known() -> None:
    assert Tenths().percent("small", 10, None) is None
    assert Tenths().percent("small", 0, 0) is None


def test_models_are_told_apart() -> None:
    tenths = Tenths()
    assert [tenths.percent(name, 5, 10) for name in ("small", "base", "small")] == [50, 50, None]


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with transfers("preparing") as progress:
        for done in range(0, 101, 5):
            progress("small", done * 10_000, 1_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["preparing small: 0 % of 1.0 MB", "preparing small: 10 % of 1.0 MB"]
    assert len(lines) == 11


def test_no_lines_where_they_are_not_wanted() -> None:
    with transfers("checking", lines=False) as progress:
        assert progress is unheard
