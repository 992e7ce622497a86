"""Which settings apply to a stream: the first route that fits, laid over the rest. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeVar

import msgspec

from asr.types import DecodeOptions

# At run time too: msgspec resolves the annotations below.
from config.languages import Languages, spoken_languages
from config.profiles import Profile, Task  # noqa: TC001
from config.routes import DEFAULT_ROUTE, Hint
from config.settings import Speech, Transcripts  # noqa: TC001
from config.types import Endpointing, Name  # noqa: TC001
from config.voice import TwilioVoice  # noqa: TC001
from config.wording import check_masked_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.routes import Match, Patterns, Route
    from config.settings import Settings

T = TypeVar("T")

CALLED, CALLING = "called", "calling"
"""The parameters that hold the two numbers of a call."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a route can go by."""

    adapter: str
    listener: str
    account: str | None = None
    parameters: dict[str, str] = {}


class CallOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What whoever registers a call may set for it; None is as its route has it."""

    task: Task | None = None
    profile: Name | None = None
    condition_on_previous_text: bool | None = None
    endpointing: Endpointing | None = None
    hotwords: Hint | None = None
    initial_prompt: Hint | None = None
    words: bool | None = None
    segments: bool | None = None
    mask: tuple[str, ...] | None = None
    mask_profanity: bool | None = None

    def __post_init__(self) -> None:
        check_masked_words(self.mask or ())


class CallSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What applies to one stream."""

    route: str
    language: str
    """A language code, or auto."""
    languages: tuple[str, ...]
    """Where that is auto: the language is among these; empty: among all."""
    final_model: str
    decode: DecodeOptions
    profile: str
    """The name of the decode profile; it stands in `decode`."""
    profiles: dict[str, Profile]
    """Those that can be asked for."""
    condition_on_previous_text: bool
    """Whether a final is decoded in the light of the one before it."""
    speech: Speech
    transcripts: Transcripts
    labels: dict[str, str]
    """The operator's words for the speakers, by role."""
    endpoints: tuple[str, ...]
    """Who is sent the events of a call that begins with this stream."""
    max_calls: int | None
    """How many calls may be in progress that began by this route."""
    voice: TwilioVoice | None
    """What a call of Twilio's goes on with; None where nothing says it."""

    @property
    def spoken(self) -> Languages:
        """What is known of the language before anybody speaks."""
        return spoken_languages(self.language, self.languages, self.final_model)

    def refined(
        self,
        *,
        language: str | None,
        languages: tuple[str, ...] | None = None,
        options: CallOptions,
        endpoints: tuple[str, ...] | None,
        labelled: bool = False,
    ) -> CallSettings:
        """Lay what was registered for one call over what its route says; None changes nothing.

        One that is `labelled` keeps its label.
        """
        transcripts = msgspec.structs.replace(
            self.transcripts,
            words=_first(options.words, self.transcripts.words),
            segments=_first(options.segments, self.transcripts.segments),
            mask=_first(options.mask, self.transcripts.mask),
            mask_profanity=_first(options.mask_profanity, self.transcripts.mask_profanity),
        )
        return msgspec.structs.replace(
            self,
            language=_first(language, self.language),
            languages=_first(languages, self.languages),
            profile=_first(options.profile, self.profile),
            condition_on_previous_text=_first(options.condition_on_previous_text, self.condition_on_previous_text),
            speech=msgspec.structs.replace(
                self.speech, endpointing=_first(options.endpointing, self.speech.endpointing)
            ),
            transcripts=transcripts,
            endpoints=_first(endpoints, self.endpoints),
            labels={} if labelled else self.labels,
            decode=msgspec.structs.replace(
                self.decode,
                profile=self.profiles[_first(options.profile, self.profile)],
                task=_first(options.task, self.decode.task),
                hotwords=_first(options.hotwords, self.decode.hotwords),
                initial_prompt=_first(options.initial_prompt, self.decode.initial_prompt),
                word_times=transcripts.words,
            ),
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Why a route fits a stream, or does not: one line for each of its conditions."""

    route: str
    fits: bool
    reasons: tuple[str, ...]


class Routes:
    """The table of routes, made once."""

    def __init__(self, settings: Settings) -> None:
        self._default = _base(settings)
        self._routes = [(route.match, _applied(route, self._default)) for route in settings.routes]

    def choose(self, facts: Facts) -> CallSettings:
        """Give what applies: by the first route that fits, else the default."""
        for match, result in self._routes:
            if all(fits for fits, _ in _conditions(match, facts)):
                return result
        return self._default

    def explain(self, facts: Facts) -> list[Verdict]:
        """Tell of each route, in order, whether it fits; the last verdict is of the default, which always does."""
        verdicts = []
        for match, result in self._routes:
            conditions = list(_conditions(match, facts))
            reasons = tuple(reason for _, reason in conditions) or ("has no match, so every stream fits",)
            verdicts.append(Verdict(route=result.route, fits=all(fits for fits, _ in conditions), reasons=reasons))
        return [*verdicts, Verdict(route=DEFAULT_ROUTE, fits=True, reasons=("applies where no route fits",))]


def _base(settings: Settings) -> CallSettings:
    models, transcripts = settings.models, settings.transcripts
    return CallSettings(
        route=DEFAULT_ROUTE,
        language=models.language,
        languages=models.languages,
        final_model=models.final,
        decode=DecodeOptions(
            profile=models.known_profiles[models.profile], task=models.task, word_times=transcripts.words
        ),
        profile=models.profile,
        profiles=models.known_profiles,
        condition_on_previous_text=models.condition_on_previous_text,
        speech=settings.speech,
        transcripts=transcripts,
        labels={},
        endpoints=tuple(endpoint.name for endpoint in settings.delivery.endpoints),
        max_calls=None,
        voice=None,
    )


def _applied(route: Route, base: CallSettings) -> CallSettings:
    options = CallOptions(
        task=route.task,
        profile=route.profile,
        condition_on_previous_text=route.condition_on_previous_text,
        endpointing=route.endpointing,
        hotwords=route.hotwords,
        initial_prompt=route.initial_prompt,
        words=route.words,
        segments=route.segments,
        mask=route.mask,
        mask_profanity=route.mask_profanity,
    )
    refined = base.refined(
        language=route.language, languages=route.languages, options=options, endpoints=route.endpoints
    )
    labels = {str(role): label for role, label in route.labels.items()}
    return msgspec.structs.replace(
        refined, route=route.name, labels=labels, max_calls=route.max_calls, voice=route.twilio
    )


def _conditions(match: Match, facts: Facts) -> Iterator[tuple[bool, str]]:
    """Tell of each condition of a route whether it holds, and how it reads."""
    for name, patterns, value in _pairs(match, facts):
        if patterns is None:
            continue
        wanted = (patterns,) if isinstance(patterns, str) else patterns
        fits = value is not None and any(fnmatchcase(value, _glob(each)) for each in wanted)
        told = "is not known" if value is None else f"is {value!r}"
        yield fits, f"{name} {told}, {'as' if fits else 'not'} {' or '.join(map(repr, wanted))}"


def _pairs(match: Match, facts: Facts) -> Iterator[tuple[str, Patterns | None, str | None]]:
    given: Mapping[str, str] = facts.parameters
    yield "adapter", match.adapter, facts.adapter
    yield "listener", match.listener, facts.listener
    yield "account", match.account, facts.account
    yield CALLED, match.called, given.get(CALLED)
    yield CALLING, match.calling, given.get(CALLING)
    for name, patterns in match.parameters.items():
        yield f"parameter {name}", patterns, given.get(name)


def _glob(pattern: str) -> str:
    """Leave * and ? their meaning, and take the brackets of fnmatch for themselves."""
    return pattern.replace("[", "[[]")


def _first(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given
