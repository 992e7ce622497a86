"""From the event store to one endpoint: claim, sign, POST, settle."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from gateway.delivery.outbox import Delivery, Outbox, OutboxError, Probe, no_probe
from gateway.delivery.posting import Poster
from gateway.delivery.retry import Decision, Delivered, GiveUp, Outcome, RetryAt, Unanswered, decide

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from config import settings

LEASE_MARGIN_SECONDS = 60.0
"""What settling may take after the longest attempt, before another attempt is made."""

LONGEST_REST_SECONDS = 60.0
"""A look at the store now and then: the system's clock may be set while we rest by another one."""

TROUBLE_SECONDS = 1.0

log = structlog.get_logger()


class Sender:
    """Deliver to one endpoint, `delivery.concurrency` events at a time.

    `random` gives numbers from 0 to 1; `probe` is told "sender.after_post" between an answer and its settling.
    """

    def __init__(
        self,
        outbox: Outbox,
        endpoint: settings.Endpoint,
        delivery: settings.Delivery,
        *,
        session: aiohttp.ClientSession,
        clock: Callable[[], float],
        random: Callable[[], float],
        probe: Probe = no_probe,
    ) -> None:
        self._outbox = outbox
        self._endpoint = endpoint
        self._settings = delivery
        self._clock = clock
        self._random = random
        self._probe = probe
        self._poster = Poster(endpoint, session, timeout_seconds=delivery.timeout_seconds, clock=clock)
        self._in_flight = 0
        self._stirred = asyncio.Event()
        self._idle = asyncio.Event()

    async def run(self) -> None:
        """Deliver until cancelled. Attempts in progress are dropped then; their events can be claimed again later."""
        async with asyncio.TaskGroup() as attempts:
            while True:
                self._stirred.clear()
                self._idle.clear()
                try:
                    until = await self._send_due(attempts)
                except OutboxError as error:
                    log.warning("nothing can be claimed", endpoint=self._endpoint.name, error=str(error))
                    until = self._clock() + TROUBLE_SECONDS
                await self._rest(until)

    def wake(self) -> None:
        """Say that something was appended."""
        self._stirred.set()

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing is due now nor in progress, and tell whether it came to that in time.

        `run` must be running.
        """
        self._idle.clear()
        self._stirred.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                return await self._idle.wait()
        return False

    async def _send_due(self, attempts: asyncio.TaskGroup) -> float | None:
        """Fill the free slots; tell until when to rest, None being until stirred."""
        free = self._settings.concurrency - self._in_flight
        if free:
            claimed = await self._outbox.claim(
                self._endpoint.name,
                free,
                self._settings.timeout_seconds + LEASE_MARGIN_SECONDS,
                self._settings.hold_back_seconds,
            )
            for delivery in claimed:
                self._in_flight += 1
                attempts.create_task(self._deliver(delivery))
        if self._in_flight >= self._settings.concurrency:
            return None
        due_at = await self._outbox.next_due(self._endpoint.name)
        if not self._in_flight and not self._stirred.is_set() and (due_at is None or due_at > self._clock()):
            self._idle.set()
        return due_at

    async def _rest(self, until: float | None) -> None:
        seconds = LONGEST_REST_SECONDS if until is None else min(until - self._clock(), LONGEST_REST_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()

    async def _deliver(self, delivery: Delivery) -> None:
        """Make one attempt and settle it; never raise, for that would end the sender."""
        try:
            outcome = await self._attempt(delivery)
            decision = decide(
                delivery.attempt,
                outcome,
                retry_seconds=self._settings.retry_seconds,
                jitter=self._settings.jitter,
                random=self._random(),
                now=self._clock(),
            )
            await self._outbox.settle(delivery, decision)
            self._report(delivery, outcome, decision)
        except Exception:  # its lease will run out, and it is claimed again
            log.exception("an attempt could not be settled", **_names(delivery))
        finally:
            self._in_flight -= 1
            self._stirred.set()

    async def _attempt(self, delivery: Delivery) -> Outcome:
        try:
            outcome = await self._poster.post(delivery.event_id, delivery.body)
            self._probe("sender.after_post")
        except Exception as error:  # a failed attempt like any other
            log.exception("an attempt went wrong in a way not foreseen", **_names(delivery))
            return Unanswered(f"unexpected {type(error).__name__}")
        return outcome

    def _report(self, delivery: Delivery, outcome: Outcome, decision: Decision) -> None:
        match decision:
            case Delivered():
                log.debug("delivered", **_names(delivery))
            case RetryAt(due_at):
                seconds = round(due_at - self._clock(), 3)
                log.warning("not delivered", **_names(delivery), outcome=str(outcome), next_try_seconds=seconds)
            case GiveUp(reason):
                log.error("given up", **_names(delivery), reason=reason)


def _names(delivery: Delivery) -> dict[str, str | int]:
    return {
        "endpoint": delivery.endpoint,
        "event_id": delivery.event_id,
        "call_id": delivery.call_id,
        "attempt": delivery.attempt,
    }
