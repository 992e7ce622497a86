from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stream import Listener, Peer, Refusal, RefusalReason, StreamOffer, StreamSink
from adapters.twilio.prospect import Inquiry, Prospect
from adapters.twilio.starting import (
    NoHttpsError,
    Starter,
    StartError,
    Starters,
    UnknownAccountError,
    UnknownListenerError,
    WantedStream,
)
from adapters.twilio.tickets import Ticket, Tickets

if TYPE_CHECKING:
    from collections.abc import Sequence

TICKET = Ticket(call_sid="CA1", account_sid="AC1", parameters={"called": "+15550100"})
WANTED = WantedStream(ticket=TICKET, listener=None, program="pbx", base="https://calls.example/a")


class Doorkeeper:
    """A host that can be asked, and refuses everybody for a reason, or nobody."""

    def __init__(self, refuses: RefusalReason | None = None) -> None:
        self.refuses = refuses
        self.asked: list[tuple[Inquiry, float]] = []

    def admit(self, offer: StreamOffer, peer: Peer, arrived_at: float) -> StreamSink:
        raise AssertionError((offer, peer, arrived_at))

    def foresee(
        self, listener: Listener, external_call_id: str | None, now: float, vouched_by: str | None = None
    ) -> None:
        raise AssertionError((listener, external_call_id, now, vouched_by))

    def prospect(self, inquiry: Inquiry, now: float) -> Prospect:
        self.asked.append((inquiry, now))
        return Prospect(voice=None, refused=self.refuses)


class Town:
    """Some listeners, each given as its name, its account, and those of Twilio's that it knows."""

    def __init__(self, *listeners: tuple[str, str | None, Sequence[str]], refuses: RefusalReason | None = None) -> None:
        numbers = itertools.count(1)
        self.host = Doorkeeper(refuses)
        self.tickets = {name: Tickets(lambda size: bytes([next(numbers)]) * size) for name, _, _ in listeners}
        starters = [
            Starter(
                Listener(kind="twilio", name=name, account=account),
                path=f"/twilio/{name}",
                sids=sids,
                tickets=self.tickets[name],
                clock=lambda: 7.0,
            )
            for name, account, sids in listeners
        ]
        self.starters = Starters(starters, self.host, lambda: 7.0)

    @property
    def open(self) -> int:
        return sum(map(len, self.tickets.values()))


def test_a_stream_brings_back_what_was_given_out_for_it() -> None:
    town = Town(("sales", None, ["AC1"]))
    start = town.starters.start(WANTED)
    place, _, token = start.url.rpartition("/")
    assert place == "wss://calls.example/a/twilio/sales"
    assert start.status_callback == "https://calls.example/a/twilio/sales/status"
    assert town.tickets["sales"].take(token, 8.0) == TICKET
    ((asked, now),) = town.host.asked
    assert (asked.listener.name, asked.external_call_id, asked.vouched_by, now) == ("sales", "CA1", "AC1", 7.0)
    assert asked.parameters == {"called": "+15550100", "accountSid": "AC1"}


@pytest.mark.parametrize(
    ("named", "program", "found"),
    [(None, "pbx", "ours"), (None, "crm", "theirs"), ("all", "crm", "all"), ("theirs", "crm", "theirs")],
)
def test_a_listener_is_the_named_one_or_the_first_of_the_programs_own(
    named: str | None, program: str, found: str
) -> None:
    town = Town(("theirs", "crm", []), ("ours", "pbx", []), ("all", None, []))
    start = town.starters.start(msgspec.structs.replace(WANTED, listener=named, program=program))
    assert f"/twilio/{found}/" in start.url


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"listener": "theirs"}, UnknownListenerError),
        ({"listener": ""}, UnknownListenerError),
        ({"base": "http://calls.example"}, NoHttpsError),
        ({"base": ""}, NoHttpsError),
        ({"ticket": msgspec.structs.replace(TICKET, account_sid="AC2")}, UnknownAccountError),
    ],
)
def test_who_is_refused_is_given_nothing(wrong: dict[str, object], error: type[StartError]) -> None:
    town = Town(("ours", "pbx", ["AC1"]), ("theirs", "crm", ["AC1"]))
    with pytest.raises(error):
        town.starters.start(msgspec.structs.replace(WANTED, **wrong))
    assert town.open == 0


@pytest.mark.parametrize("reason", [RefusalReason.FULL, RefusalReason.DRAINING, RefusalReason.OVERLOADED])
def test_where_no_calls_are_taken_nothing_is_given_out(reason: RefusalReason) -> None:
    town = Town(("ours", None, []), refuses=reason)
    with pytest.raises(Refusal, match=reason):
        town.starters.start(WANTED)
    assert town.open == 0


def test_a_listener_that_knows_no_accounts_takes_any() -> None:
    town = Town(("ours", None, []))
    town.starters.start(msgspec.structs.replace(WANTED, ticket=msgspec.structs.replace(TICKET, account_sid="AC9")))
    assert town.open == 1


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_asked_for_is_given_or_refused(call_sid: str, listener: str, base: str) -> None:
    town = Town(("ours", None, ["AC1"]))
    ticket = msgspec.structs.replace(TICKET, call_sid=call_sid)
    wanted = msgspec.structs.replace(WANTED, ticket=ticket, listener=listener, base=base)
    with pytest.raises(StartError):
        town.starters.start(wanted)
    assert town.open == 0
