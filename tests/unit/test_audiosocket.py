from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.asterisk.audiosocket import MOST_SKIPPED, SILENCE, TERMINATE, AudioSocketWire, Kind, encode
from adapters.stream import (
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Encoding,
    StreamEnd,
    StreamEnded,
    StreamEvent,
    StreamStarted,
    Track,
    TrackRole,
    WireError,
)

CAPTURES = Path(__file__).parent.parent / "captures"
NAMES = sorted(path.name.removesuffix(".json") for path in CAPTURES.glob("asterisk-[!w]*.json"))
TRACK = Track(id="inbound", role=TrackRole.INBOUND)
CALL = uuid.UUID("7b3a4603-5d43-46db-b93b-d2980fa14c68")
HELLO = encode(Kind.UUID, CALL.bytes)


def wire() -> AudioSocketWire:
    return AudioSocketWire(TRACK)


def read(data: bytes) -> list[StreamEvent]:
    return wire().receive_data(data)


def read_pieces(pieces: list[bytes]) -> list[StreamEvent]:
    reader = wire()
    return [event for piece in pieces for event in reader.receive_data(piece)]


def capture(name: str) -> tuple[bytes, dict[str, object]]:
    told: dict[str, object] = json.loads((CAPTURES / f"{name}.json").read_text())
    return (CAPTURES / f"{name}.from-asterisk.bin").read_bytes(), told


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_session_reads_as_its_frames(name: str) -> None:
    data, told = capture(name)
    kinds = told["frame_kinds"]
    assert isinstance(kinds, dict)
    audio = {kind: count for kind, count in kinds.items() if kind.startswith("0x1")}
    events = read(data)
    frames = [event for event in events if isinstance(event, AudioFrame)]
    assert [isinstance(event, StreamStarted) for event in events[:1]] == [True] * bool(data)
    assert len(frames) == sum(audio.values())
    assert len([event for event in events if isinstance(event, DigitPressed)]) == kinds.get("0x03/1B", 0)
    sizes = {kind: int(kind.partition("/")[2][:-1]) for kind in audio}
    assert sum(len(frame.payload) for frame in frames) == sum(sizes[kind] * audio[kind] for kind in audio)
    assert {frame.format.rate_hz for frame in frames} <= {
        16_000 if kind.startswith("0x12") else 8_000 for kind in audio
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_session_reads_the_same_byte_by_byte(name: str) -> None:
    data = capture(name)[0][:4000]
    assert read_pieces([data[i : i + 1] for i in range(len(data))]) == read(data)


@given(st.data())
def test_it_reads_the_same_cut_anywhere(data: st.DataObject) -> None:
    frames = [encode(data.draw(st.integers(0x02, 0x20)), data.draw(st.binary(max_size=50))) for _ in range(5)]
    whole = HELLO + b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read_pieces(pieces) == read(whole)


@given(st.integers(0, 4000), st.binary(max_size=400), st.integers(1, 100))
def test_cut_short_with_a_random_tail_it_gives_events_or_the_one_error(cut: int, tail: bytes, step: int) -> None:
    data = capture(NAMES[0])[0][:cut] + tail
    reader = wire()
    try:
        for start in range(0, len(data), step):
            for event in reader.receive_data(data[start : start + step]):
                assert isinstance(event, StreamEvent)
    except WireError:
        assert not data.startswith(HELLO)


def test_the_uuid_names_the_stream_and_the_call() -> None:
    assert read(HELLO) == [StreamStarted(stream_id=str(CALL), external_call_id=str(CALL), tracks=(TRACK,))]


@pytest.mark.parametrize(
    "first",
    [b"GET / HTTP/1.1\r\n", encode(Kind.SLIN, bytes(320)), encode(Kind.UUID, bytes(15)), encode(Kind.DIGIT, b"1")],
)
def test_anything_but_a_uuid_first_is_the_peers_fault(first: bytes) -> None:
    with pytest.raises(WireError, match="UUID"):
        read(first)


def test_a_wrong_length_is_seen_before_its_payload_is_waited_for() -> None:
    with pytest.raises(WireError):
        read(b"\x01\xff\xff")


@pytest.mark.parametrize("encoding", list(Encoding))
def test_what_comes_under_the_kind_of_8_khz_is_for_the_listener_to_say(encoding: Encoding) -> None:
    reader = AudioSocketWire(TRACK, encoding)
    events = reader.receive_data(HELLO + encode(Kind.SLIN, bytes(160)) + encode(Kind.SLIN + 2, bytes(640)))
    assert [event.format for event in events if isinstance(event, AudioFrame)] == [
        AudioFormat(encoding, 8_000),
        AudioFormat(Encoding.L16, 16_000),
    ]


def test_a_second_uuid_is_skipped() -> None:
    assert read(HELLO + encode(Kind.UUID, uuid.uuid4().bytes) + encode(Kind.DIGIT, b"1"))[1:] == [
        DigitPressed("inbound", "1")
    ]


@pytest.mark.parametrize(
    ("kind", "rate_hz"),
    list(enumerate([8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000], start=0x10)),
)
def test_the_kind_tells_the_rate(kind: int, rate_hz: int) -> None:
    payload = bytes(range(240))
    assert read(HELLO + encode(kind, payload))[1:] == [
        AudioFrame("inbound", AudioFormat(Encoding.L16, rate_hz), payload)
    ]


@given(st.integers(0x19, 0xFE) | st.sampled_from([0x02, 0x04, 0x0F]), st.binary(max_size=100))
def test_unknown_kinds_are_skipped_by_their_length(kind: int, payload: bytes) -> None:
    assert read(HELLO + encode(kind, payload) + encode(Kind.DIGIT, b"#"))[1:] == [DigitPressed("inbound", "#")]


def test_a_peer_that_sends_hardly_anything_else_is_broken() -> None:
    reader = wire()
    reader.receive_data(HELLO + (encode(0x7F, b"x") + encode(Kind.SLIN, bytes(2))) * (3 * MOST_SKIPPED))
    with pytest.raises(WireError, match="hardly any frame"):
        reader.receive_data(encode(Kind.SLIN, b"") * (5 * MOST_SKIPPED))


def test_frames_of_any_size() -> None:
    sizes = [1, 2, 319, 321, 640, 65535]
    frames = read(HELLO + b"".join(encode(Kind.SLIN, bytes(size)) for size in sizes))[1:]
    assert [len(frame.payload) for frame in frames if isinstance(frame, AudioFrame)] == sizes
    assert read(HELLO + encode(Kind.SLIN, b""))[1:] == []


@pytest.mark.parametrize(
    ("payload", "digits"), [(b"5", "5"), (b"*", "*"), (b"d", "D"), (b"x", ""), (b"12", ""), (b"", "")]
)
def test_only_keys_of_a_telephone_are_digits(payload: bytes, digits: str) -> None:
    events = read(HELLO + encode(Kind.DIGIT, payload))[1:]
    assert [event.digit for event in events if isinstance(event, DigitPressed)] == list(digits)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (TERMINATE, StreamEnd.HANGUP),
        (b"\x00\x00\x01\xff", StreamEnd.HANGUP),
        (encode(Kind.ERROR, b"\x01"), StreamEnd.HANGUP),
        (encode(Kind.ERROR, b"\x02"), StreamEnd.ERROR),
        (encode(Kind.ERROR, b""), StreamEnd.ERROR),
    ],
)
def test_the_peer_can_end_the_stream_and_nothing_counts_after_that(frame: bytes, reason: StreamEnd) -> None:
    reader = wire()
    events = reader.receive_data(HELLO + frame + encode(Kind.DIGIT, b"1"))
    assert [type(event) for event in events] == [StreamStarted, StreamEnded]
    assert isinstance(events[1], StreamEnded)
    assert events[1].reason == reason
    assert reader.receive_data(encode(Kind.DIGIT, b"2")) == []


def test_an_end_before_the_uuid_is_an_end() -> None:
    assert read(TERMINATE) == [StreamEnded(StreamEnd.HANGUP)]


def test_what_goes_to_asterisk_is_slin_8_khz() -> None:
    assert encode(Kind.SLIN, bytes(320)) == SILENCE
    assert encode(Kind.TERMINATE, b"") == TERMINATE
    assert SILENCE.startswith(b"\x10\x01\x40")
