from __future__ import annotations

import msgspec

from gateway.pulse import CLOCK_SECONDS, MODELS_SECONDS, OVERRUN_SECONDS, STORE_SECONDS, Pulse

LIMIT = 120.0


class Body(msgspec.Struct):
    away_seconds: float = 0.0
    longest_seconds: float = 0.0
    rounds: int = 0
    waiting: int = 0


def pulse(body: Body) -> Pulse:
    return Pulse(body, body, lambda: LIMIT)


def test_what_has_not_begun_is_not_stuck() -> None:
    assert pulse(Body(longest_seconds=1e9, away_seconds=1e9)).stuck(1e9) == []


def test_the_timer_has_to_come_round() -> None:
    felt = pulse(Body())
    felt.beat(100.0)
    assert felt.stuck(100.0 + CLOCK_SECONDS) == []
    assert felt.stuck(100.1 + CLOCK_SECONDS) == ["the calls' timer has stopped"]
    felt.beat(200.0)
    assert felt.stuck(200.0) == []


def test_a_store_that_has_nothing_to_do_may_rest() -> None:
    felt = pulse(Body(rounds=7))
    for now in range(0, 1000, 5):
        felt.beat(float(now))
        assert felt.stuck(float(now)) == []


def test_a_store_that_tries_is_not_stuck_though_the_disk_is_full() -> None:
    body = Body(waiting=5000)
    felt = pulse(body)
    for now in range(1000):
        body.rounds += 1
        felt.beat(float(now))
        assert felt.stuck(float(now)) == []


def test_a_store_that_does_not_come_round_is() -> None:
    body = Body(rounds=3, waiting=1)
    felt = pulse(body)
    felt.beat(0.0)
    felt.beat(STORE_SECONDS)
    assert felt.stuck(STORE_SECONDS) == []
    felt.beat(STORE_SECONDS + 1)
    assert felt.stuck(STORE_SECONDS + 1) == ["the event store's thread has stopped"]
    body.rounds += 1
    felt.beat(STORE_SECONDS + 2)
    assert felt.stuck(STORE_SECONDS + 2) == []


def test_a_decode_may_take_its_time_and_no_more() -> None:
    body = Body(longest_seconds=LIMIT + OVERRUN_SECONDS)
    felt = pulse(body)
    felt.beat(0.0)
    assert felt.stuck(0.0) == []
    body.longest_seconds += 1
    assert felt.stuck(0.0) == ["a decode has been running for too long"]


def test_models_may_be_away_for_a_while() -> None:
    body = Body(away_seconds=MODELS_SECONDS)
    felt = pulse(body)
    felt.beat(0.0)
    assert felt.stuck(0.0) == []
    body.away_seconds += 1
    assert felt.stuck(0.0) == ["the models have been away for too long"]
