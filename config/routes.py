"""Routes: which settings apply to which stream. What they do, `gateway/routes.py` decides."""

from __future__ import annotations

from typing import Annotated

import msgspec

from config.checks import check_language, check_languages
from config.profiles import Task  # noqa: TC001  msgspec resolves the annotations below
from config.types import Codes, Count, Endpointing, Group, Name, Role
from config.voice import TwilioVoice  # noqa: TC001
from config.wording import check_masked_words

DEFAULT_ROUTE = "default"
"""The name of what applies where no route fits."""

Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Patterns = Pattern | Annotated[tuple[Pattern, ...], msgspec.Meta(min_length=1)]
"""One pattern, or several of which one has to fit; * stands for anything, ? for one character."""

Hint = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
"""Text given to the model beforehand; Whisper takes in some 220 tokens of it."""


class Match(Group, frozen=True, kw_only=True):
    """What a stream must be for a route to take it; what is left out fits every stream."""

    adapter: Patterns | None = None
    listener: Patterns | None = None
    account: Patterns | None = None
    called: Patterns | None = None
    calling: Patterns | None = None
    parameters: dict[str, Patterns] = msgspec.field(default_factory=dict)


class Route(Group, frozen=True, kw_only=True):
    """What applies to the streams that match; what is left out is as the other settings have it."""

    name: Name
    match: Match = Match()
    language: str | None = None
    languages: Codes | None = None
    task: Task | None = None
    profile: Name | None = None
    condition_on_previous_text: bool | None = None
    endpointing: Endpointing | None = None
    hotwords: Hint | None = None
    initial_prompt: Hint | None = None
    labels: dict[Role, str] = msgspec.field(default_factory=dict)
    words: bool | None = None
    segments: bool | None = None
    mask: tuple[str, ...] | None = None
    mask_profanity: bool | None = None
    endpoints: tuple[Name, ...] | None = None
    max_calls: Count | None = None
    twilio: TwilioVoice | None = None

    def __post_init__(self) -> None:
        if self.language is not None:
            check_language(self.language)
        check_languages(self.languages or ())
        check_masked_words(self.mask or ())

    @property
    def matches_all(self) -> bool:
        """Whether no stream can pass this route by."""
        return self.match == Match()
