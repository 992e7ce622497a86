from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.prompts import as_sentence, fitted


@pytest.mark.parametrize(
    ("hotwords", "earlier", "room", "expected"),
    [
        ([1, 2], [3, 4], 9, [1, 2, 3, 4]),
        ([1, 2, 3, 4], [], 2, [1, 2]),
        ([], [1, 2, 3, 4], 2, [3, 4]),
        ([1, 2, 3, 4], [5, 6, 7, 8], 4, [1, 2, 7, 8]),
        ([1, 2, 3, 4], [5], 4, [1, 2, 3, 5]),
        ([1], [5, 6, 7, 8], 4, [1, 6, 7, 8]),
        ([1, 2], [3, 4], 0, []),
    ],
)
def test_the_first_words_to_expect_and_the_last_that_were_said(
    hotwords: list[int], earlier: list[int], room: int, expected: list[int]
) -> None:
    assert fitted(hotwords, earlier, room=room) == expected


@given(hotwords=st.integers(0, 300), earlier=st.integers(0, 300), room=st.integers(0, 223))
def test_no_room_is_wasted_and_none_is_taken_that_is_not_there(hotwords: int, earlier: int, room: int) -> None:
    assert len(fitted([1] * hotwords, [2] * earlier, room=room)) == min(room, hotwords + earlier)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Linescribe, AudioSocket", "Linescribe, AudioSocket."),
        (" Kovács ", "Kovács."),
        ("We talk about Linescribe.", "We talk about Linescribe."),
        ("Linescribe?", "Linescribe?"),
        ("", ""),
    ],
)
def test_words_to_expect_end_with_a_full_stop(words: str, sentence: str) -> None:
    assert as_sentence(words) == sentence
