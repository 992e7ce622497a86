"""Simulated calls over what a model heard in prompts, and what becomes of their language. Pure.

A call's turns go the way of its finals: what is known goes with each request, the model takes the language that its
own hearing leads to (`asr/transcriber.py`), and the call learns from the answer (`gateway/publishing.py`).
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from asr.language import among, likely_ones
from asr.types import Hypothesis
from gateway.languages import CallLanguages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asr.language import Known
    from config.languages import Languages

PAUSE_SECONDS = 1.0
"""Between one utterance and the next."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance of a prompt, and how likely the model made each language."""

    speech_seconds: float
    likely: dict[str, float]


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt."""

    language: str
    name: str
    pieces: tuple[Piece, ...]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One utterance of a call."""

    track: str
    language: str
    """What is spoken."""
    name: str
    piece: Piece


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one turn."""

    turn: Turn
    guess: str
    """What the model takes it for by itself."""
    text: str
    """In what language the final stands."""
    held: str | None
    """What the track is taken to speak after it."""


class Maker:
    """Makes calls of clips, the same for the same seed."""

    def __init__(self, clips: Sequence[Clip], seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  a simulation
        self._by_language: dict[str, list[Clip]] = {}
        for clip in clips:
            self._by_language.setdefault(clip.language, []).append(clip)

    @property
    def languages(self) -> tuple[str, ...]:
        """Tell what can be spoken."""
        return tuple(self._by_language)

    def one(self, language: str, seconds: float, track: str = "inbound") -> list[Turn]:
        """Let somebody speak one language for so long, pauses included."""
        turns: list[Turn] = []
        while (seconds_so_far := duration(turns)) < seconds:
            clip = self._random.choice(self._by_language[language])
            turns += (Turn(track=track, language=language, name=clip.name, piece=piece) for piece in clip.pieces)
            if duration(turns) == seconds_so_far:
                raise ValueError(f"there is no speech in {clip.name}")
        return turns

    def switching(self, seconds: float) -> list[Turn]:
        """Let somebody speak another language from the middle on."""
        before, after = self._random.sample(self.languages, 2)
        return [*self.one(before, seconds / 2), *self.one(after, seconds / 2)]

    def two(self, seconds: float) -> list[Turn]:
        """Let two speak by turns, each a language of their own."""
        first, second = self._random.sample(self.languages, 2)
        sides = [self.one(first, seconds / 2, "inbound"), self.one(second, seconds / 2, "outbound")]
        turns = []
        while all(sides):
            turns += [side.pop(0) for side in sides]
        return turns


def duration(turns: Sequence[Turn]) -> float:
    """Tell how long turns take, pauses included."""
    return sum(turn.piece.speech_seconds + PAUSE_SECONDS for turn in turns)


def replay(turns: Sequence[Turn], spoken: Languages) -> list[Heard]:
    """Let a call take its way."""
    languages, heard = CallLanguages(), list[Heard]()
    for turn in turns:
        known = languages.ask(turn.track, spoken).known
        if known is None:
            raise ValueError("there is nothing to find out where the language is given")
        likely = among(turn.piece.likely, known.allowed)
        answer = _answer(known, likely, turn.piece.speech_seconds)
        again = languages.hear(turn.track, spoken, answer, turn.piece.speech_seconds)
        after = languages.known(turn.track, spoken)
        heard.append(
            Heard(
                turn=turn,
                guess=max(likely, key=likely.__getitem__),
                text=again or answer.language or "",
                held=after.held if after else None,
            )
        )
    return heard


def _answer(known: Known, likely: Mapping[str, float], seconds: float) -> Hypothesis:
    language = known.after(likely, seconds).language
    return Hypothesis(
        text="said",
        model="",
        language=language,
        language_probability=likely.get(language or "", 0.0),
        languages=likely_ones(likely),
    )


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The first decision of a track."""

    language: str
    right: bool
    name: str
    """The clip that it fell at."""
    speech_seconds: float
    utterances: int


def decision(heard: Sequence[Heard]) -> Decision | None:
    """Find the first decision of one track."""
    for number, each in enumerate(heard, 1):
        if each.held is not None:
            return Decision(
                language=each.held,
                right=each.held == each.turn.language,
                name=each.turn.name,
                speech_seconds=sum(one.turn.piece.speech_seconds for one in heard[:number]),
                utterances=number,
            )
    return None


def flips(heard: Sequence[Heard]) -> Iterator[Heard]:
    """Find the turns of one track at which the language held became another."""
    for before, after in pairwise(heard):
        if before.held is not None and after.held != before.held:
            yield after


def noticed_after(heard: Sequence[Heard]) -> int | None:
    """Tell at which utterance in the second language of a track it is held; None where it never is."""
    second = heard[-1].turn.language
    later = [each for each in heard if each.turn.language == second]
    return next((number for number, each in enumerate(later, 1) if each.held == second), None)


def of_track(heard: Sequence[Heard], track: str) -> list[Heard]:
    """Give what one of the speakers said."""
    return [each for each in heard if each.turn.track == track]
