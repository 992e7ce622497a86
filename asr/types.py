"""The words that `asr` and its callers share: what is asked of a model, and what it answers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

# At run time too: msgspec resolves the annotations below.
from asr.language import Known  # noqa: TC001
from config.profiles import Profile, Task

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from asr.pressure import Level
    from asr.tally import Effort

SAMPLE_RATE_HZ = 16_000
"""The one rate inside `asr`: mono, 16-bit signed, little-endian."""

BYTES_PER_MS = SAMPLE_RATE_HZ * 2 // 1000


class ModelRole(StrEnum):
    """The two jobs a model can hold; one loaded model may hold both."""

    INTERIM = "interim"
    FINAL = "final"


class DecodeKind(StrEnum):
    """Why audio is decoded; the order here is the order of precedence."""

    FINAL = "final"
    SPECULATIVE = "speculative"
    """A final on trial: the speaker pauses, and may go on."""
    INTERIM = "interim"

    @property
    def role(self) -> ModelRole:
        """The model that decodes this kind."""
        return ModelRole.INTERIM if self is DecodeKind.INTERIM else ModelRole.FINAL


class DecodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What may differ from one request to the next."""

    profile: Profile = Profile()
    task: Task = "transcribe"
    word_times: bool = False
    hotwords: str | None = None
    initial_prompt: str | None = None


class DecodeRequest(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One utterance, or the part of it heard so far, to be decoded."""

    request_id: str
    stream_key: str
    """One track of one call. At most one interim per key waits."""
    group_key: str
    """The call; fairness is between groups."""
    kind: DecodeKind
    first: bool = False
    """Whether nothing has been shown of the utterance yet: such an interim goes before others."""
    audio: bytes
    """Mono 16 kHz PCM, 16-bit little-endian, at most 30 s."""
    origin_sample: int
    """Where `audio` begins, in samples on the track's own clock."""
    deadline: float | None = None
    """On the scheduler's clock: a request still waiting then fails with code `deadline`. None waits on."""
    language: str | None = None
    """What is spoken, ISO 639-1; None lets the model detect it."""
    known: Known | None = None
    """What is known of the language where the model is to detect it, and to tell what it heard."""
    speech_seconds: float = 0.0
    """How much of the audio is speech; says how much the model's word on the language counts."""
    prefix_words: tuple[str, ...] = ()
    """Words already settled in this utterance, for the decoder to go on from."""
    options: DecodeOptions = DecodeOptions()

    @property
    def audio_ms(self) -> int:
        """Length of the audio."""
        return len(self.audio) // BYTES_PER_MS


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """One word; times count from the start of the request's audio."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of text as the decoder cut it; times count from the start of the request's audio."""

    text: str
    start_ms: int
    end_ms: int


class Reason(StrEnum):
    """Why there is no text of an utterance; a closed set, fit for a metric's label and for `call.ended`."""

    SILENCE = "silence"
    """Nothing that could be heard at all."""
    TONE = "tone"
    MUSIC = "music"
    NOISE = "noise"
    """A sound of another kind, and no voice."""
    IMPROBABLE = "improbable"
    """Hardly a voice, and a text of which the model was not sure."""
    PHRASE = "phrase"
    """Hardly a voice, and what the model writes of silence."""
    EMPTY = "empty"
    """The model heard no words."""


class Suppressed(msgspec.Struct, frozen=True, kw_only=True):
    """What a model has written, and is not to be believed."""

    reason: Reason
    text: str = ""
    """Empty where nothing was decoded."""


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True):
    """What a model made of one request. `text` is trimmed and may be empty."""

    text: str
    model: str
    """Name and compute type, such as `base int8`."""
    language: str | None = None
    """What it was decoded in."""
    language_probability: float | None = None
    """How likely this audio alone makes that language, among those allowed; None where it was given."""
    languages: dict[str, float] = {}
    """The same for every language that is at all likely."""
    decoded_seconds: float | None = None
    """How much of the audio was decoded; what is no speech may have been left out."""
    confidence: float | None = None
    """exp of the mean token log-probability, 0 to 1."""
    no_speech_probability: float | None = None
    retries: int = 0
    """How often it was decoded again before it was believed."""
    suppressed: Suppressed | None = None
    """Why there is no text."""
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()


class ModelError(Exception):
    """A decode that gave no hypothesis, through no fault of the audio's sender.

    `code` is one of a closed set, fit for a metric label and the `error` field of an event.
    """

    def __init__(self, code: ModelErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ModelLoadError(Exception):
    """Weights that are there and cannot be loaded; the text says what to do about it."""


class ModelErrorCode(StrEnum):
    """Why there is no hypothesis."""

    CRASHED = "model_crashed"
    """The model process died while it held the request, twice."""
    FAILED = "model_failed"
    """The model raised."""
    OVERLOADED = "overloaded"
    """More audio waits than the limit allows."""
    DEADLINE = "deadline"
    """Nobody came to it in time."""
    CLOSED = "shutting_down"
    """The scheduler was closed first."""


class OnAnswer(Protocol):
    """Hears what became of one request of a batch."""

    def __call__(self, place: int, answer: Hypothesis | ModelError, /) -> None:
        """Take the answer to the request that stands there in the batch."""
        ...


def ignore_answer(_place: int, _answer: Hypothesis | ModelError) -> None:
    """Wait for the list of all of them."""


class Engine(Protocol):
    """Whatever decodes: model processes, or a stand-in in a test."""

    def lanes(self, role: ModelRole) -> Sequence[int]:
        """Tell which lanes serve a role. Roles that share one loaded model share its lane."""
        ...

    def largest_batch(self, lane: int) -> int:
        """Tell how many requests a lane can decode together."""
        ...

    def window(self, lane: int, audio_ms: int) -> float:
        """Tell in what window a lane looks at so much audio; what has the same is decoded together well."""
        ...

    async def ready(self, lane: int) -> None:
        """Wait until a lane can decode at once, or never will again."""
        ...

    async def decode(
        self, lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer
    ) -> list[Hypothesis | ModelError]:
        """Decode a batch; the answers stand in the batch's order. One batch per lane at a time.

        `on_answer` hears each answer as it is settled, for some take longer than others. Raises ModelError with
        code `model_crashed` when those that were not settled were lost with their process.
        """
        ...


class Decoder(Protocol):
    """What a session needs of the scheduler."""

    def submit(self, request: DecodeRequest) -> asyncio.Future[Hypothesis]:
        """Queue a request. The future fails with ModelError, or is cancelled when the request is."""
        ...

    def supersede(self, request: DecodeRequest) -> asyncio.Future[Hypothesis]:
        """Queue a request in the place of every interim of its stream; their futures are cancelled."""
        ...

    def promote(self, request_id: str) -> bool:
        """Make a speculative final that waits or runs a final, in the place of its stream's interims; True if it is."""
        ...

    def cancel(self, request_id: str) -> bool:
        """Drop a request, waiting or running; True if it was known. Its future is cancelled."""
        ...

    @property
    def level(self) -> Level:
        """How hard pressed it is."""
        ...

    def predicted_wait(self, now: float) -> float:
        """Tell for how many seconds a final that came now would wait for its turn."""
        ...

    def effort(self, role: ModelRole) -> Effort:
        """Tell what has been done for a role; from nothing again when other models take over."""
        ...
