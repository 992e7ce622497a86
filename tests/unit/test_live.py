"""What is decoded while somebody speaks: a real session and scheduler, a stand-in engine, a clock moved by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from adapters.stream import StreamEnd, StreamEnded
from asr.pacing import NEAR_MS
from asr.types import DecodeKind, ModelErrorCode, Word
from config.settings import Interims, Models, Transcripts
from gateway.means import NoInterims
from tests.fakes import FakeEngine
from tests.sound import prompt
from tests.unit.test_session import World, of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asr.types import DecodeRequest
    from gateway.delivery.recipients import Recipient
    from gateway.events import EncodedInterim

SPEECH = prompt("conf-onlyperson")
"""Three seconds at 8 kHz; quiet at both ends."""


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * 16_000))


class Screen(NoInterims):
    """Shows every interim."""

    def __init__(self) -> None:
        self.shown: list[EncodedInterim] = []

    def wanted(self, _recipients: Sequence[Recipient], /) -> bool:
        return True

    def show(self, interim: EncodedInterim, _recipients: Sequence[Recipient], /) -> None:
        self.shown.append(interim)


class Talk:
    """A call in progress, whose session and scheduler run."""

    def __init__(self, engine: FakeEngine, tasks: asyncio.TaskGroup, **means: Any) -> None:
        self.engine = engine
        self.world = World(engine, **means)
        self.running = tasks.create_task(self.world.run())

    async def say(self, pcm: bytes) -> None:
        """Say something, and let everything else happen that can."""
        for start in range(0, len(pcm), 3_200):
            self.world.say(pcm[start : start + 3_200])
            await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def hang_up(self) -> list[dict[str, object]]:
        self.world.stream.handle(StreamEnded(StreamEnd.HANGUP), self.world.now)
        self.world.wait(1.1)
        return await self.running

    def kinds(self) -> list[DecodeKind]:
        return [request.kind for request in self.engine.begun]


WORD_MS = 400
UNBROKEN = SPEECH[6_400:44_800] * 6
"""More than fourteen seconds without a pause."""


def count(request: DecodeRequest) -> str:
    """Hear a number in every 400 ms of the track that the audio holds whole, and the beginning of one at its end."""
    return " ".join(word.text for word in numbers(request))


def numbers(request: DecodeRequest) -> list[Word]:
    begins_ms = request.origin_sample // 16
    first, last = -(-begins_ms // WORD_MS), (begins_ms + request.audio_ms) // WORD_MS
    times = [(number, number * WORD_MS - begins_ms) for number in range(first, last)]
    words = [Word(text=f"n{number}", start_ms=at, end_ms=at + WORD_MS, confidence=0.9) for number, at in times]
    cut_off = Word(text="uh", start_ms=request.audio_ms, end_ms=request.audio_ms, confidence=0.1)
    return [*words, cut_off] if request.audio_ms % 3 else words


class Shown:
    """The interims of one utterance."""

    def __init__(self, screen: Screen) -> None:
        told = [msgspec.json.decode(each.body)["data"] for each in screen.shown]
        self.texts = [data["text"] for data in told]
        self.stable = [data["text"][: data["stable_chars"]] for data in told]
        self.starts = {data["start_ms"] for data in told}

    def check(self) -> None:
        """Nothing that was stable is changed, and no number is left out or told twice."""
        for text, stable in zip(self.texts[1:], self.stable, strict=False):
            assert text.startswith(stable)
        assert [len(stable) for stable in self.stable] == sorted(len(stable) for stable in self.stable)
        for text in self.texts:
            told = [int(word.removeprefix("n")) for word in text.split() if word != "uh"]
            assert told == list(range(told[0], told[0] + len(told))) if told else True
        assert len({text.split()[0] for text in self.texts}) == 1
        assert len(self.starts) == 1


def said(text: str) -> Callable[[object], str]:
    return lambda _request: text


async def test_a_pause_that_lasts_has_its_final_ready() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(FakeEngine(), tasks)
        await talk.say(SPEECH + silence(0.1))
        assert DecodeKind.FINAL not in talk.kinds()
        await talk.say(silence(1.0))
        assert talk.kinds() == [DecodeKind.SPECULATIVE]  # and that was the final
        (final,) = of(talk.world.events, "transcript.final")
        assert final["utterance_id"] == "call_inbound_1"
        assert final["end_of_turn"] is True
        await talk.hang_up()


async def test_who_goes_on_after_a_pause_is_decoded_as_a_whole() -> None:
    """Each pause of 200 ms is worth a try; only the one that lasts becomes a final."""
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(FakeEngine(text=said("and then")), tasks)
        await talk.say(SPEECH + silence(0.15) + SPEECH + silence(1.5))
        finals = of(talk.world.events, "transcript.final")
        assert len(finals) == 1
        assert finals[0]["end_ms"] - finals[0]["start_ms"] > 5_000
        assert len(talk.kinds()) >= 2
        assert set(talk.kinds()) == {DecodeKind.SPECULATIVE}
        await talk.hang_up()


async def test_interims_are_decoded_at_their_pace_where_somebody_wants_them() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        talk = Talk(FakeEngine(), tasks, models=Models(condition_on_previous_text=True), interims=screen)
        await talk.say(SPEECH + silence(1.0))
        await talk.say(SPEECH + silence(1.0))
        asked = [request for request in talk.engine.begun if request.kind is DecodeKind.INTERIM]
        assert 16 <= len(asked) <= 30  # 2.4 s of speech or so, twice, one every 220 ms
        assert [request.first for request in asked].count(True) == 2
        assert {request.options.initial_prompt for request in asked} == {None}  # and no final before
        assert [each.event_id for each in screen.shown[:2]] == ["msg_call_inbound_1_1", "msg_call_inbound_1_2"]
        await talk.hang_up()


async def test_an_interim_that_says_nothing_new_is_not_shown() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        talk = Talk(FakeEngine(text=lambda _request: "Yes, please do."), tasks, interims=screen)
        await talk.say(SPEECH + silence(1.0))
        shown = Shown(screen)
        assert list(zip(shown.texts, shown.stable, strict=True)) == [("Yes", ""), ("Yes, please do", "Yes, please")]
        await talk.hang_up()


async def test_what_is_masked_stays_masked_though_the_language_seems_to_change() -> None:
    """The words that are shipped are English ones; what was shown of them once is stable."""
    asked = 0

    def hears(_request: DecodeRequest) -> dict[str, float]:
        nonlocal asked
        asked += 1
        return {"en": 0.6, "de": 0.3} if asked % 2 else {"de": 0.9}

    def text(request: DecodeRequest) -> str:
        return "What the fuck is this " + "so " * (request.audio_ms // 300)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        engine, models = FakeEngine(hears=hears, text=text), Models(language="auto")
        wanted = Transcripts(mask_profanity=True)
        talk = Talk(engine, tasks, models=models, transcripts=wanted, interims=screen)
        await talk.say(SPEECH)
        shown = Shown(screen)
        assert len(shown.texts) > 3
        assert all(text.startswith(stable) for stable, text in zip(shown.stable, shown.texts[1:], strict=False))
        assert not any("fuck" in each for each in shown.texts)
        await talk.hang_up()


@pytest.mark.parametrize("failing", [range(0), range(3, 80, 2), range(4, 44)])
async def test_interims_cover_a_long_utterance_from_its_beginning(failing: range) -> None:
    """Though each hears no more than seven seconds, and though every other one fails, or all do for nine seconds."""
    script = dict.fromkeys(failing, ModelErrorCode.FAILED)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        talk = Talk(FakeEngine(text=count, words=numbers, script=script), tasks, interims=screen)
        await talk.say(UNBROKEN)
        shown = Shown(screen)
        shown.check()
        assert len(shown.stable[-1].split()) >= 14_000 // WORD_MS - 4
        asked = [request for request in talk.engine.begun if request.kind is DecodeKind.INTERIM]
        assert max(request.audio_ms for request in asked) <= Interims().tail_ms
        assert asked[-1].origin_sample > 7_000 * 16
        timed = [request for request in asked if request.options.word_times]
        assert failing or 1 <= len(timed) <= len(asked) / 4
        assert min(request.audio_ms for request in timed) > Interims().tail_ms - NEAR_MS
        await talk.hang_up()


async def test_interims_that_were_asked_for_before_a_cut_fit_in_behind_it() -> None:
    """The models are slow, so that of two there is always one that waits."""
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        talk = Talk(FakeEngine(held=True, text=count, words=numbers), tasks, interims=screen)
        for start in range(0, len(UNBROKEN), 6_400):
            await talk.say(UNBROKEN[start : start + 6_400])
            await talk.engine.release()
            await talk.settle()
        shown = Shown(screen)
        shown.check()
        assert len(shown.stable[-1].split()) >= 14_000 // WORD_MS - 6
        origins = [request.origin_sample for request in talk.engine.begun if request.kind is DecodeKind.INTERIM]
        assert origins == sorted(origins)
        await talk.engine.let_go()
        await talk.hang_up()


async def test_what_is_heard_without_times_is_not_lost_either() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        talk = Talk(FakeEngine(text=count), tasks, interims=screen)
        await talk.say(UNBROKEN)
        shown = Shown(screen)
        for text, stable in zip(shown.texts[1:], shown.stable, strict=False):
            assert text.startswith(stable)
        assert len(shown.texts[-1].split()) >= 14_000 // WORD_MS - 8
        await talk.hang_up()


async def test_what_has_no_words_is_heard_piece_by_piece() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        talk = Talk(FakeEngine(text=said("")), tasks, interims=screen)
        await talk.say(UNBROKEN)
        asked = [request for request in talk.engine.begun if request.kind is DecodeKind.INTERIM]
        assert max(request.audio_ms for request in asked) <= Interims().tail_ms
        assert asked[-1].origin_sample > 7_000 * 16
        assert screen.shown == []
        await talk.hang_up()


async def test_an_utterance_begins_with_nothing_of_the_one_before() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        talk = Talk(FakeEngine(text=count, words=numbers), tasks, interims=screen)
        await talk.say(UNBROKEN + silence(1.0))
        first = len(screen.shown)
        await talk.say(SPEECH + silence(1.0))
        before, after = Shown(screen).texts[:first], Shown(screen).texts[first:]
        assert {text.split()[0] for text in before}.isdisjoint(text.split()[0] for text in after)
        assert len({text.split()[0] for text in after}) == 1
        assert talk.world.session._publisher._live._growing == {}
        await talk.hang_up()


async def test_an_utterance_whose_interim_brought_the_model_down_has_no_more_of_them() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        screen = Screen()
        talk = Talk(FakeEngine(script={2: ModelErrorCode.CRASHED}), tasks, interims=screen)
        await talk.say(SPEECH + silence(1.0))
        assert talk.kinds() == [DecodeKind.INTERIM, DecodeKind.INTERIM, DecodeKind.SPECULATIVE]
        assert len(of(talk.world.events, "transcript.final")) == 1
        await talk.say(SPEECH + silence(1.0))
        assert talk.kinds().count(DecodeKind.INTERIM) > 5  # the next is not to blame
        await talk.hang_up()


async def test_a_trial_that_fails_is_not_the_last_word() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(FakeEngine(script={1: ModelErrorCode.FAILED}), tasks)
        await talk.say(SPEECH + silence(1.0))
        assert talk.kinds() == [DecodeKind.SPECULATIVE, DecodeKind.FINAL]
        assert len(of(talk.world.events, "transcript.final")) == 1
        await talk.hang_up()


async def test_a_trial_that_is_not_done_when_the_utterance_ends_goes_on_as_its_final() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(FakeEngine(held=True), tasks)
        await talk.say(SPEECH + silence(1.0))
        assert of(talk.world.events, "transcript.final") == []
        await talk.engine.let_go()
        await talk.settle()
        assert len(of(talk.world.events, "transcript.final")) == 1
        assert len(talk.engine.begun) == 1
        await talk.hang_up()


async def test_a_call_that_ends_in_a_pause_has_its_final() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(FakeEngine(held=True), tasks)
        await talk.say(SPEECH + silence(0.3))
        ending = tasks.create_task(talk.hang_up())
        await talk.settle()
        await talk.engine.let_go()
        events = await ending
        assert [event["type"] for event in events][-2:] == ["transcript.final", "call.ended"]


async def test_a_sentence_that_has_ended_is_waited_for_less_than_one_that_has_not() -> None:
    async def waits(text: str) -> float:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            talk = Talk(FakeEngine(text=said(text)), tasks)
            await talk.say(SPEECH)
            seconds = 0.0
            while not of(talk.world.events, "transcript.final"):
                await talk.say(silence(0.02))
                seconds += 0.02
            await talk.hang_up()
        return seconds

    ended, unended = await waits("That is all."), await waits("And what is, ")
    assert 0.25 < unended - ended < 0.35


async def test_what_is_given_up_has_its_trial_given_up_too() -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        talk = Talk(FakeEngine(held=True), tasks)
        await talk.say(SPEECH + silence(1.0))
        talk.world.session.end(StreamEnd.SHUTDOWN, 0.0)
        await talk.settle()
        (failed,) = of(await talk.running, "transcript.failed")
        assert failed["reason"] == "deadline"
        await talk.engine.let_go()
