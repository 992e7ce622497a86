from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from adapters.stream import StreamEnd
from asr.scheduler import Scheduler
from asr.types import Hypothesis, ModelError, ModelErrorCode, Reason, Segment, Suppressed, Word
from config.settings import Log, Settings, Transcripts
from gateway.means import Means, NoInterims
from gateway.normalizing import Normalizer
from gateway.record import REMEMBERED_UTTERANCES, CallRecord
from gateway.transcript import Clock
from tests.fakes import FakeEngine
from tests.recipients import to
from tests.utterances import SOURCE, spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.delivery.recipients import Recipient
    from gateway.events import EncodedInterim, StoredEvent
    from gateway.means import Interims

HEARD = Hypothesis(text="Yes, please.", model="base int8")
SILENCE = Hypothesis(text="", model="base int8")


class Screen:
    """Where the test sees interims. It shed three of them."""

    def __init__(self) -> None:
        self.shown: list[EncodedInterim] = []
        self.told: list[str] = []

    def wanted(self, recipients: Sequence[Recipient], /) -> bool:
        return to("crm")[0] in recipients

    def show(self, interim: EncodedInterim, _recipients: Sequence[Recipient], /) -> None:
        self.shown.append(interim)

    def close(self, utterance_id: str, /) -> None:
        self.told.append(f"close {utterance_id}")

    def end(self, call_id: str, /) -> int:
        self.told.append(f"end {call_id}")
        return 3

    @property
    def data(self) -> list[dict[str, Any]]:
        return [json.loads(each.body)["data"] for each in self.shown]


class World:
    """A record with a store that is a list."""

    def __init__(
        self,
        *,
        recipients: Sequence[Recipient] = to("crm"),
        interims: Interims | None = None,
        normalizer: Normalizer | None = None,
        log: Log | None = None,
    ) -> None:
        self.screen = Screen()
        self.stored: list[StoredEvent] = []
        self.store_open = asyncio.Event()
        self.store_open.set()
        self.means = means = Means(
            settings=Settings(log=log or Log()),
            decoder=Scheduler(FakeEngine(), clock=lambda: 105.0),
            publish=self._publish,
            interims=interims or self.screen,
            normalizer=normalizer,
            clock=lambda: 105.25,
            wall=lambda: 1_700_000_000.0,
        )
        self.record = CallRecord(
            "call",
            SOURCE,
            recipients=recipients,
            clock=Clock(zero=100.0, wall_zero=1_700_000_000.0),
            means=means,
            log=structlog.stdlib.get_logger(),
        )

    async def _publish(self, event: StoredEvent, _recipients: Sequence[Recipient]) -> None:
        await self.store_open.wait()
        self.stored.append(event)

    def show(self, number: int = 1, revision: int = 1, heard: Hypothesis = HEARD) -> None:
        self.record.interim(spoken(number=number), heard, revision=revision, stable_chars=4)

    async def end(self) -> dict[str, Any]:
        await self.record.ended(StreamEnd.HANGUP, None, 106.0, parameters={}, tracks={})
        return self.last

    @property
    def last(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.stored[-1].body)["data"]
        return data


async def test_an_interim_is_shown_and_not_stored() -> None:
    world = World()
    await world.record.started({})
    world.show(revision=7)
    (data,) = world.screen.data
    assert (data["text"], data["revision"], data["stable_chars"]) == ("Yes, please.", 7, 4)
    assert (data["start_ms"], data["end_ms"], data["latency_ms"]) == (2_300, 2_900, 250)
    assert world.screen.shown[0].event_id == "msg_call_inbound_1_7"
    assert [event.type for event in world.stored] == ["call.started"]


async def test_it_carries_the_sequence_of_what_is_committed_not_of_what_is_about_to_be() -> None:
    world = World()
    await world.record.started({})
    world.store_open.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(world.record.paused(None, 10))
        await asyncio.sleep(0)
        world.show()
        world.store_open.set()
    world.show(revision=2)
    assert [data["sequence"] for data in world.screen.data] == [1, 2]


async def test_none_is_shown_before_the_call_is_known_and_it_counts() -> None:
    world = World()
    assert not world.record.interim(spoken(), HEARD, revision=1, stable_chars=0)
    await world.record.started({})
    assert world.screen.shown == []
    assert world.record.interim(spoken(), HEARD, revision=1, stable_chars=0)
    assert (await world.end())["interims_shed"] == 1 + 3


async def test_none_is_shown_without_words() -> None:
    world = World()
    await world.record.started({})
    world.show(heard=SILENCE)
    assert world.screen.shown == []


async def test_none_follows_what_the_utterance_came_to() -> None:
    world = World()
    await world.record.started({})
    await world.record.final(spoken(number=1), HEARD)
    await world.record.final(spoken(number=2), SILENCE)
    await world.record.failed(spoken(number=3), ModelError(ModelErrorCode.FAILED, "told to"))
    for number in (1, 2, 3):
        world.show(number)
    assert world.screen.shown == []
    assert world.screen.told == [f"close call_inbound_{number}" for number in (1, 2, 3)]
    world.show(4)
    assert len(world.screen.shown) == 1


async def test_none_follows_a_final_that_is_being_committed() -> None:
    world = World()
    await world.record.started({})
    world.store_open.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(world.record.final(spoken(number=1), HEARD))
        await asyncio.sleep(0)
        world.show(1)
        world.store_open.set()
    assert world.screen.shown == []


async def test_none_follows_the_calls_end() -> None:
    world = World()
    await world.record.started({})
    ended = await world.end()
    world.show()
    assert world.screen.shown == []
    assert world.screen.told == ["end call"]
    assert ended["interims_shed"] == 3


async def test_what_was_given_up_before_it_was_shown_is_counted() -> None:
    world = World()
    await world.record.started({})
    world.record.interim_shed()
    assert (await world.end())["interims_shed"] == 4


async def test_who_wants_interims_is_known_beforehand() -> None:
    assert World().record.wants_interims
    other = World(recipients=to("archive"))
    await other.record.started({})
    other.show()
    assert not other.record.wants_interims
    assert other.screen.shown == []


async def test_a_gateway_without_them_counts_none() -> None:
    world = World(interims=NoInterims())
    await world.record.started({})
    world.show()
    await world.record.final(spoken(number=1), HEARD)
    assert not world.record.wants_interims
    assert (await world.end())["interims_shed"] == 0


async def test_what_is_remembered_is_bounded() -> None:
    world = World()
    await world.record.started({})
    for number in range(1, REMEMBERED_UTTERANCES + 2):
        await world.record.final(spoken(number=number), SILENCE)
    world.show(2)
    world.show(REMEMBERED_UTTERANCES + 1)
    assert world.screen.shown == []
    assert len(world.record._published) == REMEMBERED_UTTERANCES


def suppressed(reason: Reason, text: str = "") -> Hypothesis:
    return Hypothesis(text="", model="base int8", suppressed=Suppressed(reason=reason, text=text))


async def test_what_is_left_out_is_counted_by_reason_of_the_call_and_of_all_calls() -> None:
    world = World()
    await world.record.started({})
    for number, reason in enumerate([Reason.MUSIC, Reason.MUSIC, Reason.PHRASE]):
        assert await world.record.final(spoken(number=number), suppressed(reason)) is False
    assert await world.record.final(spoken(number=3), Hypothesis(text="", model="base int8")) is False
    assert (await world.end())["suppressed"] == {"music": 2, "phrase": 1, "empty": 1}
    assert [event.type for event in world.stored] == ["call.started", "call.ended"]
    counts = {reason: count for reason, count in world.means.tallies.suppressed.items() if count}
    assert counts == {Reason.MUSIC: 2, Reason.PHRASE: 1, Reason.EMPTY: 1}
    assert set(world.means.tallies.suppressed) == set(Reason)


@pytest.mark.parametrize("log_transcripts", [False, True])
async def test_the_log_names_what_was_left_out_and_its_text_only_where_it_may(*, log_transcripts: bool) -> None:
    world = World(log=Log(transcripts=log_transcripts))
    with structlog.testing.capture_logs() as lines:
        await world.record.final(spoken(), suppressed(Reason.PHRASE, "Thank you."))
    (line,) = lines
    assert (line["reason"], line["utterance_id"], line["start_ms"]) == ("phrase", "call_inbound_2", 2_300)
    assert line.get("text") == ("Thank you." if log_transcripts else None)


MASKED = Transcripts(words=True, segments=True, mask=("heck",), mask_profanity=True)
RUDE = Hypothesis(
    text="What the heck, bastard.",
    model="base int8",
    language="en",
    words=(Word(text="heck,", start_ms=0, end_ms=9, confidence=0.5),),
    segments=(Segment(text="What the heck, bastard.", start_ms=0, end_ms=9),),
)


async def test_a_final_is_masked_in_everything_it_holds() -> None:
    world = World()
    await world.record.final(spoken(wanted=MASKED), RUDE)
    assert world.last["text"] == "What the h***, b******."
    assert [word["text"] for word in world.last["words"]] == ["h***,"]
    assert [each["text"] for each in world.last["segments"]] == ["What the h***, b******."]
    assert "heck" not in world.stored[-1].body.decode()


async def test_an_interim_is_masked_and_what_may_yet_become_a_word_is_not_stable() -> None:
    world = World()
    await world.record.started({})
    masked = spoken(wanted=MASKED)
    world.record.interim(masked, RUDE, revision=1, stable_chars=13)
    world.record.interim(masked, RUDE, revision=2, stable_chars=15)
    assert [data["text"] for data in world.screen.data] == ["What the h***, b******."] * 2
    assert [data["stable_chars"] for data in world.screen.data] == [9, 15]
    world.record.interim(spoken(), RUDE, revision=3, stable_chars=13)
    assert (world.screen.data[-1]["text"], world.screen.data[-1]["stable_chars"]) == (RUDE.text, 13)


async def test_what_stands_in_the_log_is_masked_too() -> None:
    world = World(log=Log(transcripts=True))
    with structlog.testing.capture_logs() as lines:
        await world.record.final(spoken(wanted=MASKED), RUDE)
    assert [line["text"] for line in lines if line["event"] == "final"] == ["What the h***, b******."]


async def test_a_final_is_rewritten_then_masked_and_its_words_stay_as_they_were_heard() -> None:
    asked = []

    def rewrite(text: str, language: str | None) -> str:
        asked.append((text, language))
        return "Heck. " + text.replace("bastard", "sir")

    world = World(normalizer=Normalizer(rewrite, limit_seconds=30))
    assert await world.record.final(spoken(wanted=MASKED), RUDE)
    assert asked == [(RUDE.text, "en")]
    assert world.last["text"] == "H***. What the h***, sir."
    assert [each["text"] for each in world.last["segments"]] == ["What the h***, b******."]


async def test_interims_and_utterances_without_words_are_not_rewritten() -> None:
    world = World(normalizer=Normalizer(lambda text, _language: text.upper()))
    await world.record.started({})
    world.show()
    assert not await world.record.final(spoken(number=2), SILENCE)
    assert [data["text"] for data in world.screen.data] == [HEARD.text]


async def test_a_final_that_cannot_be_rewritten_is_published_as_it_was_heard() -> None:
    def fail(text: str, _language: str | None) -> str:
        raise ValueError(text)

    world = World(normalizer=Normalizer(fail, limit_seconds=30))
    with structlog.testing.capture_logs() as lines:
        for number in (1, 2):
            assert await world.record.final(spoken(number=number, wanted=MASKED), RUDE)
            assert world.last["text"] == "What the h***, b******."
    told = [line for line in lines if line["log_level"] == "warning"]
    assert [line["error"] for line in told] == ["it raised ValueError"]
    assert "heck" not in str(lines)
