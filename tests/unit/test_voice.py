"""What may stand under twilio in a route."""

from __future__ import annotations

import msgspec
import pytest

from config.errors import ConfigError
from config.load import load
from config.voice import TwilioVoice


def twilio(**fields: object) -> str:
    return msgspec.json.encode([{"name": "a", "twilio": fields}]).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (twilio(), ["LINESCRIBE_ROUTES", "routes[0].twilio", "xpected one of dial, pause_seconds", "got none"]),
        (twilio(when_full="busy"), ["routes[0].twilio", "got none", "what the call goes on with"]),
        (twilio(dial="112", enqueue="support"), ["routes[0].twilio", "got dial and enqueue"]),
        (twilio(enqueue="a", redirect="https://ivr.example/"), ["got redirect and enqueue"]),
        (twilio(hangup=True), ["routes[0].twilio.hangup", "unknown key", "expected one of dial"]),
        (twilio(dail="112"), ["routes[0].twilio.dail", "did you mean 'dial'"]),
        (twilio(dial=18005551212), ["routes[0].twilio.dial", "got `int`", "quote a number"]),
        (twilio(dial="8005551212"), ["routes[0].twilio", "xpected a number such as", "'8005551212'"]),
        (twilio(dial="+1 800 555 1212"), ["a number such as", "digits alone"]),
        (twilio(dial="+123456"), ["a number such as"]),
        (twilio(dial="+1234567890123456"), ["a number such as"]),
        (twilio(dial="+01234567"), ["a number such as"]),
        (twilio(dial="+1800555121\u0662"), ["a number such as"]),
        (twilio(dial="1"), ["a short code of 2 to 6 digits"]),
        (twilio(dial="+18005551212\n"), ["a number such as"]),
        (twilio(dial="desk@pbx.example"), ["a URI such as sip:desk@pbx.example", "'desk@pbx.example'"]),
        (twilio(dial="sip:desk"), ["a URI such as sip:desk@pbx.example"]),
        (twilio(dial="sip:desk:hunter2@pbx.example"), ["without a password"]),
        (twilio(dial="sip:a b@pbx.example"), ["without blanks"]),
        (twilio(dial="<sip:desk@pbx.example>"), ["a URI such as"]),
        (twilio(dial="sip:desk@pbx.example>"), ["< and >"]),
        (twilio(dial='sip:"desk"@pbx.example'), ["quotes"]),
        (twilio(dial='sip:desk@pbx.example?x-a="b"'), ["quotes"]),
        (twilio(dial="sip:desk@pbx.example?x-a=b c"), ["without blanks"]),
        (twilio(dial="sip:desk@pbx.example?"), ["a URI such as"]),
        (twilio(dial="sip:desk@pbx.example\x01"), ["a URI such as"]),
        (twilio(dial="sip:d\u00ebsk@pbx.example"), ["ASCII"]),
        (twilio(dial="sip:desk@" + "x" * 246), ["at most 254 characters", "1023 after its ?"]),
        (twilio(dial="sip:desk@pbx.example?x-a=" + "x" * 1020), ["1023 after its ?"]),
        (twilio(dial="112", caller_id="sales"), ["xpected a number", "caller_id", "'sales'"]),
        (twilio(dial="sip:desk@pbx.example", caller_id="front desk"), ["xpected letters", "caller_id", "'front desk'"]),
        (twilio(enqueue="support", caller_id="+18005551212"), ["xpected dial with caller_id"]),
        (twilio(pause_seconds=5, timeout_seconds=5), ["xpected dial with caller_id and timeout_seconds"]),
        (twilio(dial="112", timeout_seconds=0), ["routes[0].twilio.timeout_seconds", ">= 1"]),
        (twilio(dial="112", timeout_seconds=601), ["routes[0].twilio.timeout_seconds", "<= 600"]),
        (twilio(pause_seconds=0), ["routes[0].twilio.pause_seconds", ">= 1"]),
        (twilio(pause_seconds=86_401), ["routes[0].twilio.pause_seconds", "<= 86400"]),
        (twilio(pause_seconds=1.5), ["routes[0].twilio.pause_seconds", "expected `int"]),
        (twilio(redirect="http://ivr.example/"), ["routes[0].twilio", "https:// url in redirect"]),
        (twilio(redirect="/ivr"), ["https:// url in redirect"]),
        (twilio(redirect="https://"), ["https://"]),
        (twilio(redirect="https://u:hunter2@ivr.example/"), ["without user name"]),
        (twilio(redirect="https://ivr.example/a b"), ["without blanks"]),
        (twilio(redirect="https://ivr.exa\nmple/"), ["without blanks"]),
        (twilio(redirect="https://ivr.example/#a"), ["without blanks and #"]),
        (twilio(redirect="https://ivr.example/" + "x" * 2000), ["at most 2000 characters"]),
        (twilio(enqueue=""), ["routes[0].twilio.enqueue", "length >= 1"]),
        (twilio(enqueue="x" * 65), ["routes[0].twilio.enqueue", "length <= 64"]),
        (twilio(enqueue=" support"), ["xpected a name in enqueue", "' support'"]),
        (twilio(enqueue="sup\nport"), ["xpected a name in enqueue"]),
        (twilio(enqueue="a", when_full="reject"), ["routes[0].twilio.when_full", "'reject'", "busy, go_on"]),
        ("[{name: a, twilio: {dial: +18005551212}}]", ["routes[0].twilio.dial", "quote a number"]),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_was_expected(text: str, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"LINESCRIBE_ROUTES": text})
    for part in expected:
        assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"dial": "+1234567"},
        {"dial": "+123456789012345", "caller_id": "+18005551212", "timeout_seconds": 600},
        {"dial": "15"},
        {"dial": "311000"},
        {"dial": "sip:desk@pbx.example", "caller_id": "front-desk_1.a+b"},
        {"dial": "sips:+4930123456@[2001:db8::1]:5061;transport=tls?x-queue=a%20b&x-vip=1", "timeout_seconds": 1},
        {"dial": "sip:desk@" + "x" * 245 + "?" + "x" * 1023},
        {"pause_seconds": 1},
        {"pause_seconds": 86_400, "when_full": "busy"},
        {"redirect": "https://ivr.example:8443/next?step=2&lang=de"},
        {"enqueue": "B\u00fcro 1"},
    ],
)
def test_what_a_call_of_twilios_goes_on_with_can_be_said(fields: dict[str, object]) -> None:
    given = load(None, {"LINESCRIBE_ROUTES": twilio(**fields)}).routes[0].twilio
    assert msgspec.to_builtins(given) == dict.fromkeys(TwilioVoice.__struct_fields__) | {"when_full": "go_on"} | fields
