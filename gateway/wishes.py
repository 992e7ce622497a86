"""What may be asked for one stream by whoever announces or brings it, and whether it can be had. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from config.checks import check_language, check_languages, check_model_language, known
from config.types import Codes  # noqa: TC001  at run time: msgspec resolves the annotations below
from gateway.routes import CallOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.settings import Models

MOST_PROBLEMS = 5
"""Of one stream's wishes are told; what comes after that is not looked at."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Wishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for; None is as the stream's route has it."""

    label: Text | None = None
    language: Text | None = None
    languages: Text | Codes | None = None
    """One, or several, also as `en,es`."""
    options: CallOptions = CallOptions()

    @property
    def allowed_languages(self) -> tuple[str, ...] | None:
        """The same as a list."""
        if isinstance(self.languages, str):
            return tuple(code.strip() for code in self.languages.split(","))
        return self.languages


def read_wishes(asked: Mapping[str, Any], models: Models) -> tuple[Wishes, list[str]]:
    """Read what a stream asks for, wish by wish: what can be had, and why the rest cannot.

    After a few that cannot, the others are left aside unread.
    """
    granted: dict[str, Any] = {}
    wishes, problems = Wishes(), []
    for attempt in _one_by_one(asked):
        candidate = granted | attempt
        if isinstance(option := attempt.get("options"), dict):
            candidate["options"] = granted.get("options", {}) | option
        try:
            wishes = _checked(candidate, models)
        except ValueError as error:
            problems.append(str(error))
            if len(problems) == MOST_PROBLEMS:
                break
        else:
            granted = candidate
    return wishes, problems


def _one_by_one(asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Take a bundle of wishes apart."""
    for name, value in asked.items():
        if name == "options" and isinstance(value, dict):
            yield from ({name: {option: wanted}} for option, wanted in value.items())
        else:
            yield {name: value}


def _checked(asked: Mapping[str, Any], models: Models) -> Wishes:
    try:
        wishes = msgspec.convert(asked, Wishes)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    check_wishes(wishes, models)
    return wishes


def check_wishes(wishes: Wishes, models: Models) -> None:
    """Refuse what the models cannot do. Raises ValueError."""
    if wishes.language is not None:
        check_language(wishes.language)
    check_languages(wishes.allowed_languages or ())
    for model in (models.interim, models.final):
        check_model_language(model, wishes.language, wishes.options.task, wishes.allowed_languages)
    if wishes.options.profile is not None:
        known("profile", [wishes.options.profile], list(models.known_profiles))
