from __future__ import annotations

from typing import Any

import pytest

from config.profiles import Profile
from config.settings import Models
from gateway.routes import CallOptions
from gateway.wishes import MOST_PROBLEMS, Wishes, read_wishes

MODELS = Models(language="auto", profiles={"slow": Profile(beam_size=2)})


@pytest.mark.parametrize(
    ("asked", "wishes"),
    [
        ({}, Wishes()),
        ({"language": "de", "label": "vip"}, Wishes(language="de", label="vip")),
        ({"language": "auto", "languages": ["de", "en"]}, Wishes(language="auto", languages=("de", "en"))),
        ({"languages": "de"}, Wishes(languages="de")),
        (
            {"options": {"words": True, "hotwords": "Linescribe", "profile": "slow"}},
            Wishes(options=CallOptions(words=True, hotwords="Linescribe", profile="slow")),
        ),
    ],
)
def test_what_can_be_had(asked: dict[str, Any], wishes: Wishes) -> None:
    assert read_wishes(asked, MODELS) == (wishes, [])


@pytest.mark.parametrize(
    ("languages", "allowed"), [(None, None), ("de", ("de",)), ("de, en", ("de", "en")), (("fr",), ("fr",)), ((), ())]
)
def test_languages_may_stand_in_one_text(
    languages: str | tuple[str, ...] | None, allowed: tuple[str, ...] | None
) -> None:
    assert Wishes(languages=languages).allowed_languages == allowed


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"language": "en-US"}, "language code"),
        ({"language": 5}, "Expected `str"),
        ({"language": ""}, "length"),
        ({"languages": ["de", "de"]}, "twice"),
        ({"languages": "de,english"}, "language code"),
        ({"options": "fast"}, "Expected `object`"),
        ({"options": {"fast": True}}, "unknown field"),
        ({"options": {"words": "yes"}}, "Expected `bool"),
        ({"options": {"profile": "quick"}}, "Unknown profile"),
        ({"webhook": "crm"}, "unknown field"),
    ],
)
def test_what_cannot_is_told_and_costs_nothing_else(asked: dict[str, Any], expected: str) -> None:
    wishes, problems = read_wishes(asked, MODELS)
    assert wishes == Wishes()
    (problem,) = problems
    assert expected in problem


def test_each_wish_is_granted_or_not_for_itself() -> None:
    asked = {"language": "de", "languages": 7, "options": {"words": True, "hotword": "x", "profile": "quick"}}
    wishes, problems = read_wishes(asked, MODELS)
    assert wishes == Wishes(language="de", options=CallOptions(words=True))
    assert len(problems) == 3


def test_of_nonsense_without_end_a_little_is_told() -> None:
    asked = {"options": {f"x{number}": 1 for number in range(1_000)} | {"words": True}}
    wishes, problems = read_wishes(asked, MODELS)
    assert (wishes, len(problems)) == (Wishes(), MOST_PROBLEMS)


def test_what_a_model_does_not_know_cannot_be_had() -> None:
    wishes, problems = read_wishes({"language": "de", "label": "vip"}, Models(interim="tiny.en", final="base"))
    assert (wishes, len(problems)) == (Wishes(label="vip"), 1)
    assert "knows no other" in problems[0]
