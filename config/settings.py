"""Every setting, typed. `gateway.yaml` beside this file shows each with its default and explains it.

Values are frozen and carry their units in their names. Reading files and the environment is `load.py`'s.
"""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Literal

import msgspec

from config.carriers import (
    CarrierListener,
    ExotelListener,
    JambonzListener,
    PlivoListener,
    SignalWireListener,
    TelnyxListener,
    TwilioListener,
    VonageListener,
)
from config.checks import (
    check_language,
    check_languages,
    check_model_language,
    check_path,
    distinct,
    http_url,
    is_loopback,
    known,
)
from config.delivery import Delivery
from config.exposure import check_exposure

# At run time too: msgspec resolves the annotations below.
from config.listeners import (
    Admin,
    AsteriskWebSocketListener,
    AudioSocketListener,
    FreeSwitchListener,
    Http,
    WebSocketListener,
    check_listeners,
)
from config.profiles import PROFILES, REALTIME, Profile, Task
from config.routes import DEFAULT_ROUTE, Route
from config.secret import Secret  # noqa: TC001  at run time: msgspec resolves the annotations below
from config.types import (
    Codes,
    ComputeType,
    Count,
    DeviceIndex,
    Endpointing,
    FunctionName,
    Group,
    Name,
    NotNegative,
    Positive,
)
from config.wording import check_masked_words

LONGEST_DECODE_MS = 30_000
"""Whisper hears thirty seconds at a time."""


class Log(Group, frozen=True, kw_only=True):
    """How the gateway speaks of itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"
    transcripts: bool = False


class Calls(Group, frozen=True, kw_only=True):
    """The life of a call."""

    max_calls: Count = 500
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    final_wait_seconds: Positive | None = 5.0
    final_wait_patience_seconds: NotNegative = 3.0
    decode_duplicates: bool = False
    max_registrations: Count = 10_000
    registration_seconds: Positive = 300.0
    linger_seconds: NotNegative = 3.0
    finish_seconds: Positive = 30.0
    drain_seconds: NotNegative = 1800.0
    hurry_seconds: Positive = 10.0


Hangover = Annotated[int, msgspec.Meta(ge=100, le=5000)]


class Speech(Group, frozen=True, kw_only=True):
    """Where utterances begin and end, and whether a stream ends with its first."""

    endpointing: Endpointing = "continue"
    vad_aggressiveness: Annotated[int, msgspec.Meta(ge=0, le=3)] = 2
    pre_roll_ms: Annotated[int, msgspec.Meta(ge=0, le=2000)] = 300
    minimum_speech_ms: Annotated[int, msgspec.Meta(ge=20, le=1000)] = 100
    hangover_ms: Hangover = 500
    hangover_shortest_ms: Hangover = 400
    hangover_longest_ms: Hangover = 700
    longest_utterance_ms: Annotated[int, msgspec.Meta(ge=2000, le=LONGEST_DECODE_MS)] = LONGEST_DECODE_MS

    def __post_init__(self) -> None:
        hangover_ms = max(self.hangover_ms, self.hangover_longest_ms)
        if self.pre_roll_ms + self.minimum_speech_ms + hangover_ms > self.longest_utterance_ms:
            raise ValueError("Expected longest_utterance_ms to have room for pre-roll, minimum speech and hangover")


class Interims(Group, frozen=True, kw_only=True):
    """Text while somebody speaks, and how it gives way where finals would wait."""

    cooldown_ms: Annotated[int, msgspec.Meta(ge=20, le=10_000)] = 220
    elevated_cooldown_ms: Annotated[int, msgspec.Meta(ge=20, le=10_000)] = 800
    tail_ms: Annotated[int, msgspec.Meta(ge=1000, le=LONGEST_DECODE_MS)] = 7000
    elevated_tail_ms: Annotated[int, msgspec.Meta(ge=1000, le=LONGEST_DECODE_MS)] = 4000
    elevated_wait_ms: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 250
    critical_wait_ms: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 600
    elevated_refresh_ms: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 1500
    elevated_finals: Count | None = None
    critical_finals: Count | None = None
    elevated_interims: Count | None = None
    critical_interims: Count | None = None

    def __post_init__(self) -> None:
        for measure in ("wait_ms", "finals", "interims"):
            elevated, critical = (getattr(self, f"{level}_{measure}") for level in ("elevated", "critical"))
            if elevated is not None and critical is not None and elevated > critical:
                raise ValueError(f"Expected elevated_{measure} to be no more than critical_{measure}")


class Models(Group, frozen=True, kw_only=True):
    """What decodes, and where it lies."""

    interim: Annotated[str, msgspec.Meta(min_length=1)] = "base"
    final: Annotated[str, msgspec.Meta(min_length=1)] = "base"
    language: str = "en"
    languages: Codes = ()
    task: Task = "transcribe"
    profile: Name = REALTIME
    profiles: dict[Name, Profile] = msgspec.field(default_factory=dict)
    condition_on_previous_text: bool = False
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    device_index: Annotated[tuple[DeviceIndex, ...], msgspec.Meta(min_length=1, max_length=16)] = (0,)
    processes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    compute_type: ComputeType = "int8"
    workers: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    threads: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    window: Literal["follow", "full"] = "follow"
    second_opinion: bool = True
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    decode_limit_seconds: Positive = 120.0
    cache_dir: str | None = None
    offline: bool = False
    waiting_audio_mib: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 64
    waiting_track_seconds: Annotated[float, msgspec.Meta(ge=LONGEST_DECODE_MS / 1000)] = 120.0
    spool_mib: Annotated[int, msgspec.Meta(ge=0, le=1_048_576)] = 1024

    def __post_init__(self) -> None:
        check_language(self.language)
        check_languages(self.languages)
        for model in (self.interim, self.final):
            check_model_language(model, self.language, self.task, self.languages)
        known("models.profile", [self.profile], list(self.known_profiles))
        distinct("numbers in models.device_index", [str(index) for index in self.device_index])
        if self.device == "cpu" and self.device_index != (0,):
            raise ValueError(
                "Expected device cuda or auto with device_index, for it numbers GPUs; for more of a CPU: processes"
            )
        check_path(self.cache_dir)

    @property
    def known_profiles(self) -> dict[str, Profile]:
        """The profiles that can be named: those that need not be written down, and the operator's."""
        return PROFILES | self.profiles


class Transcripts(Group, frozen=True, kw_only=True):
    """What stands in a final beside its text, and how texts are worded."""

    words: bool = False
    segments: bool = False
    mask: tuple[str, ...] = ()
    mask_profanity: bool = False
    normalizer: FunctionName | None = None

    def __post_init__(self) -> None:
        check_masked_words(self.mask)


class Tracing(Group, frozen=True, kw_only=True):
    """Who is told of each call as a trace of OpenTelemetry's."""

    endpoint: str | None = None
    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    sample: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            http_url(self.endpoint)


class Settings(Group, frozen=True, kw_only=True):
    """All of it."""

    state_dir: str | None = None
    log: Log = Log()
    http: Http = Http()
    admin: Admin = Admin()
    audiosocket: tuple[AudioSocketListener, ...] = (AudioSocketListener(),)
    freeswitch: tuple[FreeSwitchListener, ...] = (FreeSwitchListener(),)
    asterisk_websocket: tuple[AsteriskWebSocketListener, ...] = (AsteriskWebSocketListener(),)
    twilio: tuple[TwilioListener, ...] = (TwilioListener(),)
    telnyx: tuple[TelnyxListener, ...] = ()
    signalwire: tuple[SignalWireListener, ...] = ()
    plivo: tuple[PlivoListener, ...] = ()
    exotel: tuple[ExotelListener, ...] = ()
    jambonz: tuple[JambonzListener, ...] = ()
    vonage: tuple[VonageListener, ...] = ()
    calls: Calls = Calls()
    speech: Speech = Speech()
    interims: Interims = Interims()
    models: Models = Models()
    transcripts: Transcripts = Transcripts()
    delivery: Delivery = Delivery()
    tracing: Tracing = Tracing()
    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        check_path(self.state_dir)
        shipped = FreeSwitchListener(), AsteriskWebSocketListener(), TwilioListener()
        check_listeners(self.http, self.admin, self.audiosocket, self.websockets, shipped)
        check_exposure(self.http, self.audiosocket, chain.from_iterable(self.websockets.values()))
        if any(each.insecure for each in self.twilio) and not is_loopback(self.http.host):
            raise ValueError("Expected http.host to be 127.0.0.1 with a twilio listener that is insecure; or accounts")
        self._check_routes()

    @property
    def carriers(self) -> dict[str, tuple[CarrierListener, ...]]:
        """Listeners for carriers, by kind."""
        return {
            "twilio": self.twilio,
            "telnyx": self.telnyx,
            "signalwire": self.signalwire,
            "plivo": self.plivo,
            "exotel": self.exotel,
            "jambonz": self.jambonz,
            "vonage": self.vonage,
        }

    @property
    def websockets(self) -> dict[str, tuple[WebSocketListener, ...]]:
        """Those of the HTTP port, by kind."""
        return {"freeswitch": self.freeswitch, "asterisk_websocket": self.asterisk_websocket, **self.carriers}

    def _check_routes(self) -> None:
        distinct("names in routes", [route.name for route in self.routes])
        if any(route.name == DEFAULT_ROUTE for route in self.routes):
            raise ValueError(
                f"Expected a name other than {DEFAULT_ROUTE!r} for a route: that is what applies without one"
            )
        for number, route in enumerate(self.routes):
            self.delivery.check_names(f"route {route.name!r}", route.endpoints or ())
            if route.matches_all and number < len(self.routes) - 1:
                raise ValueError(
                    f"Expected route {route.name!r} to be the last, for it matches every stream:"
                    " those after it would never be taken"
                )
            known(
                f"profile in route {route.name!r}",
                [route.profile] if route.profile else [],
                list(self.models.known_profiles),
            )
            for model in (self.models.interim, self.models.final):
                check_model_language(model, route.language, route.task, route.languages)
