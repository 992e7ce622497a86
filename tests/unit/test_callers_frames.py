from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.callers.frames import Close, FrameError, Message, MessageReader, Opcode, encode, read_close
from tests.wire_recorder import WireFrame, read_frames, server_frame

DATA = [Opcode.TEXT, Opcode.BINARY]
CONTROLS = [Opcode.PING, Opcode.PONG, Opcode.CLOSE]
SIZES = st.one_of(st.integers(0, 130), st.sampled_from([65_535, 65_536, 96_000]))


@st.composite
def messages(draw: st.DrawFn) -> Message:
    opcode = draw(st.sampled_from([*DATA, *CONTROLS]))
    if opcode is Opcode.TEXT:
        return Message(opcode, draw(st.text(max_size=200)).encode())
    return Message(opcode, draw(st.binary(max_size=125 if opcode in CONTROLS else 300)))


@st.composite
def as_sent(draw: st.DrawFn, said: list[Message]) -> bytes:
    """Send messages as a server may: data in pieces, and what is urgent between them."""
    sent = b""
    for message in said:
        cuts = sorted(draw(st.lists(st.integers(0, len(message.payload)), max_size=3)))
        if message.opcode in CONTROLS or not cuts:
            sent += server_frame(message.opcode, message.payload)
            continue
        pieces = [message.payload[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        for number, piece in enumerate(pieces):
            sent += server_frame(0 if number else message.opcode, piece, fin=number == len(pieces) - 1)
    return sent


def receive(data: bytes, cuts: list[int]) -> tuple[list[Message], str]:
    """Read bytes that come cut so, and tell what they were and what was wrong with them."""
    reader = MessageReader()
    found: list[Message] = []
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    try:
        for begin, end in itertools.pairwise(places):
            found.extend(reader.receive_data(data[begin:end]))
    except FrameError as error:
        return found, str(error)
    return found, ""


@given(st.sampled_from([*DATA, *CONTROLS]), SIZES, st.binary(min_size=4, max_size=4), st.integers())
def test_a_frame_is_one_whole_masked_message(opcode: Opcode, size: int, key: bytes, seed: int) -> None:
    payload = random.Random(seed).randbytes(size)
    assert read_frames(encode(opcode, payload, key)) == [(WireFrame(opcode=opcode, payload=payload), key)]


def test_masking_is_that_of_the_rfc() -> None:
    assert encode(Opcode.TEXT, b"Hello", bytes.fromhex("37fa213d")).hex() == "818537fa213d7f9f4d5158"  # RFC 6455 5.7


@given(st.data(), st.lists(messages(), max_size=5), st.lists(st.integers(0, 2000), max_size=20))
def test_messages_come_whole_however_they_are_cut(data: st.DataObject, said: list[Message], cuts: list[int]) -> None:
    assert receive(data.draw(as_sent(said)), cuts) == (said, "")


def test_what_is_urgent_comes_between_the_pieces_of_another() -> None:
    sent = server_frame(1, b"he", fin=False) + server_frame(9, b"?") + server_frame(0, b"llo")
    assert receive(sent, []) == ([Message(Opcode.PING, b"?"), Message(Opcode.TEXT, b"hello")], "")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=20))
def test_garbage_is_told_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    assert receive(data, cuts) == receive(data, [])


@given(st.data(), st.lists(messages(), max_size=3), st.binary(max_size=20))
def test_what_came_before_garbage_counts(data: st.DataObject, said: list[Message], tail: bytes) -> None:
    found, wrong = receive(data.draw(as_sent(said)) + b"\xff" + tail, [])
    assert (found, wrong) == (said, "reserved bits in a frame's head, 0xff" if tail else "")


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        (encode(Opcode.TEXT, b"x", bytes(4)), "only a client"),
        (server_frame(0x40 | 2, b""), "reserved bits"),
        (server_frame(3, b""), "unknown kind 0x3"),
        (server_frame(9, b"", fin=False), "in pieces"),
        (server_frame(8, bytes(126)), "too long"),
        (server_frame(0, b"x"), "a piece of no message"),
        (server_frame(1, b"x", fin=False) + server_frame(1, b"x"), "within another"),
        (server_frame(1, b"\xff"), "not UTF-8"),
        (server_frame(1, b"\xc3", fin=False) + server_frame(0, b""), "not UTF-8"),
        (b"\x82\x7f" + bytes([0x80, *range(7)]), "a frame of 922"),
        (b"\x82\x7f" + (1 << 24 | 1).to_bytes(8, "big"), "a frame of 16777217 bytes"),
        (server_frame(2, bytes(1 << 23), fin=False) + server_frame(0, bytes(1 << 23 | 1)), "of more than 16777216"),
    ],
)
def test_what_no_server_may_send_is_named(sent: bytes, wrong: str) -> None:
    assert wrong in receive(sent, [])[1]


def test_a_character_cut_in_two_by_pieces_is_whole() -> None:
    sent = server_frame(1, b"\xc3", fin=False) + server_frame(0, b"\xa4")
    assert receive(sent, []) == ([Message(Opcode.TEXT, "ä".encode())], "")


@pytest.mark.parametrize("close", [Close(None), Close(1000), Close(4001, "no, thänks")])
def test_a_close_says_what_it_says(close: Close) -> None:
    assert read_close(close.payload) == close


@pytest.mark.parametrize(("payload", "wrong"), [(b"\x03", "half a code"), (b"\x03\xe8\xff", "not UTF-8")])
def test_a_close_that_says_nothing_sensible_is_named(payload: bytes, wrong: str) -> None:
    with pytest.raises(FrameError, match=wrong):
        read_close(payload)
