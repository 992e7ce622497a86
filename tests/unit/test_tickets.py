from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.twilio.tickets import GOOD_SECONDS, MOST_OPEN, Ticket, Tickets

TICKET = Ticket(call_sid="CA1", account_sid="AC1", parameters={"called": "+15550100"})


@pytest.fixture
def tickets() -> Tickets:
    return Tickets(os.urandom)


def test_a_token_is_good_once(tickets: Tickets) -> None:
    token = tickets.issue(TICKET, 0.0)
    assert tickets.take(token, 1.0) == TICKET
    assert tickets.take(token, 1.0) is None


def test_a_token_is_good_for_a_while(tickets: Tickets) -> None:
    early, late = tickets.issue(TICKET, 0.0), tickets.issue(TICKET, 1.0)
    assert tickets.take(early, GOOD_SECONDS + 0.5) is None
    assert tickets.take(late, GOOD_SECONDS + 0.5) == TICKET


def test_a_token_fits_into_a_path(tickets: Tickets) -> None:
    token = tickets.issue(TICKET, 0.0)
    assert len(token) == 32
    assert token.replace("-", "").replace("_", "").isalnum()


def test_only_so_many_are_open(tickets: Tickets) -> None:
    first, *_, last = [tickets.issue(TICKET, 0.0) for _ in range(MOST_OPEN + 1)]
    assert len(tickets) == MOST_OPEN
    assert tickets.take(first, 0.0) is None
    assert tickets.take(last, 0.0) == TICKET


@given(st.text(max_size=40))
def test_whatever_else_is_shown_is_good_for_nothing(token: str) -> None:
    tickets = Tickets(os.urandom)
    tickets.issue(TICKET, 0.0)
    assert tickets.take(token, 0.0) is None
    assert len(tickets) == 1
