from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.voice_response import VoiceResponse

from adapters.twilio.twiml import (
    LONGEST_PAIR,
    SILENCE,
    Dial,
    Enqueue,
    HangUp,
    Next,
    Pause,
    Redirect,
    StreamStart,
    busy,
    fits,
    voice,
    what_comes_next,
)
from config.voice import TwilioVoice

Tree = tuple[str, dict[str, str], str, list[Any]]

SPECIAL = "<>&\"'\t ;#]-!?/\\%+@:"
TEXT = st.text(st.sampled_from(SPECIAL) | st.characters(exclude_categories=("Cc", "Cs", "Cn")), max_size=40)
"""What XML can hold."""
HOSTILE = st.text(
    st.sampled_from(SPECIAL + "\0\r\n\x0b\x1b\x7f\x85\u2028\ud800\udfff\ufffe\uffff\U0001f600")
    | st.characters(exclude_categories=()),
    max_size=40,
)
"""Anything at all, halves of surrogate pairs included."""
NUMBER = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
SIP = st.from_regex(r"sips?:[a-z0-9.+&]{1,20}@[a-z0-9.-]{1,20}(\?x-[a-z]{1,5}=[a-z%0-9&]{1,20})?", fullmatch=True)
URL = st.builds("https://ivr.example/{}".format, TEXT)
SECONDS = st.integers(1, 86_400)


def starts(text: st.SearchStrategy[str]) -> st.SearchStrategy[StreamStart]:
    return st.builds(
        StreamStart,
        url=text.map(lambda path: "wss://calls.example/twilio/" + re.sub("[?#]", "", path)),
        name=text,
        status_callback=text.map("https://calls.example/status?{}".format),
        parameters=st.dictionaries(text.map("x{}".format), text, max_size=4),
        track=st.sampled_from(["inbound_track", "outbound_track", "both_tracks"]),
    )


def nexts(target: st.SearchStrategy[str], text: st.SearchStrategy[str]) -> st.SearchStrategy[Next]:
    return st.one_of(
        st.builds(Dial, to=target, caller_id=st.none() | target, timeout_seconds=st.none() | st.integers(1, 600)),
        st.builds(Pause, seconds=SECONDS),
        st.builds(Redirect, url=text),
        st.builds(Enqueue, queue=text),
        st.just(HangUp()),
    )


def tree(element: Element) -> Tree:
    return (element.tag, dict(element.attrib), element.text or "", [tree(child) for child in element])


def parsed(twiml: str) -> Element:
    return fromstring(twiml.encode())  # noqa: S314  written by ourselves, of plain elements


def vendors(start: StreamStart | None, then: Next) -> str:
    """Write the same with Twilio's own library."""
    response = VoiceResponse()
    if start is not None:
        stream = response.start().stream(
            url=start.url, name=start.name, track=start.track, status_callback=start.status_callback
        )
        for name, value in start.parameters.items():
            stream.parameter(name=name, value=value)
    match then:
        case Dial(to=to):
            dial = response.dial(caller_id=then.caller_id, timeout=then.timeout_seconds)
            (dial.sip if to.startswith("sip") else dial.number)(to)
        case Pause(seconds=seconds):
            response.pause(length=seconds)
        case Redirect(url=url):
            response.redirect(url)
        case Enqueue(queue=queue):
            response.enqueue(queue)
        case HangUp():
            response.hangup()
    return str(response)


@given(start=st.none() | starts(TEXT), then=nexts(NUMBER | SIP, TEXT | URL))
def test_what_is_written_is_what_twilios_own_library_writes(start: StreamStart | None, then: Next) -> None:
    assert tree(parsed(voice(start, then))) == tree(parsed(vendors(start, then)))


def test_a_refusal_is_the_first_verb_and_what_twilios_own_library_writes() -> None:
    response = VoiceResponse()
    response.reject(reason="busy")
    reject: Tree = ("Reject", {"reason": "busy"}, "", [])
    assert tree(parsed(busy())) == tree(parsed(str(response))) == ("Response", {}, "", [reject])


START = StreamStart(
    url="wss://calls.example/twilio/t0k3n",
    name="linescribe",
    status_callback="https://calls.example/twilio/status",
    parameters={"called": "+18005551212"},
)


def test_a_call_is_forked_on_both_tracks_and_then_goes_on() -> None:
    stream = {
        "url": START.url,
        "name": "linescribe",
        "track": "both_tracks",
        "statusCallback": START.status_callback,
    }
    parameter: Tree = ("Parameter", {"name": "called", "value": "+18005551212"}, "", [])
    start: Tree = ("Start", {}, "", [("Stream", stream, "", [parameter])])
    dial: Tree = ("Dial", {"timeout": "20"}, "", [("Number", {}, "+4930123456", [])])
    assert tree(parsed(voice(START, Dial(to="+4930123456", timeout_seconds=20)))) == ("Response", {}, "", [start, dial])


def test_a_call_that_goes_on_without_transcription_has_no_stream() -> None:
    assert tree(parsed(voice(None, Enqueue(queue="support")))) == (
        "Response",
        {},
        "",
        [("Enqueue", {}, "support", [])],
    )


def test_the_encoding_is_declared() -> None:
    written = voice(None, Enqueue(queue="Büro"))
    assert written.startswith("<?xml version='1.0' encoding='UTF-8'?>")
    assert "Büro" in written


NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def kept(text: str) -> str:
    return NO_XML.sub("", text)


def read_back(text: str) -> str:
    """Tell how a parser reads the text of an element (XML 1.0, 2.11)."""
    return kept(text).replace("\r\n", "\n").replace("\r", "\n")


@given(start=starts(HOSTILE), text=HOSTILE)
def test_nothing_hostile_breaks_out_or_makes_xml_that_cannot_be_read(start: StreamStart, text: str) -> None:
    for then in (Redirect(url=text), Enqueue(queue=text), Dial(to=text, caller_id=text), Dial(to=f"sip:{text}")):
        begun, going_on = parsed(voice(start, then))
        (stream,) = begun
        assert (begun.tag, stream.tag, stream.attrib["url"]) == ("Start", "Stream", kept(start.url))
        assert [(each.tag, each.attrib) for each in stream] == [
            ("Parameter", {"name": kept(name), "value": kept(value)}) for name, value in start.parameters.items()
        ]
        target = going_on[0] if isinstance(then, Dial) else going_on
        assert (target.text or "") == read_back(f"sip:{text}" if target.tag == "Sip" else text)
        assert len(target) == 0


@pytest.mark.parametrize(
    ("characters", "remaining"),
    [
        ("\0\x01\x08\x0b\x0c\x0e\x1f", ""),
        ("\t \x7f\x85\ud7ff\ue000\ufdd0\ufffd", "\t \x7f\x85\ud7ff\ue000\ufdd0\ufffd"),
        ("\ud800\udbff\udc00\udfff", ""),
        ("\ufffe\uffff", ""),
        ("\U00010000\U0010ffff", "\U00010000\U0010ffff"),
    ],
)
def test_what_xml_cannot_hold_is_left_out_and_nothing_else(characters: str, remaining: str) -> None:
    (verb,) = parsed(voice(None, Enqueue(queue=f"a{characters}b")))
    assert verb.text == f"a{remaining}b"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            TwilioVoice(dial="+18005551212", caller_id="+18005550100", timeout_seconds=20),
            Dial(to="+18005551212", caller_id="+18005550100", timeout_seconds=20),
        ),
        (TwilioVoice(dial="sip:desk@pbx.example"), Dial(to="sip:desk@pbx.example")),
        (TwilioVoice(pause_seconds=60), Pause(seconds=60)),
        (TwilioVoice(redirect="https://ivr.example/next"), Redirect(url="https://ivr.example/next")),
        (TwilioVoice(enqueue="support", when_full="busy"), Enqueue(queue="support")),
        (None, SILENCE),
    ],
)
def test_what_comes_next_is_as_the_route_has_it(settings: TwilioVoice | None, expected: Next) -> None:
    assert what_comes_next(settings) == expected


@given(
    name=st.sampled_from(["dial", "redirect", "enqueue"]),
    text=HOSTILE | HOSTILE.map("sip:a@{}".format) | HOSTILE.map("https://{}".format) | NUMBER | SIP,
)
def test_what_the_settings_let_pass_is_written_as_it_stands_and_nothing_else_passes(name: str, text: str) -> None:
    try:
        settings = msgspec.convert({name: text}, TwilioVoice)
    except msgspec.ValidationError as error:
        refusal = str(error)
    else:
        refusal = "Expected nothing else"
        (verb,) = parsed(voice(None, what_comes_next(settings)))
        assert "".join(verb.itertext()) == text
    assert refusal.startswith("Expected ")


def test_a_stream_never_begins_without_something_to_come_next() -> None:
    response = parsed(voice(START, what_comes_next(None)))
    assert [verb.tag for verb in response] == ["Start", "Pause"]


@pytest.mark.parametrize("url", ["ws://a/b", "https://a/b", "wss://a/b?token=t", "wss://a/b#t", "/media", ""])
def test_a_url_that_twilio_refuses_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"^Expected a wss:// url without \? and #$"):
        StreamStart(url=url, name="n", status_callback="https://a/s")


@given(st.integers(1, LONGEST_PAIR), st.integers(0, 5))
def test_a_parameter_has_fewer_than_five_hundred_characters_with_its_name(length: int, more: int) -> None:
    name, value = "n" * length, "v" * (LONGEST_PAIR - length + more)
    assert fits(name, value) == (more == 0)
    if more:
        with pytest.raises(ValueError, match="499 characters with their value"):
            StreamStart(url="wss://a/b", name="n", status_callback="https://a/s", parameters={name: value})


@pytest.mark.parametrize("name", ["", "\0", "\ud800\x01"])
def test_a_parameter_of_which_no_name_is_left_does_not_fit(name: str) -> None:
    assert not fits(name, "value")
