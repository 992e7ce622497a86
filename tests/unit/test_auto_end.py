"""A stream that is there for one answer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.stream import StreamEnd, StreamEnded
from config.settings import Speech
from tests.fakes import FakeEngine
from tests.unit.test_session import INBOUND, OUTBOUND, SPEECH, World, of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asr.types import DecodeRequest

AUTO_END = Speech(endpointing="auto_end")
HANGUP = StreamEnded(StreamEnd.HANGUP)


def is_first(request: DecodeRequest) -> bool:
    """Tell the first utterance, which begins within the first second, from those after it."""
    return request.origin_sample < 16_000


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    """Let the call be worked off while the test goes on, and see it to its end."""
    world.stream.handle(world.started, world.now)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(world.run())
        yield world
        world.wait(1.1)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  the store is a list
        await asyncio.sleep(0)


async def settled() -> None:
    """Let everything happen that can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def answer(world: World, say: Callable[[bytes], None] | None = None) -> None:
    """Say something, and pause until its text is there or has failed."""
    before = len(spoken(world))
    (say or world.say)(SPEECH)
    world.wait(1.0)
    await until(lambda: len(spoken(world)) > before)
    await settled()


def spoken(world: World) -> list[dict[str, Any]]:
    return of(world.events, "transcript.final") + of(world.events, "transcript.failed")


async def test_the_first_answer_ends_its_stream_and_the_call_lingers() -> None:
    async with running(World(speech=AUTO_END)) as world:
        await answer(world)
        assert world.closed
        assert world.stream.ended
        world.say(SPEECH)
        assert world.session.open
    assert [event["type"] for event in world.events] == [
        "call.started",
        "track.started",
        "transcript.final",
        "call.ended",
    ]
    assert (world.events[-1]["reason"], world.events[-1]["error"]) == ("stopped", None)
    assert world.events[-1]["audio_ms"]["inbound"] == pytest.approx(len(SPEECH) / 16, abs=20)


async def test_without_being_asked_to_a_stream_goes_on() -> None:
    async with running(World()) as world:
        await answer(world)
        await answer(world)
        assert not world.closed
        world.stream.end(HANGUP, world.now)
    assert world.events[-1]["reason"] == "hangup"


async def test_a_stream_is_not_ended_before_its_answer_is_committed() -> None:
    async with running(World(speech=AUTO_END)) as world:
        await until(lambda: len(world.events) == 2)
        world.store_open.clear()
        world.say(SPEECH)
        world.wait(1.0)
        await world.engine.wait_begun(1)
        await settled()
        assert not world.closed
        world.store_open.set()
        await until(lambda: world.closed)


@pytest.mark.parametrize(
    ("engine", "first"),
    [
        (FakeEngine(text=lambda request: "" if is_first(request) else "Yes."), []),
        (FakeEngine(fails=is_first), ["model_failed"]),
    ],
    ids=["without words", "failed"],
)
async def test_what_is_no_answer_does_not_end_a_stream(engine: FakeEngine, first: list[str]) -> None:
    async with running(World(engine, speech=AUTO_END)) as world:
        world.say(SPEECH)
        world.wait(1.0)
        await engine.wait_begun(1)
        await settled()
        assert [each["reason"] for each in of(world.events, "transcript.failed")] == first
        assert not world.closed
        await answer(world)
        await until(lambda: world.closed)
    assert len(of(world.events, "transcript.final")) == 1
    assert world.events[-1]["utterances"] == 2


async def test_an_answer_that_is_cut_for_its_length_is_waited_for() -> None:
    speech = Speech(endpointing="auto_end", longest_utterance_ms=2_000)
    async with running(World(speech=speech)) as world:
        world.say(SPEECH[: 16 * 2_300])
        await until(lambda: of(world.events, "transcript.final"))
        await settled()
        assert not world.closed
        world.say(SPEECH[16 * 2_300 :])
        world.wait(1.0)
        await until(lambda: world.closed)
    assert [each["end_of_turn"] for each in of(world.events, "transcript.final")] == [False, True]


@pytest.mark.parametrize(
    "engine",
    [
        FakeEngine(text=lambda request: "One" if is_first(request) else ""),
        FakeEngine(fails=lambda request: not is_first(request)),
    ],
    ids=["without words", "failed"],
)
async def test_the_last_part_of_an_answer_that_was_cut_need_not_have_words(engine: FakeEngine) -> None:
    speech = Speech(endpointing="auto_end", longest_utterance_ms=2_000)
    async with running(World(engine, speech=speech)) as world:
        world.say(SPEECH[: 16 * 2_300])
        await until(lambda: of(world.events, "transcript.final"))
        await settled()
        assert not world.closed
        world.wait(1.0)
        await until(lambda: world.closed)
    assert [each["text"] for each in of(world.events, "transcript.final")] == [engine._text(engine.begun[0])]


async def test_what_a_pause_of_the_call_cuts_off_is_no_answer() -> None:
    async with running(World(speech=AUTO_END)) as world:
        world.say(SPEECH[: 16 * 1_000])
        world.session.pause("card entry", world.now)
        await until(lambda: of(world.events, "transcript.final"))
        await settled()
        assert not world.closed
        world.session.resume(world.now)
        world.wait(1.0)
        await answer(world)
        await until(lambda: world.closed)
    assert [each["end_of_turn"] for each in of(world.events, "transcript.final")][:2] == [False, True]


async def test_an_answer_that_is_committed_in_a_pause_does_not_end_it() -> None:
    engine = FakeEngine(held=True)
    async with running(World(engine, speech=AUTO_END)) as world:
        world.say(SPEECH)
        world.wait(1.0)
        world.session.pause("card entry", world.now)
        await engine.let_go()
        await until(lambda: of(world.events, "transcript.final"))
        await settled()
        assert not world.closed
        world.stream.end(HANGUP, world.now)


async def test_a_stream_that_repeats_the_speaker_ends_with_the_one_that_is_heard() -> None:
    async with running(World(speech=AUTO_END)) as world:
        again, other = world.join(track=INBOUND), world.join()
        await answer(world)
        assert (world.closed, again.closed, other.closed) == (True, True, False)
        other.hang_up()
    assert world.events[-1]["utterances"] == 1


async def test_what_is_said_before_the_stream_is_closed_is_not_lost() -> None:
    engine = FakeEngine(held=True)
    async with running(World(engine, speech=AUTO_END)) as world:
        world.say(SPEECH)
        world.wait(1.0)
        world.say(SPEECH[: 16 * 1_000])  # breaks off in the middle of a word
        assert not world.closed
        await engine.let_go()
        await until(lambda: world.closed)
    first, second = of(world.events, "transcript.final")
    assert first["end_ms"] < second["start_ms"]
    assert second["end_ms"] - second["start_ms"] == pytest.approx(1_000, abs=150)
    assert world.events[-1]["utterances"] == 2


async def test_the_other_streams_of_a_call_go_on_until_each_has_its_answer() -> None:
    async with running(World(speech=AUTO_END)) as world:
        other = world.join()
        await answer(world)
        assert (world.closed, other.closed) == (True, False)
        world.wait(5.0)
        await answer(world, other.say)
        assert other.closed
    assert [each["track"] for each in of(world.events, "transcript.final")] == ["inbound", "outbound"]
    assert world.events[-1]["reason"] == "stopped"


async def test_an_answer_on_any_track_of_a_stream_ends_it() -> None:
    async with running(World(tracks=(INBOUND, OUTBOUND), speech=AUTO_END)) as world:
        await answer(world, lambda pcm: world.say(pcm, "outbound"))
        assert world.closed


async def test_an_answer_that_comes_after_the_hangup_changes_nothing() -> None:
    engine = FakeEngine(held=True)
    async with running(World(engine, speech=AUTO_END)) as world:
        world.say(SPEECH)
        world.wait(1.0)
        other = world.join()
        other.sink.end(HANGUP, world.now)
        world.stream.end(HANGUP, world.now)
        await engine.let_go()
        await until(lambda: spoken(world))
        await settled()
        assert (world.closed, other.closed) == (False, False)
    assert world.events[-1]["reason"] == "hangup"


async def test_the_next_question_may_be_asked_in_the_same_call() -> None:
    async with running(World(speech=AUTO_END)) as world:
        await answer(world)
        again = world.join(track=INBOUND)
        await answer(world, again.say)
        assert again.closed
    assert [each["track"] for each in of(world.events, "transcript.final")] == ["inbound", "inbound-2"]


@settings(max_examples=30)
@given(
    happenings=st.lists(
        st.tuples(st.sampled_from(["say", "wait", "let be"]), st.integers(1, 150)), min_size=1, max_size=10
    ),
    mute=st.sets(st.integers(0, 3)),
)
async def test_whatever_happens_the_record_is_complete_and_only_an_answer_ends_the_stream(
    happenings: list[tuple[str, int]], mute: set[int]
) -> None:
    engine = FakeEngine(text=lambda request: "" if request.origin_sample // 48_000 in mute else "Yes.")
    speech = Speech(endpointing="auto_end", longest_utterance_ms=2_000)
    async with running(World(engine, speech=speech)) as world:
        for what, count in happenings:
            match what:
                case "say":
                    world.say(SPEECH[: 320 * count])
                case "wait":
                    world.wait(count / 50)
                case _:
                    await settled()
        await settled()
        closed = world.closed
        world.stream.end(HANGUP, world.now)
    events, ended = world.events, world.events[-1]
    finals, failed = of(events, "transcript.final"), of(events, "transcript.failed")
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert ended["utterances"] == len(finals) + len(failed) + sum(ended["suppressed"].values())
    assert ended["reason"] == ("stopped" if closed else "hangup")
    if closed:
        assert finals, "an answer, of which the last part may have had no words"
