"""Which language each speaker of a call speaks, or of a file: by their own words, else by the others'. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asr.language import Known

if TYPE_CHECKING:
    from asr.types import Hypothesis
    from config.languages import Languages


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a decode is told of the language: the language itself, or what is known of it, or nothing."""

    language: str | None = None
    known: Known | None = None


class CallLanguages:
    """What is known of the languages of a call, track by track."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._decided: str | None = None
        """What was last spoken by somebody of whom it is decided."""

    def known(self, track: str, spoken: Languages) -> Known | None:
        """Tell what is known of a track's language; None where it is given."""
        if spoken.given is not None:
            return None
        known = self._known.get(track, Known(allowed=spoken.allowed))
        if known.held is not None or (spoken.allowed and self._decided not in spoken.allowed):
            return known
        return msgspec.structs.replace(known, presumed=self._decided)

    def held(self, track: str) -> str | None:
        """Tell what is decided of a track's language."""
        known = self._known.get(track)
        return known.held if known else None

    def ask(self, track: str, spoken: Languages, *, quick: bool = False) -> Asked:
        """Tell what to ask for; who wants it `quick` has the model listen for the language only if nothing is known."""
        known = self.known(track, spoken)
        if known is None:
            return Asked(language=spoken.given)
        if quick and known.language is not None:
            return Asked(language=known.language)
        return Asked(known=known)

    def hear(self, track: str, spoken: Languages, heard: Hypothesis, speech_seconds: float) -> str | None:
        """Learn from a final, in the order of a track's finals; tell in which language it is to be decoded again.

        None where it stands in the language held, or none is held yet.
        """
        if not heard.text:
            return None
        known = self.known(track, spoken)
        if known is None:
            self._decided = spoken.given
            return None
        if heard.decoded_seconds is not None:
            speech_seconds = min(speech_seconds, heard.decoded_seconds)
        if heard.language_probability is not None:
            known = known.after(heard.languages, speech_seconds)
        elif heard.language is not None:  # the model was asked, and knows no other
            known = msgspec.structs.replace(known, held=heard.language, scores={})
        self._known[track] = known
        self._decided = known.held or self._decided
        return known.held if known.held != heard.language else None
