from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.delivery.newest import Newest
from gateway.events import EncodedInterim

if TYPE_CHECKING:
    from collections.abc import Iterable

ON_THEIR_WAY, WAITING = 2, 4


def interim(utterance: str, revision: int = 1) -> EncodedInterim:
    """Make an interim; an utterance's name begins with its call's."""
    name = f"{utterance}_{revision}"
    return EncodedInterim(event_id=name, call_id=utterance[0], utterance_id=utterance, body=b"")


def names(interims: Iterable[EncodedInterim | None]) -> list[str]:
    return [each.event_id for each in interims if each]


@pytest.fixture
def newest() -> Newest:
    return Newest(on_their_way=ON_THEIR_WAY, waiting=WAITING)


def test_a_newer_one_takes_the_place_of_the_older(newest: Newest) -> None:
    shed = [newest.put(each) for each in (interim("a1"), interim("b1"), interim("a1", 2), interim("a1", 3))]
    assert names(shed) == ["a1_1", "a1_2"]
    assert names([newest.take(), newest.take()]) == ["a1_3", "b1_1"]


def test_one_of_an_utterance_is_on_its_way_at_a_time(newest: Newest) -> None:
    first = interim("a1")
    newest.put(first)
    assert newest.take() is first
    newest.put(interim("a1", 2))
    newest.put(interim("b1"))
    assert names([newest.take(), newest.take()]) == ["b1_1"]
    assert newest.settle(first)
    assert names([newest.take()]) == ["a1_2"]


def test_no_more_are_on_their_way_than_may_be(newest: Newest) -> None:
    for name in ("a1", "b1", "c1"):
        newest.put(interim(name))
    assert names(newest.take() for _ in range(3)) == ["a1_1", "b1_1"]


def test_too_many_that_wait_cost_the_one_that_waited_longest(newest: Newest) -> None:
    assert names(newest.put(interim(name)) for name in ("a1", "b1", "c1", "d1", "e1")) == ["a1_1"]


def test_what_waits_of_a_closed_utterance_is_shed_and_what_is_on_its_way_goes_on(newest: Newest) -> None:
    first = interim("a1")
    newest.put(first)
    newest.take()
    newest.put(interim("a1", 2))
    assert names([newest.close("a1"), newest.close("a1"), newest.close("b1")]) == ["a1_2"]
    assert newest.take() is None
    assert newest.settle(first)


def test_of_a_call_that_ends_nothing_is_left(newest: Newest) -> None:
    first = interim("a1")
    newest.put(first)
    newest.take()
    for each in (interim("a1", 2), interim("a2"), interim("b1")):
        newest.put(each)
    assert sorted(names(newest.end("a"))) == ["a1_1", "a1_2", "a2_1"]
    assert not newest.settle(first)
    assert names([newest.take(), newest.take()]) == ["b1_1"]


utterances = st.sampled_from(["a1", "a2", "b1", "b2", "c1", "c2", "d1"])


class NewestMachine(RuleBasedStateMachine):
    """Whatever is done to it, every interim is sent or shed once, in order, and never beyond the limits."""

    def __init__(self) -> None:
        super().__init__()
        self.newest = Newest(on_their_way=ON_THEIR_WAY, waiting=WAITING)
        self.revisions: dict[str, int] = {}
        self.waiting: dict[str, EncodedInterim] = {}
        self.on_their_way: dict[str, EncodedInterim] = {}

    @rule(utterance=utterances)
    def put(self, utterance: str) -> None:
        self.revisions[utterance] = self.revisions.get(utterance, 0) + 1
        new = interim(utterance, self.revisions[utterance])
        shed = self.newest.put(new)
        full = utterance not in self.waiting and len(self.waiting) == WAITING
        expected = next(iter(self.waiting.values())) if full else self.waiting.get(utterance)
        assert shed is expected
        if full and shed:
            del self.waiting[shed.utterance_id]
        self.waiting[utterance] = new

    @rule()
    def take(self) -> None:
        taken = self.newest.take()
        ready = [each for name, each in self.waiting.items() if name not in self.on_their_way]
        if taken is None:
            assert not ready or len(self.on_their_way) == ON_THEIR_WAY
            return
        assert taken is ready[0]
        assert taken.event_id == f"{taken.utterance_id}_{self.revisions[taken.utterance_id]}"
        self.on_their_way[taken.utterance_id] = self.waiting.pop(taken.utterance_id)

    @rule(utterance=utterances)
    def settle(self, utterance: str) -> None:
        known = self.on_their_way.pop(utterance, None)
        assert self.newest.settle(known or interim(utterance, 0)) is (known is not None)

    @rule(utterance=utterances)
    def close(self, utterance: str) -> None:
        assert self.newest.close(utterance) is self.waiting.pop(utterance, None)

    @rule(call=st.sampled_from("abcd"))
    def end(self, call: str) -> None:
        shed = names(self.newest.end(call))
        expected = []
        for place in (self.waiting, self.on_their_way):
            gone = [name for name, each in place.items() if each.call_id == call]
            expected += names(place.pop(name) for name in gone)
        assert shed == expected

    @invariant()
    def holds_the_limits(self) -> None:
        assert len(self.waiting) <= WAITING
        assert len(self.on_their_way) <= ON_THEIR_WAY


TestNewest = NewestMachine.TestCase
