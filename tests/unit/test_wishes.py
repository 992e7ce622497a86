from __future__ import annotations

from typing import Any

import pytest

from config.profiles import Profile
from config.settings import Models
from gateway.routes import CallOptions
from gateway.wishes import Wishes, read_wishes

MODELS = Models(language="auto", profiles={"slow": Profile(beam_size=2)})


@pytest.mark.parametrize(
    ("asked", "wishes"),
    [
        ({}, Wishes()),
        ({"language": "de"}, Wishes(language="de")),
        ({"language": "auto", "languages": ["de", "en"]}, Wishes(language="auto", languages=("de", "en"))),
        ({"languages": "de"}, Wishes(languages="de")),
        (
            {"options": {"words": True, "hotwords": "Linescribe", "profile": "slow"}},
            Wishes(options=CallOptions(words=True, hotwords="Linescribe", profile="slow")),
        ),
    ],
)
def test_what_can_be_had(asked: dict[str, Any], wishes: Wishes) -> None:
    assert read_wishes(asked, MODELS) == wishes


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
def test_what_cannot_is_told(asked: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read_wishes(asked, MODELS)


def test_what_a_model_does_not_know_cannot_be_had() -> None:
    with pytest.raises(ValueError, match="knows no other"):
        read_wishes({"language": "de"}, Models(interim="tiny.en", final="base"))
