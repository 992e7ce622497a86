"""What may stand under the names of carriers."""

from __future__ import annotations

import base64

import msgspec
import pytest

from config.errors import ConfigError
from config.load import load
from config.settings import Settings

TOKEN = "0123456789abcdef" * 2
ACCOUNT = {"sid": "AC1", "auth_tokens": [TOKEN]}
CREDENTIALS = [{"name": "us", "secret": TOKEN}]
PUBLIC_KEY = base64.b64encode(bytes(range(32))).decode()


def read(kind: str, *entries: dict[str, object], **environ: str) -> Settings:
    return load(None, {f"LINESCRIBE_{kind.upper()}": msgspec.json.encode(entries).decode()} | environ)


@pytest.mark.parametrize(
    ("kind", "entry", "expected"),
    [
        (
            "twilio",
            {"accounts": [{"sid": "AC1", "auth_tokens": []}]},
            "xpected auth_tokens, or shared_keys",
        ),
        ("twilio", {"accounts": [{"sid": "AC1", "auth_tokens": ["hunter2"]}]}, "24 characters"),
        ("twilio", {"accounts": [{"sid": "AC1", "shared_keys": {"k": "hunter2"}}]}, "24 characters"),
        ("twilio", {"accounts": [ACCOUNT, ACCOUNT]}, "'AC1' stands there twice"),
        ("twilio", {"accounts": [ACCOUNT], "insecure": True}, "insecure, which verifies none"),
        ("twilio", {"accounts": [ACCOUNT], "credentials": CREDENTIALS}, "no credentials with accounts"),
        ("twilio", {"accept_anybody": True}, "accounts rather than accept_anybody"),
        ("twilio", {"hand_written_twiml": True}, "xpected accounts with hand_written_twiml"),
        ("twilio", {"name": "voice"}, "another name than 'voice'"),
        ("telnyx", {"name": "status"}, "another name than 'status'"),
        ("telnyx", {"public_keys": ["hunter2"]}, "32 bytes each in base64"),
        ("telnyx", {"public_keys": [PUBLIC_KEY, PUBLIC_KEY[4:]]}, "32 bytes each in base64"),
        ("telnyx", {"public_keys": [PUBLIC_KEY[:-1] + "\xe9"]}, "32 bytes each in base64"),
        ("telnyx", {"public_keys": ["A" * 43 + "="]}, "32 bytes each in base64"),
        ("telnyx", {"public_keys": PUBLIC_KEY}, "telnyx[0].public_keys"),
        ("plivo", {"auth_tokens": ["hunter2"]}, "24 characters"),
        ("plivo", {"auth_tokens": [TOKEN], "credentials": CREDENTIALS}, "with auth_tokens"),
        ("plivo", {"auth_tokens": [TOKEN], "accept_anybody": True}, "with auth_tokens"),
        ("exotel", {"labels": {"caller": "x"}}, "exotel[0].labels"),
        ("vonage", {"rate_hz": 11025}, "vonage[0].rate_hz"),
        ("jambonz", {"channels": 3}, "jambonz[0].channels"),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(kind: str, entry: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(kind, entry)
    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_any_number_of_public_keys_will_do() -> None:
    assert read("telnyx", {}).telnyx[0].public_keys == ()
    assert read("telnyx", {"public_keys": [PUBLIC_KEY] * 2}).telnyx[0].public_keys == (PUBLIC_KEY,) * 2


def test_two_of_a_kind_have_two_names() -> None:
    with pytest.raises(ConfigError, match="names in telnyx to differ"):
        read("telnyx", {}, {})


def test_where_nothing_is_verified_the_port_is_this_machines_alone() -> None:
    assert read("twilio", {"insecure": True}).twilio[0].insecure
    with pytest.raises(ConfigError, match=r"xpected http\.host to be 127\.0\.0\.1"):
        read("twilio", {"insecure": True}, LINESCRIBE_HTTP__HOST="0.0.0.0", LINESCRIBE_HTTP__ACCEPT_ANYBODY="true")  # noqa: S104


@pytest.mark.parametrize("kind", ["twilio", "telnyx", "vonage"])
def test_without_a_port_nobody_can_come_in(kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"xpected an http\.port, for {kind} is answered there"):
        read(kind, {"name": "x"}, LINESCRIBE_HTTP__PORT="null")
    assert load(None, {"LINESCRIBE_HTTP__PORT": "null"}).twilio


def test_a_stream_that_goes_silent_is_ended_after_a_minute() -> None:
    assert Settings().twilio[0].idle_timeout_seconds == 60.0
    assert read("exotel", {}).exotel[0].idle_timeout_seconds == 60.0
