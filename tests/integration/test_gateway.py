from __future__ import annotations

import asyncio
import random
import sqlite3
import struct
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from adapters import connections
from adapters.asterisk.audiosocket import Kind, encode
from asr.types import DecodeRequest, ModelErrorCode
from gateway.service import Gateway
from tests.fakes import FakeEngine, bring_up
from tests.gateway_under_test import House, house, settings
from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
"""Three seconds."""

PAUSE = bytes(16 * 900)


async def test_a_call_becomes_signed_events_in_order(home: House) -> None:
    line = await home.call(SPEECH)
    await line.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert home.inbox.types(line.name) == ["call.started", "track.started", "transcript.final", "call.ended"]
    (final,) = home.inbox.of("transcript.final")
    assert final["text"].startswith("utterance of ")
    assert (final["track"], final["role"], final["label"]) == ("inbound", "inbound", None)
    assert 0 <= final["start_ms"] < final["end_ms"] <= 3200
    assert final["end_of_turn"] is True
    assert final["model"] == "fake int8"
    assert final["words"] is None
    assert ended["reason"] == "hangup"
    assert ended["audio_ms"] == {"inbound": pytest.approx(len(SPEECH) / 16, abs=1)}
    assert (ended["utterances"], ended["failed"], ended["last_sequence"]) == (1, 0, 4)


async def test_the_model_hears_the_speech_and_nothing_else(home: House) -> None:
    line = await home.call(PAUSE + SPEECH)
    await line.hang_up()
    await home.inbox.wait("call.ended")
    (request,) = home.engine.begun
    assert request.language == "en"
    assert request.audio_ms <= len(SPEECH) / 16 + 300 + 200  # pre-roll and tail
    (final,) = home.inbox.of("transcript.final")
    assert final["start_ms"] >= 850


async def test_speech_that_stops_with_the_socket_open_still_gives_its_final(home: House) -> None:
    line = await home.call(SPEECH)
    (final,) = await home.inbox.wait("transcript.final")
    assert final["end_of_turn"] is True
    assert home.inbox.of("call.ended") == []
    await line.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert ended["utterances"] == 1


async def test_a_connection_that_never_sends_audio_is_a_call_without_words(home: House) -> None:
    line = await home.call()
    await line.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["utterances"], ended["audio_ms"]) == (0, {"inbound": 0})


async def test_an_answer_ends_the_stream_so_that_the_dialplan_goes_on(tmp_path: Path) -> None:
    engine = FakeEngine(text=lambda request: "" if request.origin_sample < 16_000 else "Yes.")
    async with house(tmp_path, engine=engine, SPEECH__ENDPOINTING="auto_end") as home:
        line = await home.call(SPEECH + PAUSE)
        await engine.wait_begun(1)
        await line.say(SPEECH + PAUSE)
        assert (await line.rest()).endswith(b"\x00\x00\x00")
        await line.say(SPEECH)  # Asterisk sends on until it has read that; nobody hears it
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
    assert home.inbox.types(line.name) == ["call.started", "track.started", "transcript.final", "call.ended"]
    assert [final["text"] for final in home.inbox.of("transcript.final")] == ["Yes."]
    assert (ended["reason"], ended["suppressed"], ended["utterances"]) == ("stopped", {"empty": 1}, 2)
    assert ended["audio_ms"]["inbound"] <= 2 * len(SPEECH + PAUSE) / 16


async def test_a_final_is_rewritten_and_masked(tmp_path: Path) -> None:
    engine = FakeEngine(text=lambda _: "Oh heck.")
    wanted: dict[str, Any] = {"NORMALIZER": "tests.house_style:with_language", "MASK": "[heck]"}
    async with house(tmp_path, engine=engine, **{f"TRANSCRIPTS__{key}": each for key, each in wanted.items()}) as home:
        line = await home.call(SPEECH)
        await line.hang_up()
        await home.inbox.wait("call.ended")
    (final,) = home.inbox.of("transcript.final")
    assert final["text"] == f"{final['language']}: Oh h***."


async def test_digits_are_events(home: House) -> None:
    line = await home.call()
    for digit in b"15#":
        line.write(encode(Kind.DIGIT, bytes([digit])))
    await line.hang_up()
    await home.inbox.wait("call.ended")
    digits = home.inbox.of("call.digit")
    assert [each["digit"] for each in digits] == ["1", "5", "#"]
    assert all(each["track"] == "inbound" and each["at_ms"] >= 0 for each in digits)


async def test_finals_come_in_the_order_of_speech(tmp_path: Path) -> None:
    engine = FakeEngine(held=True)
    async with house(tmp_path, engine=engine) as home:
        line = await home.call(PAUSE.join([SPEECH[:16_000], SPEECH[:24_000], b""]))
        await engine.wait_begun(1)
        await line.hang_up()
        await engine.let_go()
        await home.inbox.wait("call.ended")
        starts = [each["start_ms"] for each in home.inbox.of("transcript.final")]
        assert len(starts) == 2
        assert starts == sorted(starts)


async def test_an_utterance_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    engine = FakeEngine(fails=lambda request: request.origin_sample < 16_000)
    async with house(tmp_path, engine=engine) as home:
        line = await home.call(SPEECH + PAUSE + SPEECH)
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        (failed,) = home.inbox.of("transcript.failed")
        (final,) = home.inbox.of("transcript.final")
        assert failed["reason"] == failed["error"]["code"] == "model_failed"
        assert 0 <= failed["start_ms"] < failed["end_ms"] <= final["start_ms"]
        assert (ended["utterances"], ended["failed"]) == (2, 1)


async def test_a_crash_of_the_model_loses_nothing(tmp_path: Path) -> None:
    engine = FakeEngine(script={1: ModelErrorCode.CRASHED})
    async with house(tmp_path, engine=engine) as home:
        line = await home.call(SPEECH)
        await line.hang_up()
        await home.inbox.wait("call.ended")
        assert len(home.inbox.of("transcript.final")) == 1


async def test_models_are_swapped_under_a_call_and_nothing_is_lost(tmp_path: Path) -> None:
    before, after = FakeEngine(held=True, text=lambda _: "before"), FakeEngine(text=lambda _: "after")
    async with house(tmp_path, engine=before, more=[after]) as home:
        line = await home.call(PAUSE.join([SPEECH, SPEECH, b""]))
        await before.wait_begun(1)
        await home.gateway.control.load_models(final="tiny")
        await after.wait_begun(1)
        await before.let_go()
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        assert [each["text"] for each in home.inbox.of("transcript.final")] == ["before", "after"]
        assert (ended["utterances"], ended["failed"]) == (2, 0)


async def test_no_text_is_no_final_and_is_counted(tmp_path: Path) -> None:
    def nothing(_request: DecodeRequest) -> str:
        return ""

    async with house(tmp_path, engine=FakeEngine(text=nothing)) as home:
        line = await home.call(SPEECH)
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        assert home.inbox.of("transcript.final") == []
        assert (ended["utterances"], ended["suppressed"]) == (1, {"empty": 1})


async def test_what_is_not_decoded_in_time_is_named_and_the_call_ends(tmp_path: Path) -> None:
    engine = FakeEngine(held=True)
    async with house(tmp_path, engine=engine, CALLS__FINISH_SECONDS=0.2) as home:
        line = await home.call(SPEECH + PAUSE + SPEECH)
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        assert [each["reason"] for each in home.inbox.of("transcript.failed")] == ["deadline", "deadline"]
        assert ended["failed"] == 2
        await engine.let_go()


@pytest.mark.parametrize(
    "attack",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x01\xff\xff",
        random.Random(1).randbytes(100_000),
        encode(Kind.SLIN, bytes(320)),
        b"",
    ],
    ids=["http", "long uuid", "noise", "no uuid", "nothing"],
)
async def test_garbage_costs_only_its_own_connection(home: House, attack: bytes) -> None:
    good = await home.call(SPEECH)
    bad = await home.connect()
    bad.write(attack)
    if attack:
        assert await bad.rest() in {b"\x00\x00\x00", b""}
    await bad.hang_up()
    await good.hang_up()
    await home.inbox.wait("call.ended")
    assert len(home.inbox.of("transcript.final")) == 1
    assert {each.data["source"]["call_id"] for each in home.inbox.received} == {good.name}


async def test_who_sends_no_uuid_is_sent_away(tmp_path: Path) -> None:
    async with house(tmp_path, AUDIOSOCKET__0__UUID_TIMEOUT_SECONDS=0.2) as home:
        silent = await home.connect()
        assert await silent.rest() == b"\x00\x00\x00"
        await silent.hang_up()


async def test_an_idle_stream_ends_as_a_setting_wants_it_and_nobody_else(tmp_path: Path) -> None:
    async with house(
        tmp_path, AUDIOSOCKET__0__IDLE_TIMEOUT_SECONDS=0.5, AUDIOSOCKET__0__KEEP_ALIVE_SECONDS=0.1
    ) as home:
        idle = await home.call(SPEECH[:1600])
        (ended,) = await home.inbox.wait("call.ended")
        assert ended["reason"] == "idle"
        assert (await idle.rest()).endswith(b"\x00\x00\x00")
        await idle.hang_up()
        again = await home.call(SPEECH)
        await again.hang_up()
        await home.inbox.wait("transcript.final", external_call_id=again.name)


async def test_a_peer_that_vanishes_in_mid_frame_still_gets_its_end(home: House) -> None:
    line = await home.call(SPEECH)
    line.write(encode(Kind.SLIN, bytes(320))[:100])
    await line.writer.drain()
    # A reset instead of an orderly end.
    line.writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))
    line.writer.transport.abort()
    (ended,) = await home.inbox.wait("call.ended")
    assert ended["reason"] == "hangup"
    assert len(home.inbox.of("transcript.final")) == 1


async def test_a_flood_of_digits_costs_only_its_own_call(home: House) -> None:
    good = await home.call(SPEECH)
    bad = await home.call()
    bad.write(encode(Kind.DIGIT, b"1") * 5_000)
    assert (await bad.rest()).endswith(b"\x00\x00\x00")
    (ended,) = await home.inbox.wait("call.ended", external_call_id=bad.name)
    assert (ended["reason"], ended["error"]["message"]) == ("protocol_error", "too many messages")
    await bad.hang_up()
    await good.hang_up()
    (ended,) = await home.inbox.wait("call.ended", external_call_id=good.name)
    assert ended["reason"] == "hangup"


async def test_a_flood_of_audio_costs_only_its_own_call(home: House) -> None:
    bad = await home.call()
    bad.write(encode(Kind.SLIN, bytes(65_534)) * 500)  # half an hour of silence at once
    good = await home.call(SPEECH)
    await good.hang_up()
    await bad.hang_up()
    await home.inbox.wait("call.ended", external_call_id=good.name)
    assert len(home.inbox.of("transcript.final", good.name)) == 1
    (ended,) = await home.inbox.wait("call.ended", external_call_id=bad.name)
    assert ended["audio_ms"]["inbound"] < 62_000


async def test_asterisk_is_kept_from_hanging_up_in_silence(tmp_path: Path) -> None:
    async with house(tmp_path, AUDIOSOCKET__0__KEEP_ALIVE_SECONDS=0.1) as home:
        line = await home.call()
        async with asyncio.timeout(10):
            assert await line.reader.readexactly(2 * 323) == encode(Kind.SLIN, bytes(320)) * 2
        await line.hang_up()


async def test_a_full_gateway_refuses_so_that_the_dialplan_goes_on(tmp_path: Path) -> None:
    async with house(tmp_path, CALLS__MAX_CALLS=1) as home:
        first = await home.call(SPEECH)
        await home.inbox.wait("call.started")
        second = await home.call(SPEECH)
        assert await second.rest() == b"\x00\x00\x00"
        await second.hang_up()
        await first.hang_up()
        await home.inbox.wait("call.ended")
        assert {each.data["source"]["call_id"] for each in home.inbox.received} == {first.name}


async def test_draining_refuses_new_calls_and_lets_the_old_ones_run_on(home: House) -> None:
    first = await home.call()
    await home.inbox.wait("call.started")
    home.gateway.stop()
    second = await home.call()
    assert await second.rest() == b"\x00\x00\x00"
    await second.hang_up()
    await first.say(SPEECH)
    await home.inbox.wait("transcript.final")
    await first.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert ended["reason"] == "hangup"


async def test_a_second_stop_finishes_what_was_said_and_ends_the_calls(home: House) -> None:
    line = await home.call(SPEECH)
    await home.inbox.wait("track.started")
    home.gateway.stop()
    home.gateway.stop()
    (ended,) = await home.inbox.wait("call.ended")
    assert ended["reason"] == "shutdown"
    assert len(home.inbox.of("transcript.final")) == 1
    assert (await line.rest()).endswith(b"\x00\x00\x00")
    await line.hang_up()


async def test_a_model_that_hangs_does_not_keep_the_gateway_from_ending(tmp_path: Path) -> None:
    engine = FakeEngine(held=True)  # for ever
    async with house(tmp_path, engine=engine, CALLS__HURRY_SECONDS=1) as home:
        line = await home.call(SPEECH)
        await home.inbox.wait("track.started")
        home.gateway.stop()
        home.gateway.stop()
        (ended,) = await home.inbox.wait("call.ended")
        assert [each["reason"] for each in home.inbox.of("transcript.failed")] == ["deadline"]
        assert ended["failed"] == 1
        await line.hang_up()


async def test_a_store_that_hangs_does_not_keep_the_gateway_from_ending(tmp_path: Path) -> None:
    async with house(tmp_path, CALLS__HURRY_SECONDS=1) as home:
        line = await home.call()
        await home.inbox.wait("track.started")
        with closing(sqlite3.connect(tmp_path / "outbox.sqlite3", isolation_level=None)) as neighbour:
            neighbour.execute("BEGIN EXCLUSIVE")
            home.gateway.stop()
            home.gateway.stop()
            await asyncio.wait_for(home.running, 30)
        await line.hang_up()
    async with house(tmp_path) as home:
        (ended,) = await home.inbox.wait("call.ended")
        assert (ended["source"]["call_id"], ended["reason"]) == (line.name, "gateway_restart")


async def test_a_start_that_cannot_open_its_store_can_be_stopped(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        line = await home.call()
        await line.hang_up()
        await home.inbox.wait("call.ended")
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite3", isolation_level=None)) as neighbour:
        neighbour.execute("BEGIN EXCLUSIVE")
        gateway = Gateway(settings(tmp_path, 1, CALLS__HURRY_SECONDS=1), bring_up(FakeEngine()))
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            running = group.create_task(gateway.run())
            await asyncio.sleep(0)
            gateway.stop()
            await running


async def test_a_peer_that_stalls_in_mid_frame_costs_only_itself(home: House) -> None:
    stalled = await home.call(SPEECH[:16_000])
    stalled.write(encode(Kind.SLIN, bytes(320))[:7])
    good = await home.call(SPEECH)
    await good.hang_up()
    await home.inbox.wait("call.ended", external_call_id=good.name)
    await home.inbox.wait("transcript.final", external_call_id=stalled.name)
    await stalled.hang_up()
    (ended,) = await home.inbox.wait("call.ended", external_call_id=stalled.name)
    assert ended["utterances"] == 1


@pytest.mark.parametrize("frame", [encode(Kind.SLIN, b""), encode(0x7F, b"")], ids=["empty audio", "unknown"])
async def test_a_flood_of_nothing_is_broken_off(home: House, frame: bytes) -> None:
    bad = await home.call()
    bad.write(frame * 20_000)
    assert (await bad.rest()).endswith(b"\x00\x00\x00")
    (ended,) = await home.inbox.wait("call.ended", external_call_id=bad.name)
    assert ended["reason"] == "protocol_error"
    await bad.hang_up()


async def test_connections_that_say_nothing_make_room_for_those_that_do(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_WAITING", 3)
    silent = [await home.connect() for _ in range(3)]
    line = await home.call(SPEECH)
    assert await silent[0].rest() == b"\x00\x00\x00"
    await line.hang_up()
    await home.inbox.wait("call.ended", external_call_id=line.name)
    for each in silent:
        await each.hang_up()


async def test_the_drain_ends_when_its_time_is_over(tmp_path: Path) -> None:
    async with house(tmp_path, CALLS__DRAIN_SECONDS=0.1) as home:
        line = await home.call()
        await home.inbox.wait("call.started")
        home.gateway.stop()
        (ended,) = await home.inbox.wait("call.ended")
        assert ended["reason"] == "shutdown"
        await line.hang_up()


async def test_many_calls_at_once_each_get_their_own_words(home: House) -> None:
    lines = [await home.call(SPEECH) for _ in range(200)]
    for line in lines:
        await line.hang_up()
    await home.inbox.wait("call.ended", len(lines))
    for line in lines:
        assert home.inbox.types(line.name) == ["call.started", "track.started", "transcript.final", "call.ended"]
    assert len({each["call_id"] for each in home.inbox.of("call.ended")}) == len(lines)


async def test_words_and_segments_come_when_a_setting_asks_for_them(tmp_path: Path) -> None:
    async with house(tmp_path, TRANSCRIPTS__WORDS="true", TRANSCRIPTS__SEGMENTS="true") as home:
        line = await home.call(SPEECH)
        await line.hang_up()
        (final,) = await home.inbox.wait("transcript.final")
        assert final["words"] == final["segments"] == []
        assert home.engine.begun[0].options.word_times
        await home.inbox.wait("call.ended")


async def test_a_port_in_use_is_said_at_once(home: House, tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with house(tmp_path / "other", AUDIOSOCKET__0__PORT=home.port):
            pass
    assert caught.group_contains(OSError, match="address already in use", depth=2)
