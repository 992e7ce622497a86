from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stream import (
    AudioFormat,
    AudioFrame,
    Encoding,
    Remark,
    StreamEnd,
    StreamEnded,
    StreamEvent,
    StreamMessage,
    StreamStarted,
    Track,
    TrackRole,
    WireError,
)
from adapters.wire.preamble_pcm import LONGEST_MESSAGE, SAME_SOUND, Opening, PreamblePcmWire
from tests.sound import prompt

LEFT = Track(id="inbound", role=TrackRole.INBOUND)
RIGHT = Track(id="outbound", role=TrackRole.OUTBOUND)
L16 = AudioFormat(Encoding.L16, 8_000)
END = StreamEnded(StreamEnd.STOPPED, stays=True)


class Reader:
    """A wire, and what its introduction was given."""

    def __init__(self, *tracks: Track) -> None:
        self.introduced: list[str | None] = []
        self.started = StreamStarted(stream_id="s", external_call_id="c", tracks=tracks or (LEFT,))
        self.wire = PreamblePcmWire(self._introduce)

    def _introduce(self, text: str | None) -> Opening:
        self.introduced.append(text)
        if text == "wrong":
            raise WireError("wrong")
        return Opening(started=self.started, format=L16)

    def read(self, *messages: str | bytes) -> list[StreamEvent]:
        return [event for message in messages for event in self.wire.receive_data(message)]

    def heard(self, *messages: bytes) -> dict[str, bytes]:
        """Read binary messages; give the audio of each track."""
        frames = [event for event in self.read(*messages) if isinstance(event, AudioFrame)]
        return {
            track.id: b"".join(frame.payload for frame in frames if frame.track == track.id)
            for track in self.started.tracks
        }


def test_a_text_that_comes_first_introduces_the_stream() -> None:
    reader = Reader()
    assert reader.read('{"a":1}', bytes(320)) == [reader.started, AudioFrame("inbound", L16, bytes(320))]
    assert reader.introduced == ['{"a":1}']


@pytest.mark.parametrize("first", [bytes(96_000), bytes(2)])
def test_audio_may_come_first_and_is_heard(first: bytes) -> None:
    reader = Reader()
    assert reader.read(first) == [reader.started, AudioFrame("inbound", L16, first)]
    assert reader.introduced == [None]


def test_an_introduction_that_cannot_be_used_is_the_peers_fault() -> None:
    with pytest.raises(WireError, match="wrong"):
        Reader().read("wrong")


def test_later_texts_are_messages_as_they_are() -> None:
    reader = Reader()
    assert reader.read("{}", '{"a":1}{"b":2}', "", "x" * (LONGEST_MESSAGE + 1)) == [
        reader.started,
        StreamMessage('{"a":1}{"b":2}'),
        StreamMessage("x" * LONGEST_MESSAGE),
    ]


@pytest.mark.parametrize("before", [(), ("{}",), (bytes(320),)])
def test_an_empty_binary_message_ends_the_stream_and_its_peer_stays(before: tuple[str | bytes, ...]) -> None:
    assert Reader().read(*before, b"")[-1] == END


def test_of_two_channels_the_first_track_is_the_left() -> None:
    samples = np.arange(6, dtype="<i2")
    assert Reader(LEFT, RIGHT).heard(samples.tobytes()) == {
        "inbound": samples[::2].tobytes(),
        "outbound": samples[1::2].tobytes(),
    }


def test_two_channels_of_one_sound_are_told_once() -> None:
    samples = np.repeat(np.frombuffer(prompt("conf-onlyperson") * 3, "<i2"), 2).tobytes()
    events = Reader(LEFT, RIGHT).read(*(samples[start : start + 640] for start in range(0, len(samples), 640)))
    assert [event for event in events if isinstance(event, Remark)] == [Remark(SAME_SOUND)]


@given(
    st.binary(max_size=400),
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
    st.sampled_from([(LEFT,), (LEFT, RIGHT)]),
)
def test_however_it_is_cut_each_track_hears_the_same(
    data: bytes, lengths: list[int], tracks: tuple[Track, ...]
) -> None:
    pieces, at = [], 0
    for number in range(len(data)):
        pieces.append(data[at : at + lengths[number % len(lengths)]])
        at += len(pieces[-1])
    whole = data[: len(data) // (2 * len(tracks)) * 2 * len(tracks)]
    expected = np.frombuffer(whole, "<i2").reshape(-1, len(tracks))
    heard = Reader(*tracks).heard(*filter(None, pieces))
    assert heard == {track.id: expected[:, place].tobytes() for place, track in enumerate(tracks)}


@given(st.lists(st.text(max_size=5) | st.binary(max_size=9), min_size=1, max_size=20))
def test_whatever_comes_is_an_event_or_the_one_error(messages: list[str | bytes]) -> None:
    reader = Reader(LEFT, RIGHT)
    try:
        events = reader.read(*messages)
    except WireError:
        assert messages[0] == "wrong"
        return
    assert events[0] == reader.started
    assert len(reader.introduced) == 1
    assert [event for event in events if isinstance(event, StreamMessage)] == [
        StreamMessage(text) for text in messages[1:] if isinstance(text, str) and text
    ]
