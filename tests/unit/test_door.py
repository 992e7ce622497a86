from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.stream import RefusalReason
from asr.pressure import Level
from config.settings import Calls
from gateway.door import Door
from tests.backlog import Desk


class House:
    """A door before a desk."""

    def __init__(self, **limits: Any) -> None:
        self.now = 0.0
        self.desk = Desk(lambda: self.now, self.advance)
        self.door = Door(Calls(**limits), self.desk.scheduler)

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, seconds: int, *, calls: int = 10) -> bool:
        """Look every second; tell whether it is open in the end."""
        for _ in range(seconds):
            self.now += 1.0
            self.door.tick(self.now, calls)
        return self.door.open


async def test_it_closes_while_finals_wait_too_long_and_tells_of_both() -> None:
    house = House()
    with capture_logs() as logs:
        async with house.desk.working():
            waiting = await house.desk.fall_behind()
            assert house.wait(3)
            assert not house.wait(1)
            assert not house.wait(10)
            await house.desk.catch_up(waiting)
            assert not house.wait(3)
            assert house.wait(1)
    closed, opened = [each for each in logs if "new calls" in each["event"]]
    assert (closed["log_level"], opened["log_level"]) == ("warning", "info")
    assert closed["wait_seconds"] > 5.0
    assert opened["wait_seconds"] < 2.5
    assert (closed["limit_seconds"], closed["calls"], closed["capacity_calls"]) == (5.0, 10, None)


@pytest.mark.parametrize(
    ("limits", "opens"), [({"final_wait_seconds": None}, True), ({"final_wait_patience_seconds": 0.0}, False)]
)
async def test_the_settings_decide(limits: dict[str, float | None], *, opens: bool) -> None:
    house = House(**limits)
    async with house.desk.working():
        await house.desk.fall_behind()
        assert house.wait(1) is opens


async def test_what_the_machine_bears_is_measured() -> None:
    house = House()
    async with house.desk.working():
        house.door.tick(house.now, 0)
        for _ in range(40):
            await house.desk.decode(1)
            house.wait(3, calls=20)  # so that four seconds of twenty calls cost one
        assert house.door.capacity == pytest.approx(0.75 * 20 * 4, abs=2)


async def test_it_stays_closed_while_there_is_no_model_though_nothing_waits() -> None:
    house = House()
    async with house.desk.working():
        await house.desk.decode(1)
        await house.desk.engine.set_down(0)
        house.desk.submit().cancel()  # for which the lane has looked for its model
        for _ in range(5):
            await asyncio.sleep(0)
        assert not house.wait(10)
        assert not house.wait(60)
        await house.desk.engine.set_down()
        for _ in range(5):
            await asyncio.sleep(0)
        assert house.wait(4)


async def test_pressure_eases_though_nobody_asks_how_hard_it_is() -> None:
    house = House()
    async with house.desk.working():
        waiting = await house.desk.fall_behind()
        house.wait(1)
        levels = [house.desk.scheduler.level]
        await house.desk.catch_up(waiting)
        house.wait(5)
        assert [*levels, house.desk.scheduler.level] == [Level.CRITICAL, Level.NORMAL]


def test_refusals_are_counted_by_reason_and_all_reasons_are_there() -> None:
    door = House().door
    assert door.refused == dict.fromkeys(RefusalReason, 0)
    assert door.refusal(RefusalReason.FULL).reason is RefusalReason.FULL
    door.refusal(RefusalReason.FULL)
    door.refusal(RefusalReason.OVERLOADED)
    assert {reason: count for reason, count in door.refused.items() if count} == {
        RefusalReason.FULL: 2,
        RefusalReason.OVERLOADED: 1,
    }
