from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from adapters.freeswitch.server import FreeSwitchDialect, transcription
from adapters.stream import (
    AudioFrame,
    StreamEnd,
    StreamEnded,
    StreamMessage,
    StreamStarted,
    Track,
    TrackRole,
    Transcript,
    WireError,
)
from adapters.wire.access import Access, Approach
from adapters.wire.introduction import CROSSED, NO_JSON, ODD_RATE, TOO_MUCH, Introduction
from adapters.wire.parameters import LONGEST_VALUE
from adapters.wire.preamble_pcm import Opening, PreamblePcmWire
from config.listeners import FreeSwitchListener, Token
from config.secret import Secret
from tests.recorded import FORKS, fork

SECRET = "a-token-of-twenty-four-characters"  # noqa: S105  a test's
KNOWN = (Token(name="fs", secret=Secret(SECRET)),)
STEREO = {
    "freeswitch-stereo-16k",
    "freeswitch-stereo-8k",
    "freeswitch-stereo-late-writer",
    "freeswitch-slow-handshake-1500",
}


def introduction(query: dict[str, str] | None = None, *, shown: bool = True, **settings: Any) -> Introduction:
    listener = FreeSwitchListener(**settings)
    return Introduction(listener, query or {}, Access(listener), shown=shown)


def opened(metadata: str | None = None, query: dict[str, str] | None = None, **settings: Any) -> Opening:
    return introduction(query, **settings).open(metadata)


def tracks(opening: Opening) -> list[tuple[str, str, str | None]]:
    return [(track.id, track.role, track.label) for track in opening.started.tracks]


def test_without_a_word_a_stream_is_what_the_listener_says() -> None:
    opening = opened(rate_hz=16000, role="mixed", labels={"mixed": "everybody"})
    assert opening.started == StreamStarted(
        stream_id=None,
        external_call_id=None,
        tracks=(Track(id="mixed", role=TrackRole.MIXED, label="everybody"),),
    )
    assert str(opening.format) == "L16 16000"


@pytest.mark.parametrize(
    ("metadata", "query", "rate_hz"),
    [
        (None, {}, 8_000),
        (None, {"rate": "16000"}, 16_000),
        ('{"rate":"24000"}', {"rate": "16000"}, 24_000),
        ('{"sampleRate":48000}', {}, 48_000),
    ],
)
def test_the_metadata_goes_before_the_url_and_that_before_the_listener(
    metadata: str | None, query: dict[str, str], rate_hz: int
) -> None:
    assert opened(metadata, query).format.rate_hz == rate_hz


LABELS = {"inbound": "customer", "outbound": "agent"}
CUSTOMER, AGENT = ("inbound", "inbound", "customer"), ("outbound", "outbound", "agent")


@pytest.mark.parametrize(
    ("metadata", "query", "listener", "expected"),
    [
        (None, {}, {}, [CUSTOMER]),
        (None, {"channels": "2"}, {}, [CUSTOMER, AGENT]),
        (None, {}, {"channels": 2}, [CUSTOMER, AGENT]),
        (None, {"mix": "stereo"}, {"role": "outbound"}, [AGENT, CUSTOMER]),
        (None, {"channels": "2"}, {"role": "mixed"}, [CUSTOMER, AGENT]),
        ('{"channels":1}', {"channels": "2"}, {}, [CUSTOMER]),
        ('{"role":"outbound"}', {"role": "mixed"}, {}, [AGENT]),
        ('{"label":"vip"}', {}, {}, [("inbound", "inbound", "vip")]),
        (None, {"mix": "mixed"}, {}, [("mixed", "mixed", None)]),
    ],
)
def test_who_speaks(
    metadata: str | None, query: dict[str, str], listener: dict[str, Any], expected: list[tuple[str, str, str | None]]
) -> None:
    assert tracks(opened(metadata, query, labels=LABELS, **listener)) == expected


def test_metadata_becomes_the_calls_name_its_parameters_and_wishes() -> None:
    metadata = '{"callId":"c1","calling":"1555","vip":true,"language":"de","options":{"words":true},"mix":"stereo"}'
    started = opened(metadata, {"queue": "support", "calling": "0", "language": "en"}).started
    assert (started.external_call_id, started.stream_id) == ("c1", "c1")
    assert started.parameters == {"queue": "support", "calling": "1555", "callId": "c1", "vip": "true"}
    assert started.wishes == {"language": "de", "options": {"words": True}}
    assert started.remarks == ()


@pytest.mark.parametrize(
    "metadata", ['Doe"}', '{"from":"Jane', '{"x":"say "hi""}', "[1,2]", '"text"', '{"a":"' + "x" * 8_186, "ünïcode"]
)
def test_what_is_no_json_object_is_kept_as_it_is_and_the_call_goes_on(metadata: str) -> None:
    started = opened(metadata, {"call": "c1"}).started
    assert started.external_call_id == "c1"
    assert started.parameters == {"call": "c1", "metadata": metadata[:LONGEST_VALUE]}
    assert started.remarks == (NO_JSON,)


def test_a_call_that_the_url_names_otherwise_is_the_metadatas_and_the_operator_is_told() -> None:
    started = opened('{"callId":"old"}', {"call": "new"}).started
    assert (started.external_call_id, started.remarks) == ("old", (CROSSED,))
    assert opened('{"callId":"same"}', {"call": "same"}).started.remarks == ()


def test_what_is_left_out_is_told() -> None:
    started = opened("{" + ",".join(f'"n{number}":1' for number in range(100)) + "}").started
    assert (len(started.parameters), started.remarks) == (64, (TOO_MUCH,))


def test_a_url_that_cannot_be_used_is_refused_before_there_is_a_stream() -> None:
    with pytest.raises(ValueError, match="Expected channels"):
        introduction({"channels": "5"})


@pytest.mark.parametrize("rate", [11_025, 5_000, "96k"])
def test_a_rate_in_the_metadata_that_cannot_be_taken_is_left_aside_and_the_call_goes_on(rate: object) -> None:
    opening = opened(json.dumps({"rate": rate}), {"rate": "16000"})
    assert opening.format.rate_hz == 16_000
    assert opening.started.parameters == {"rate": str(rate)}
    assert opening.started.remarks == (ODD_RATE,)


def test_a_token_in_the_metadata_lets_in_and_goes_no_further() -> None:
    started = opened(f'{{"token":"{SECRET}","a":"1"}}', credentials=KNOWN, shown=False).started
    assert started.parameters == {"a": "1"}


@pytest.mark.parametrize("metadata", [None, "{}", '{"token":"wrong"}', '{"token":17}', f'{{"token":"{SECRET}"'])
def test_without_one_that_is_known_there_is_no_stream(metadata: str | None) -> None:
    with pytest.raises(WireError, match="token"):
        opened(metadata, credentials=KNOWN, shown=False)


def test_a_secret_elsewhere_in_the_metadata_is_masked() -> None:
    assert opened(f'{{"token":"{SECRET}', credentials=KNOWN).started.parameters == {"metadata": '{"token":"********'}
    nested = opened(f'{{"auth":{{"token":"{SECRET}"}}}}', {"x": SECRET, SECRET: "y"}, credentials=KNOWN).started
    assert nested.parameters == {"auth.token": "********", "x": "********", "********": "y"}
    named = opened(f'{{"callId":"{SECRET}","label":"{SECRET}"}}', credentials=KNOWN).started
    assert (named.external_call_id, named.wishes) == ("********", {"label": "********"})


def test_a_secret_is_masked_before_the_metadata_is_cut() -> None:
    metadata = "x" * (LONGEST_VALUE - len(SECRET) + 1) + SECRET
    assert "********" in opened(metadata, credentials=KNOWN).started.parameters["metadata"]


@pytest.mark.parametrize(("query", "wishes"), [({}, {"label": "vip"}), ({"channels": "2"}, {})])
def test_a_label_of_its_own_is_a_wish_of_a_fork_with_one_speaker(query: dict[str, str], wishes: dict[str, str]) -> None:
    assert opened('{"label":"vip"}', query).started.wishes == wishes


@pytest.mark.parametrize(("settings", "shown", "seconds"), [({}, True, 45.0), ({"metadata_token": True}, False, 5.0)])
def test_who_owes_a_token_has_less_time(settings: dict[str, Any], shown: bool, seconds: float) -> None:
    approach = Approach(client="127.0.0.1", headers=CIMultiDict(), tokens=(SECRET,) * shown)
    visit = FreeSwitchDialect(FreeSwitchListener(credentials=KNOWN, **settings)).visit(approach, {}, 0.0)
    assert (visit.limits.handshake_seconds, visit.known) == (seconds, shown)


@given(st.text(max_size=80), st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=4))
def test_whatever_the_metadata_is_there_is_a_stream_or_the_one_error(metadata: str, query: dict[str, str]) -> None:
    try:
        said = introduction(query)
    except ValueError:
        return
    try:
        opening = said.open(metadata)
    except WireError:
        return
    assert len(opening.started.tracks) in {1, 2}


def test_the_message_that_goes_back_is_what_mod_audio_fork_makes_an_event_of() -> None:
    transcript = Transcript(utterance_id="u", final=True, data='{"text":"naïve"}'.encode())
    assert transcription(transcript).decode() == '{"type":"transcription","data":{"text":"naïve"}}'


@pytest.mark.parametrize(
    ("offered", "chosen"), [([], None), (["audio.drachtio.org"], "audio.drachtio.org"), (["a", "b"], "a")]
)
def test_the_subprotocol_that_is_offered_is_taken(offered: list[str], chosen: str | None) -> None:
    assert FreeSwitchDialect(FreeSwitchListener()).subprotocol(offered) == chosen


@pytest.mark.parametrize("name", FORKS)
def test_a_recorded_session_reads_as_its_messages(name: str) -> None:
    session = fork(name)
    channels = 2 if name in STEREO else 1
    wire = PreamblePcmWire(introduction({"channels": str(channels)}).open)
    events = [event for message in session.said() for event in wire.receive_data(message)]
    texts = [text for text in session.said() if isinstance(text, str)]
    audio = b"".join(data for data in session.said() if isinstance(data, bytes))
    frames = [event for event in events if isinstance(event, AudioFrame)]
    assert [type(event) for event in events[:1]] == [StreamStarted] * bool(session.messages)
    later = texts[1:] if session.messages and isinstance(session.said()[0], str) else texts
    assert [event.text for event in events if isinstance(event, StreamMessage)] == later
    assert sum(len(frame.payload) for frame in frames) == len(audio)
    assert {frame.track for frame in frames} <= {"inbound", "outbound"}
    flushed = b"" in session.said()
    assert [event for event in events if isinstance(event, StreamEnded)] == [
        StreamEnded(StreamEnd.STOPPED, stays=True)
    ] * flushed
    if name.endswith("stereo-8k"):
        assert b"".join(frame.payload for frame in frames if frame.track == "inbound")[:2] == audio[:2]
