from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.stream import StreamStarted, Track, TrackRole
from gateway.registrations import (
    Registration,
    RegistrationConflictError,
    Registrations,
    RegistrationsFullError,
)

LIMIT = 3
STARTED = StreamStarted(
    stream_id="u", external_call_id="u", tracks=(Track(id="x", role=TrackRole.INBOUND, label="door"),), parameters={}
)


def announced(stream_id: str = "u", *, role: str | None = None, label: str | None = None) -> Registration:
    return Registration(stream_id=stream_id, account="pbx", external_call_id="call", role=role, label=label)


def test_what_was_announced_goes_before_what_the_listener_says() -> None:
    started = announced(role="outbound", label="agent").applied(STARTED)
    (track,) = started.tracks
    assert (track.id, track.role, track.label) == ("x", TrackRole.OUTBOUND, "agent")
    assert (started.stream_id, started.external_call_id) == ("u", "call")


def test_the_listeners_word_is_for_the_listeners_role() -> None:
    (track,) = announced(role="outbound").applied(STARTED).tracks
    assert (track.role, track.label) == (TrackRole.OUTBOUND, None)
    (track,) = announced(role="inbound").applied(STARTED).tracks
    assert (track.role, track.label) == (TrackRole.INBOUND, "door")


def test_it_is_known_by_the_streams_name_and_the_calls_to_its_own_account() -> None:
    known = Registrations(LIMIT)
    known.add(announced("u"), 0, 10)
    known.add(announced("v"), 0, 20)
    assert known.named("call", "pbx", 5) == [announced("u"), announced("v")]
    assert known.named("v", "pbx", 15) == known.named("call", "pbx", 15) == [announced("v")]
    assert known.named("v", "other", 5) == known.named("w", "pbx", 5) == []


def test_role_and_label_are_for_a_stream_of_one_track() -> None:
    pair = msgspec.structs.replace(STARTED, tracks=(*STARTED.tracks, Track(id="y", role=TrackRole.OUTBOUND)))
    assert announced(role="mixed", label="both").applied(pair).tracks == pair.tracks


def test_what_was_not_announced_stays_as_the_listener_says() -> None:
    started = Registration(
        stream_id="u", account="pbx", external_call_id="call", parameters={"queue": "support"}
    ).applied(STARTED)
    assert started.tracks == STARTED.tracks
    assert started.parameters == {"queue": "support"}


def test_announced_again_it_lives_longer() -> None:
    known = Registrations(LIMIT)
    assert known.add(announced(), 0, 10) is True
    assert known.add(announced(), 5, 15) is False
    assert known.find("u", 14) == announced()
    assert known.find("u", 15) is None


def test_after_its_time_it_may_be_announced_otherwise() -> None:
    known = Registrations(LIMIT)
    known.add(announced(), 0, 10)
    with pytest.raises(RegistrationConflictError):
        known.add(announced(label="other"), 9, 20)
    assert known.add(announced(label="other"), 10, 20) is True


class Machine(RuleBasedStateMachine):
    """The registrations beside a plain list of what should be known."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.known = Registrations(LIMIT)
        self.model: dict[str, tuple[Registration, float]] = {}

    def alive(self) -> dict[str, Registration]:
        return {name: each for name, (each, until) in self.model.items() if self.now < until}

    @rule(name=st.sampled_from("abcde"), label=st.sampled_from(["x", "y"]), seconds=st.integers(1, 5))
    def announce(self, name: str, label: str, seconds: int) -> None:
        registration, alive = announced(name, label=label), self.alive()
        try:
            new = self.known.add(registration, self.now, self.now + seconds)
        except RegistrationConflictError:
            assert alive[name] != registration
        except RegistrationsFullError:
            assert name not in alive
            assert len(alive) == LIMIT
        else:
            assert new == (name not in alive)
            assert alive.get(name, registration) == registration
            self.model[name] = (registration, self.now + seconds)

    @rule(name=st.sampled_from("abcde"))
    def come(self, name: str) -> None:
        assert self.known.find(name, self.now) == self.alive().get(name)
        self.known.forget(name)
        self.model.pop(name, None)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        late = {each.stream_id for each in self.known.expire(self.now)}
        assert late.isdisjoint(self.alive())

    @invariant()
    def bounded(self) -> None:
        assert len(self.known) <= LIMIT


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30)
