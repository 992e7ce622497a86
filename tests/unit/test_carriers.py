"""What carriers can send, and what their own words for it are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from adapters.stream import AudioFormat, Encoding, WireError
from adapters.twilio.carriers import CARRIERS, EXOTEL, PLIVO, SIGNALWIRE, TELNYX, TWILIO, Carrier
from adapters.twilio.preamble import JAMBONZ, VONAGE
from adapters.twilio.protocol import TOO_MUCH, Introduction
from adapters.wire.json_media import Beginning, beginning

NOTHING_SAID = Beginning(
    stream_id="s",
    call_id="c",
    account_id=None,
    tracks=(),
    encoding=None,
    rate_hz=None,
    channels=None,
    parameters=(),
    facts=(),
)


def said(**changes: Any) -> Beginning:
    return msgspec.structs.replace(NOTHING_SAID, **changes)


@pytest.mark.parametrize(
    ("carrier", "encoding", "rate_hz", "form"),
    [
        (TWILIO, "audio/x-mulaw", 8000, AudioFormat(Encoding.PCMU, 8000)),
        (TWILIO, None, None, AudioFormat(Encoding.PCMU, 8000)),
        (TELNYX, "PCMA", 8000, AudioFormat(Encoding.PCMA, 8000)),
        (TELNYX, "L16", 16000, AudioFormat(Encoding.L16, 16000)),
        (SIGNALWIRE, "audio/x-l16", 24000, AudioFormat(Encoding.L16, 24000)),
        (PLIVO, "audio/x-l16;rate=16000", 16000, AudioFormat(Encoding.L16, 16000)),
        (PLIVO, "audio/x-l16;  rate=24000;channels=1", None, AudioFormat(Encoding.L16, 24000)),
        (TWILIO, "audio/x-mulaw;channels=1", None, AudioFormat(Encoding.PCMU, 8000)),
        (PLIVO, "audio/x-l16;rate=24000", 16000, AudioFormat(Encoding.L16, 16000)),
        (PLIVO, None, None, AudioFormat(Encoding.L16, 8000)),
        (EXOTEL, "base64", 8000, AudioFormat(Encoding.L16, 8000)),
        (EXOTEL, "audio/x-raw", 24000, AudioFormat(Encoding.L16, 24000)),
    ],
)
def test_what_a_carrier_calls_an_encoding_is_known(
    carrier: Carrier, encoding: str | None, rate_hz: int | None, form: AudioFormat
) -> None:
    assert carrier.format(said(encoding=encoding, rate_hz=rate_hz)) == form


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    "changes", [{"encoding": "G722"}, {"encoding": "x" * 5000}, {"rate_hz": 0}, {"rate_hz": -8000}, {"channels": 2}]
)
def test_what_cannot_be_taken_is_refused_with_the_setting_to_change(carrier: Carrier, changes: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        carrier.format(said(**changes))
    assert str(caught.value).startswith(f"{carrier.title} sends ")
    assert str(caught.value).endswith(carrier.choice)
    assert len(str(caught.value)) < 300


def test_each_carrier_has_a_path_of_its_own() -> None:
    assert [each.path for each in CARRIERS] == ["/twilio", "/telnyx", "/signalwire", "/plivo", "/exotel"]


@pytest.mark.parametrize(
    ("written", "parameters"),
    [
        ('{"queue":"x","n":7}', (("queue", "x"), ("n", "7"))),
        ("queue=x;n=7", (("queue", "x"), ("n", "7"))),
        ("queue=x, n=", (("queue", "x"), ("n", ""))),
        ("{}", ()),
        ("", ()),
        ("queue", (("extra_headers", "queue"),)),
        ("queue=x;;", (("extra_headers", "queue=x;;"),)),
        ("=x", (("extra_headers", "=x"),)),
        (7, ()),
    ],
)
def test_plivos_headers_stand_in_a_text(written: object, parameters: tuple[tuple[str, str], ...]) -> None:
    content = {"start": {"streamId": "s", "callId": "c"}, "extra_headers": written}
    assert beginning(content, PLIVO.names).parameters == parameters


def test_what_is_asked_for_is_no_parameter() -> None:
    pairs = (("language", "de"), ("options", '{"words":true}'), ("queue", "x"))
    started = Introduction(TWILIO, {}).open(said(parameters=pairs)).started
    assert started.wishes == {"language": "de", "options": {"words": True}}
    assert started.parameters == {"queue": "x"}


def test_a_secret_in_what_is_told_is_masked() -> None:
    introduction = Introduction(TWILIO, {}, mask=lambda text: text.replace("secret", "*"))
    wrote = (("token", "secret"), ("secret", "1"))
    started = introduction.open(said(facts=(("url", "secret"),), parameters=wrote)).started
    assert started.parameters == {"url": "*", "token": "*", "*": "1"}


def test_more_parameters_than_are_kept_are_told() -> None:
    pairs = tuple((f"n{number}", "x") for number in range(100))
    started = Introduction(TWILIO, {}).open(said(parameters=pairs)).started
    assert (len(started.parameters), started.remarks) == (64, (TOO_MUCH,))


def test_what_the_carrier_tells_goes_before_what_a_webhook_told_and_that_before_what_somebody_wrote() -> None:
    introduction = Introduction(TWILIO, {}, known={"called": "1", "queue": "a", "accountSid": "AC2"})
    wrote = (("queue", "b"), ("accountSid", "AC3"), ("own", "c"))
    started = introduction.open(said(facts=(("to", "0"), ("accountSid", "AC1")), parameters=wrote)).started
    assert started.parameters == {"called": "0", "accountSid": "AC1", "queue": "a", "own": "c"}


def test_what_the_carrier_tells_has_room_whatever_somebody_wrote() -> None:
    wrote = (*((f"n{number}", "x") for number in range(100)), ("accountSid", "AC3"))
    started = Introduction(TWILIO, {}).open(said(facts=(("accountSid", "AC1"),), parameters=wrote)).started
    assert started.parameters["accountSid"] == "AC1"


@pytest.mark.parametrize(
    ("text", "digit"),
    [
        ('{"event":"dtmf","dtmf":"5","duration":"1600"}', "5"),
        ('{"event":"dtmf","dtmf":5}', "5"),
        ('{"event":"dtmf"}', None),
        ('{"event":"other","dtmf":"5"}', None),
        ("5", None),
        ("", None),
    ],
)
def test_keys_of_jambonz_are_texts(text: str, digit: str | None) -> None:
    assert JAMBONZ.digit_in(text) == digit


@pytest.mark.parametrize(
    ("text", "digit"),
    [
        ('{"event":"websocket:dtmf","digit":"a","duration":260}', "A"),
        ('{"event":"websocket:dtmf"}', None),
        ('{"event":"websocket:cleared","digit":"1"}', None),
        ("[]", None),
    ],
)
def test_keys_of_vonage_are_texts(text: str, digit: str | None) -> None:
    assert VONAGE.digit_in(text) == digit


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (
            {"event": "websocket:connected", "content-type": "audio/l16;rate=16000", "a": "b"},
            {"a": "b", "rate": "16000"},
        ),
        ({"content-type": "audio/L16; rate=8000"}, {"rate": "8000"}),
        ({"content-type": "audio/l16"}, {}),
        ({"content-type": 7}, {}),
    ],
)
def test_vonages_rate_stands_in_its_content_type(given: dict[str, Any], found: dict[str, Any]) -> None:
    assert VONAGE.translate(given) == found
