from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr.language import CHANGED, DECIDING_SECONDS, LEAST_LIKELY, LONGEST_SECONDS, Known, among, likely_ones

CODES = ("de", "en", "es", "fr", "nn", "no", "pt")
CLEAR = {"es": 0.98, "pt": 0.012}
ENGLISH = {"en": 0.98}

likelihoods = st.dictionaries(st.sampled_from(CODES), st.floats(0, 1), max_size=len(CODES)).map(
    lambda drawn: {code: each / max(1.0, sum(drawn.values())) for code, each in drawn.items()}
)
lengths = st.floats(0, 30)
talks = st.lists(st.tuples(likelihoods, lengths), max_size=30)


def after(*talk: tuple[dict[str, float], float], known: Known = Known()) -> Known:  # noqa: B008  frozen
    for likely, seconds in talk:
        known = known.after(likely, seconds)
    return known


@pytest.mark.parametrize(
    ("talk", "held", "next_in"),
    [
        ([], None, None),
        ([(CLEAR, 3.0)], "es", "es"),
        ([({"es": 1.0}, 1.95)], None, "es"),  # not two seconds yet
        ([(ENGLISH, 0.5)], None, "en"),
        ([(ENGLISH, 0.5), (CLEAR, 0.9)], None, "es"),  # the longer counts for more
        ([(CLEAR, 0.8)] * 3, None, "es"),
        ([(CLEAR, 0.8)] * 6, "es", "es"),  # short ones add up
        ([(ENGLISH, 0.7), (CLEAR, 0.7)] * 2, None, "en"),  # and against one another
        ([({"es": 0.5, "pt": 0.45}, 6.0)], None, "es"),  # two that are as likely
        ([({"es": 0.5, "pt": 0.45}, 6.0)] * 4, "es", "es"),  # but not for ever
        ([({}, 6.0)], None, None),
        ([(dict.fromkeys(CODES, LEAST_LIKELY), 30.0)], None, None),
        ([({}, 30.0), (CLEAR, 0.2)], "es", "es"),
        ([({"de": 0.5, "fr": 0.5}, 6.0)] * 9, None, "de"),  # as much for one as for the other
    ],
)
def test_a_language_is_decided_on_when_enough_speaks_for_it(
    talk: list[tuple[dict[str, float], float]], held: str | None, next_in: str | None
) -> None:
    known = after(*talk)
    assert (known.held, known.language) == (held, next_in)


@pytest.mark.parametrize(
    ("talk", "held"),
    [
        ([(CLEAR, 30.0)], "en"),  # one is not enough, however long
        ([(CLEAR, 3.0)] * 2, "es"),  # two, if they are long and clear
        ([(CLEAR, 2.0)] * 2, "en"),
        ([(CLEAR, 2.0)] * 3, "es"),
        ([(CLEAR, 3.0), (ENGLISH, 3.0)] * 10, "en"),  # words of another language now and then
        ([(CLEAR, 0.5)] * 10, "en"),  # ten times "ja"
        ([(CLEAR, 1.0)] * 12, "es"),
        ([({code: 0.97}, 3.0) for code in ("de", "es", "fr", "pt")], "en"),  # not of one mind
        ([({"en": 0.4, "es": 0.5}, 5.0)] * 100, "en"),  # hardly likelier
        ([({}, 5.0)] * 100, "en"),
    ],
)
def test_a_language_is_held_until_several_utterances_speak_for_another(
    talk: list[tuple[dict[str, float], float]], held: str
) -> None:
    assert after(*talk, known=Known(held="en")).held == held


def test_what_others_speak_counts_until_there_is_something_of_ones_own() -> None:
    known = Known(presumed="en")
    assert (known.held, known.language) == (None, "en")
    assert after((CLEAR, 0.7), known=known).language == "en", "a word or two is not"
    assert after((CLEAR, 1.8), known=known).language == "es"
    assert after((CLEAR, 3.0), known=known).held == "es"
    unclear = after(({"en": 0.45, "es": 0.5}, 3.0), known=known)
    assert (unclear.held, unclear.language) == (None, "en"), "it makes a guess, and no decision"


def test_after_a_change_the_language_before_has_to_come_by_as_much() -> None:
    changed = after(*[(CLEAR, 3.0)] * 3, known=Known(held="en"))
    assert (changed.held, changed.scores) == ("es", {})
    assert after((ENGLISH, 3.0), known=changed).held == "es"


@given(talks, st.sets(st.sampled_from(CODES), min_size=1), st.sampled_from([None, *CODES]))
def test_it_is_never_a_language_that_is_not_allowed(
    talk: list[tuple[dict[str, float], float]], codes: set[str], presumed: str | None
) -> None:
    allowed = tuple(sorted(codes))
    known = Known(allowed=allowed, presumed=presumed if presumed in codes else None)
    for likely, seconds in talk:
        known = known.after(among(likely, allowed), seconds)
        assert known.language in codes
        assert known.held in {None, *codes}
        assert set(known.scores) <= codes


@given(st.sampled_from(CODES), st.lists(st.tuples(st.floats(0.3, 0.9), likelihoods, lengths), max_size=60))
def test_it_never_changes_while_utterances_agree(
    language: str, talk: list[tuple[float, dict[str, float], float]]
) -> None:
    """However much they differ in all else."""
    known, held = Known(), list[str | None]()
    for share, others, seconds in talk:
        likely = {code: each * (1 - share) * 0.4 for code, each in others.items()} | {language: share}
        known = known.after(likely, seconds)
        held.append(known.held)
    assert set(held) <= {None, language}
    assert all(later is not None for before, later in pairwise(held) if before is not None), "decided is decided"


@given(talks, st.sampled_from(CODES), st.floats(2.5, 30))
def test_it_changes_when_utterances_clearly_speak_for_another(
    before: list[tuple[dict[str, float], float]], language: str, seconds: float
) -> None:
    """Whatever was said before, four in succession are enough."""
    known = after(*before, known=Known(held="en"))
    assert after(*[({language: 0.95}, seconds)] * 4, known=known).held == language


@given(talks, st.sampled_from([None, *CODES]))
def test_one_utterance_never_changes_what_the_one_before_confirmed(
    before: list[tuple[dict[str, float], float]], presumed: str | None
) -> None:
    known = after(*before, known=Known(held="en", presumed=presumed))
    sure = after(*[({known.held or "": 1.0}, 3.0)] * 3, known=known)
    assert all(after(({code: 1.0}, 30.0), known=sure).held == known.held for code in CODES)


@given(talks, st.sampled_from([None, *CODES]))
@example([({}, 20.0), ({"de": 0.5, "en": 0.5}, 0.0)], None)
def test_what_is_remembered_is_bounded(talk: list[tuple[dict[str, float], float]], held: str | None) -> None:
    known = after(*talk, known=Known(held=held))
    assert set(known.scores) <= set(CODES)
    if known.held is not None:
        assert all(0 < score < CHANGED for score in known.scores.values())
    else:
        best = sorted(known.scores.values())[-2:]
        assert known.seconds < LONGEST_SECONDS or not best or best[0] == best[-1], "only a tie stays undecided"


@given(talks)
def test_nothing_is_decided_before_two_seconds(talk: list[tuple[dict[str, float], float]]) -> None:
    known, heard = Known(), 0.0
    for likely, seconds in talk:
        known, heard = known.after(likely, seconds), heard + seconds
        assert known.held is None or heard >= DECIDING_SECONDS


@given(talks, st.sampled_from([None, *CODES]))
def test_what_is_hardly_likely_may_as_well_be_left_out(
    talk: list[tuple[dict[str, float], float]], held: str | None
) -> None:
    whole = after(*talk, known=Known(held=held))
    short = after(*[(likely_ones(likely), seconds) for likely, seconds in talk], known=Known(held=held))
    assert short.held == whole.held
    assert {code: round(each, 6) for code, each in short.scores.items() if each} == {
        code: round(each, 6) for code, each in whole.scores.items() if each
    }


@given(likelihoods, st.lists(st.sampled_from(CODES), unique=True).map(tuple))
def test_the_probability_is_shared_out_among_those_allowed(likely: dict[str, float], allowed: tuple[str, ...]) -> None:
    shared = among(likely, allowed)
    assert set(shared) == set(allowed or likely)
    assert not allowed or math.isclose(sum(shared.values()), 1)
    for first in allowed:  # and their order and distance stay
        for second in allowed:
            apart = likely.get(first, 0.0) - likely.get(second, 0.0)
            assert math.isclose(shared[first] - shared[second], apart, abs_tol=1e-9)


def test_what_is_heard_of_languages_that_are_not_allowed_says_nothing_of_the_others() -> None:
    assert among({"de": 0.6, "en": 0.3, "es": 0.1}, ("en", "es")) == pytest.approx({"en": 0.6, "es": 0.4})
    assert among({}, ("en", "es")) == {"en": 0.5, "es": 0.5}
    assert likely_ones({"en": 0.5, "es": LEAST_LIKELY}) == {"en": 0.5}
