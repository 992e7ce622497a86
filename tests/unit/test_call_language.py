"""The language of a call's finals and interims: a real session and scheduler, a stand-in engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from adapters.stream import StreamEnd, StreamEnded
from asr.pressure import Level
from asr.scheduler import Scheduler
from asr.types import DecodeKind, ModelError
from config.settings import Calls, Models
from gateway import publishing
from tests.fakes import FakeEngine
from tests.sound import short_answer
from tests.unit.test_live import Screen, Talk, silence
from tests.unit.test_session import SPEECH, World, of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asr.types import DecodeRequest, Hypothesis

AUTO = Models(language="auto", languages=("en", "es", "fr"))
HELLO = short_answer("hello")
SPANISH, FRENCH, ENGLISH = {"es": 0.97}, {"fr": 0.97}, {"en": 0.97}


def in_turn(*likely: Mapping[str, float]) -> Callable[[DecodeRequest], Mapping[str, float]]:
    """Tell of each final's language, in the order in which they are asked for."""
    left = list(likely)
    return lambda _request: left.pop(0)


def named(request: DecodeRequest) -> str:
    """Tell what a text stands in, where that was asked for."""
    return f"in {request.language or 'what it is'}"


def finals(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Give what was published: the text, and its language."""
    return [(each["text"], each["language"]) for each in of(events, "transcript.final")]


def languages(events: list[dict[str, Any]]) -> list[str]:
    return [language for _, language in finals(events)]


def crowd(engine: FakeEngine, *speech: bytes, **means: Any) -> World:
    """Let utterances end before any is decoded, so that none knows of the others."""
    world = World(engine, models=AUTO, **means)
    world.stream.handle(world.started, world.now)
    for each in speech:
        world.say(each)
        world.wait(1.0)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    world.wait(1.1)
    return world


async def test_what_is_held_goes_with_the_next_request() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(FakeEngine(hears=in_turn(SPANISH, ENGLISH)), tasks, models=AUTO)
        await talk.say(SPEECH + silence(1.0))
        await talk.say(HELLO + silence(1.0))
        first, second = talk.engine.begun
        assert (first.kind, second.kind) == (DecodeKind.SPECULATIVE, DecodeKind.SPECULATIVE)
        assert first.known is not None
        assert second.known is not None
        assert (first.known.held, first.known.allowed) == (None, ("en", "es", "fr"))
        assert (second.known.held, second.known.allowed) == ("es", ("en", "es", "fr"))
        assert first.speech_seconds == pytest.approx(3.0, abs=0.2)
        events = await talk.hang_up()
        assert languages(events) == ["es", "es"]
        probabilities = [each["language_probability"] for each in of(events, "transcript.final")]
        assert probabilities == pytest.approx([0.98, 0.01])


async def test_what_did_not_know_of_the_decision_is_decoded_again() -> None:
    engine = FakeEngine(hears=in_turn(SPANISH, ENGLISH, SPANISH), text=named)
    events = await crowd(engine, SPEECH, HELLO, SPEECH).run()
    assert finals(events) == [("in what it is", "es"), ("in es", "es"), ("in what it is", "es")]
    probabilities = [each["language_probability"] for each in of(events, "transcript.final")]
    assert probabilities == pytest.approx([0.98, 0.01, 0.98]), "what was heard of the language is not forgotten"
    assert [event["utterance_id"] for event in of(events, "transcript.final")] == [
        f"call_inbound_{number}" for number in (1, 2, 3)
    ]
    again = engine.begun[-1]
    assert (again.language, again.known, again.kind) == ("es", None, DecodeKind.FINAL)
    assert again.audio == engine.begun[1].audio


async def test_the_utterance_that_completes_a_change_stands_in_the_new_language() -> None:
    """The first is asked for alone and decides; the others wait together, and do not know of one another."""
    engine = FakeEngine(hears=in_turn(SPANISH, ENGLISH, ENGLISH, ENGLISH, ENGLISH), text=named)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(engine, tasks, models=AUTO)
        await talk.say(SPEECH + silence(1.0))
        await talk.engine.hold()
        for _ in range(4):
            await talk.say(SPEECH + silence(1.0))
        await talk.engine.let_go()
        heard = finals(await talk.hang_up())
    assert [language for _, language in heard] == ["es", "es", "en", "en", "en"]
    assert [text for text, _ in heard[1:]] == ["in what it is", "in en", "in en", "in en"]


@pytest.mark.parametrize("text", ["", "in es"])
async def test_a_second_decode_that_brings_nothing_changes_nothing(text: str) -> None:
    engine = FakeEngine(
        hears=in_turn(SPANISH, ENGLISH),
        text=lambda request: text if request.language else "first",
        fails=lambda request: bool(request.language and text),
    )
    events = await crowd(engine, SPEECH, HELLO).run()
    assert finals(events) == [("first", "es"), ("first", "en")]
    assert len(engine.begun) == 3
    assert (events[-1]["failed"], events[-1]["suppressed"]) == (0, {})


async def test_a_call_that_has_no_more_time_publishes_what_it_has() -> None:
    engine = FakeEngine(hears=in_turn(SPANISH, ENGLISH), text=named, held=True)
    world = crowd(engine, SPEECH, HELLO, calls=Calls(linger_seconds=1.0, finish_seconds=0.1))
    await engine.release(2)
    events = await world.run()
    assert [request.language for request in engine.begun] == [None, None, "es"]
    assert finals(events) == [("in what it is", "es"), ("in what it is", "en")]


@pytest.mark.parametrize(
    ("where", "name", "value"), [(publishing, "MOST_KEPT_BYTES", 40_000), (Scheduler, "level", Level.ELEVATED)]
)
async def test_nothing_is_decoded_twice_under_pressure_or_when_too_much_would_be_kept(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, value: int
) -> None:
    monkeypatch.setattr(where, name, value)
    engine = FakeEngine(hears=in_turn(SPANISH, SPANISH, ENGLISH), text=named)
    assert languages(await crowd(engine, SPEECH, SPEECH, SPEECH).run()) == ["es", "es", "en"]
    assert len(engine.begun) == 3


async def test_the_other_side_is_taken_to_speak_the_same_until_it_has_spoken() -> None:
    engine = FakeEngine(hears=in_turn(SPANISH, ENGLISH, ENGLISH))
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(engine, tasks, models=AUTO)
        other = talk.world.join()
        await talk.say(SPEECH + silence(1.0))
        for pcm in (HELLO, SPEECH):
            other.say(pcm + silence(1.0))
            await talk.settle()
        other.hang_up()
        assert languages(await talk.hang_up()) == ["es", "es", "en"]


async def test_nobody_is_prompted_with_what_was_said_in_another_language() -> None:
    engine = FakeEngine(hears=in_turn(SPANISH, ENGLISH, ENGLISH, SPANISH), text=named)
    models = msgspec.structs.replace(AUTO, condition_on_previous_text=True)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(engine, tasks, models=models)
        other = talk.world.join()
        await talk.say(SPEECH + silence(1.0))
        for _ in range(2):
            other.say(SPEECH + silence(1.0))
            await talk.settle()
        await talk.say(SPEECH + silence(1.0))
        other.hang_up()
        await talk.hang_up()
    prompts = [request.options.initial_prompt for request in engine.begun if request.kind is not DecodeKind.INTERIM]
    first, of_other, of_other_again, last = prompts
    assert (first, of_other_again, last) == (None, "in what it is", None)
    assert of_other == "in what it is", "of which nothing is known yet"


async def test_interims_are_in_the_language_held() -> None:
    """The model listens for it only as long as nothing is known."""
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        talk = Talk(FakeEngine(hears=lambda _: FRENCH), tasks, models=AUTO, interims=screen)
        await talk.say(SPEECH + silence(1.0))
        before = len(talk.engine.begun)
        await talk.say(SPEECH + silence(1.0))
        interims = [request for request in talk.engine.begun if request.kind is DecodeKind.INTERIM]
        assert interims[0].known is not None
        later = [request for request in talk.engine.begun[before:] if request.kind is DecodeKind.INTERIM]
        assert {(request.language, request.known) for request in later} == {("fr", None)}
        assert len(screen.shown) >= 2  # of each utterance at least one
        await talk.hang_up()


@pytest.mark.parametrize(("likely", "shown"), [(ENGLISH, True), (SPANISH, False)])
async def test_a_model_of_english_only_shows_interims_when_english_is_spoken(
    likely: Mapping[str, float], shown: bool
) -> None:
    """It says that it decodes in English, whatever it is asked for, and is not asked again and again."""
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        engine = OfTwoMinds(hears=lambda _: likely, shared=False)
        talk = Talk(engine, tasks, models=AUTO, interims=screen)
        await talk.say(SPEECH + silence(1.0))
        assert talk.kinds().count(DecodeKind.INTERIM) == 1
        assert screen.shown == []
        await talk.say(SPEECH + silence(1.0))
        assert (len(screen.shown) > 0) == shown
        assert (talk.kinds().count(DecodeKind.INTERIM) > 5) == shown
        await talk.hang_up()


class OfTwoMinds(FakeEngine):
    """The model for interims knows English only."""

    def _answer(self, request: DecodeRequest) -> Hypothesis | ModelError:
        answer = super()._answer(request)
        if request.kind is not DecodeKind.INTERIM or isinstance(answer, ModelError):
            return answer
        return msgspec.structs.replace(answer, language="en", language_probability=None, languages={})


async def test_where_the_language_is_given_no_audio_is_kept_and_nothing_is_asked() -> None:
    engine = FakeEngine(hears=in_turn(), text=named)
    world = World(engine, models=Models(language="de"))
    world.say(SPEECH)
    world.wait(1.0)
    world.stream.handle(StreamEnded(StreamEnd.HANGUP), world.now)
    world.wait(1.1)
    (final,) = of(await world.run(), "transcript.final")
    assert (final["text"], final["language"], final["language_probability"]) == ("in de", "de", None)
