"""Which languages somebody may speak, as the settings have it."""

from __future__ import annotations

import msgspec

from config.checks import is_english_only


class Languages(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a language before anybody speaks."""

    given: str | None = None
    """What is spoken; None where that is to be found out."""
    allowed: tuple[str, ...] = ()
    """Among these it is; empty: among all."""


def spoken_languages(language: str, allowed: tuple[str, ...], model: str) -> Languages:
    """Tell what is left to be found out: nothing for a model that knows English only, as far as its name tells."""
    if language != "auto":
        return Languages(given=language)
    if is_english_only(model):
        return Languages(given="en")
    return Languages(given=allowed[0]) if len(allowed) == 1 else Languages(allowed=allowed)
