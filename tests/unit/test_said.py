from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.wire.said import RATES_HZ, Said, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["rate", "channels", "mix", "role", "label", "callId", "token", "language", "options", "from"])


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ({"rate": "16000"}, {"rate_hz": 16_000}),
        ({"rate": "8k"}, {"rate_hz": 8_000}),
        ({"rate": "16K"}, {"rate_hz": 16_000}),
        ({"sampleRate": 8000}, {"rate_hz": 8_000}),
        ({"sample_rate": 44100}, {"rate_hz": 44_100}),
        ({"channels": "2"}, {"channels": 2}),
        ({"channels": 1}, {"channels": 1}),
        ({"mix": "stereo"}, {"channels": 2}),
        ({"mixType": "MONO"}, {"channels": 1}),
        ({"mix": "mixed"}, {"channels": 1, "role": "mixed"}),
        ({"role": "outbound"}, {"role": "outbound"}),
        ({"label": "agent"}, {"label": "agent"}),
        ({"token": "t0ken"}, {"token": "t0ken"}),
        ({"language": "de", "options": {"words": True}}, {"wishes": {"language": "de", "options": {"words": True}}}),
    ],
)
def test_what_is_about_the_stream_itself_is_understood_and_is_no_parameter(
    given: dict[str, Any], understood: dict[str, Any]
) -> None:
    assert read(given) == read(given, strict=True) == Said(**understood)


@pytest.mark.parametrize(
    "given",
    [
        {"rate": "premium"},
        {"rate": 7},
        {"channels": 6},
        {"channels": "BBC"},
        {"role": "admin"},
        {"mix": 1},
        {"label": ""},
    ],
)
def test_what_cannot_be_meant_for_us_is_a_parameter_of_its_own(given: dict[str, Any]) -> None:
    ((name, value),) = given.items()
    assert read(given) == Said(parameters=((name, str(value)),))


@pytest.mark.parametrize("given", [{"rate": "11025"}, {"rate": "96k"}, {"rate": 8001}, {"sampleRate": "384000"}])
def test_a_rate_that_cannot_be_taken_is_odd_and_a_parameter_or_in_a_url_refused(given: dict[str, Any]) -> None:
    ((name, value),) = given.items()
    assert read(given) == Said(odd_rate=True, parameters=((name, str(value)),))
    with pytest.raises(ValueError, match=r"Expected a rate of 8000, .*48000"):
        read(given, strict=True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"rate": "fast"}, "rate"), ({"rate": ""}, "rate"), ({"channels": "3"}, "channels"), ({"mix": "both"}, "mix")],
)
def test_in_a_url_everything_has_to_be_right(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=f"Expected .*{expected}"):
        read(given, strict=True)


@pytest.mark.parametrize(
    ("given", "call"),
    [
        ({"callId": "a"}, "a"),
        ({"call_id": "a"}, "a"),
        ({"CALL-ID": "a"}, "a"),
        ({"uuid": "b", "callSid": "c"}, "b"),
        ({"callSid": "c", "callId": "a", "call": "d"}, "a"),
        ({"call": "d"}, "d"),
        ({"callId": ""}, None),
        ({"callId": True}, None),
        ({"callId": {"a": 1}}, None),
        ({"callId": "x" * 201}, None),
        ({"caller": "a"}, None),
    ],
)
def test_the_call_goes_by_the_best_of_its_names(given: dict[str, Any], call: str | None) -> None:
    said = read(given)
    assert said.call == call
    if call is not None:
        assert dict(said.parameters) == given  # its names are parameters, too


def test_a_name_may_be_a_number() -> None:
    assert read({"callId": 12345}) == Said(call="12345", parameters=(("callId", "12345"),))


def test_everything_else_is_flat() -> None:
    said = read({"from": "1555", "vip": True, "n": 3, "none": None, "tags": ["a", 1], "queue": {"name": "x", "at": {}}})
    assert said.parameters == (
        ("from", "1555"),
        ("vip", "true"),
        ("n", "3"),
        ("tags", '["a",1]'),
        ("queue.name", "x"),
    )


@given(st.dictionaries(NAMES | st.text(max_size=8), JSON, max_size=6), st.booleans())
def test_whatever_is_said_is_read_or_refused(content: dict[str, Any], strict: bool) -> None:
    try:
        said = read(content, strict=strict)
    except ValueError:
        return
    assert said.rate_hz in {None, *RATES_HZ}
    assert said.channels in {None, 1, 2}
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in said.parameters)
    assert "token" not in dict(said.parameters) or not isinstance(content["token"], str)
    msgspec.json.encode(said)
