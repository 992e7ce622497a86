"""What may change under calls, and what needs a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import load
from gateway.reloading import FIXED, MODELS, change, fingerprint

if TYPE_CHECKING:
    from config.settings import Settings

WHSEC = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TOKEN = "0123456789abcdef" * 2


def read(**changes: Any) -> Settings:
    return load(None, {f"LINESCRIBE_{name}": msgspec.json.encode(value).decode() for name, value in changes.items()})


BEFORE = read()

TAKEN: dict[str, dict[str, Any]] = {
    "calls.max_calls": {"CALLS__MAX_CALLS": 5},
    "log.level": {"LOG__LEVEL": "debug"},
    "log.transcripts": {"LOG__TRANSCRIPTS": True},
    "http.tokens": {"HTTP__TOKENS": [{"name": "pbx", "secret": TOKEN}]},
    "http.monitors": {"HTTP__MONITORS": ["10.1.0.9"]},
    "speech.hangover_ms": {"SPEECH__HANGOVER_MS": 600},
    "interims.cooldown_ms": {"INTERIMS__COOLDOWN_MS": 300},
    "models.profile": {"MODELS__PROFILE": "accurate"},
    "models.waiting_audio_mib": {"MODELS__WAITING_AUDIO_MIB": 32},
    "transcripts.words": {"TRANSCRIPTS__WORDS": True},
    "delivery.concurrency": {"DELIVERY__CONCURRENCY": 3},
    "delivery.endpoints": {"DELIVERY__ENDPOINTS": [{"name": "crm", "url": "https://a.example/", "secrets": [WHSEC]}]},
    "routes": {"ROUTES": [{"name": "sales", "language": "en"}]},
}

LEFT: dict[str, dict[str, Any]] = {
    "state_dir": {"STATE_DIR": "/srv/x"},
    "http.port": {"HTTP__PORT": 8088},
    "http.tls": {"HTTP__TLS": {"certificate": "/a", "key": "/b"}},
    "admin.port": {"ADMIN__PORT": 8089},
    "audiosocket": {"AUDIOSOCKET__0__PORT": 9093},
    "twilio": {"TWILIO": []},
    "models.spool_mib": {"MODELS__SPOOL_MIB": 0},
    "log.format": {"LOG__FORMAT": "json"},
}


@pytest.mark.parametrize(("key", "changes"), TAKEN.items(), ids=TAKEN)
def test_it_is_taken_over(key: str, changes: dict[str, Any]) -> None:
    after = read(**changes)
    told = change(BEFORE, after)
    assert (told.taken, told.left, told.models) == ((key,), (), False)
    assert told.settings == after


@pytest.mark.parametrize(("key", "changes"), LEFT.items(), ids=LEFT)
def test_it_needs_a_restart(key: str, changes: dict[str, Any]) -> None:
    told = change(BEFORE, read(**changes))
    assert (told.taken, told.left) == ((), (key,))
    assert told.settings == BEFORE


@pytest.mark.parametrize(
    "changes",
    [{"MODELS__FINAL": "small"}, {"MODELS__COMPUTE_TYPE": "float32"}, {"MODELS__BATCH_SIZE": 2}],
    ids=str,
)
def test_other_models_take_over(changes: dict[str, Any]) -> None:
    assert change(BEFORE, read(**changes)).models is True


@given(st.sets(st.sampled_from([*TAKEN, *LEFT])))
def test_each_of_many_keys_goes_its_own_way(keys: set[str]) -> None:
    changes: dict[str, Any] = {}
    for key in keys:
        changes |= (TAKEN | LEFT)[key]
    told = change(BEFORE, read(**changes))
    assert set(told.taken) == keys & set(TAKEN)
    assert set(told.left) == keys & set(LEFT)
    assert change(told.settings, told.settings).taken == ()


def test_the_tables_name_settings_that_there_are() -> None:
    for key in FIXED:
        place: Any = BEFORE
        for part in key.split("."):
            place = getattr(place, part)
    assert {field.name for field in msgspec.structs.fields(BEFORE.models)} >= set(MODELS)


def test_a_fingerprint_tells_settings_apart_and_nothing_else() -> None:
    assert fingerprint(read()) == fingerprint(read())
    told = {fingerprint(read(**changes)) for changes in (TAKEN | LEFT).values()}
    assert len(told) == len(TAKEN | LEFT)
    endpoint = {"name": "crm", "url": "https://a.example/", "secrets": [WHSEC]}
    rotated = endpoint | {"secrets": ["whsec_" + "B" * 43 + "="]}
    assert fingerprint(read(DELIVERY__ENDPOINTS=[endpoint])) != fingerprint(read(DELIVERY__ENDPOINTS=[rotated]))
