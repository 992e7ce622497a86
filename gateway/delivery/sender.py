"""From the event store to one endpoint: claim, sign, POST, settle."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway.delivery.breaker import Breaker
from gateway.delivery.outbox import Delivery, Outbox, OutboxError, Probe, no_probe
from gateway.delivery.retry import Decision, Delivered, Disable, GiveUp, Outcome, RetryAt, Unanswered, decide

if TYPE_CHECKING:
    from collections.abc import Callable

    from config import delivery as settings

LEASE_MARGIN_SECONDS = 60.0
"""What settling may take after the longest attempt, before another attempt is made."""

LONGEST_REST_SECONDS = 60.0
"""A look at the store now and then: the system's clock may be set while we rest by another one."""

TROUBLE_SECONDS = 1.0

log = structlog.get_logger()


class Post(Protocol):
    """Makes attempts at one endpoint."""

    async def post(self, event_id: str, body: bytes, url: str | None = None) -> Outcome:
        """Make one; what the receiver or the network does wrong is an outcome."""
        ...


class Sender:
    """Deliver what waits for one endpoint, `delivery.concurrency` events at a time.

    `endpoint` is its name in the store. `clock` is for rests, `wall` gives seconds since the epoch, `random` numbers
    from 0 to 1. `brought` says that calls bring its URL; then a receiver that wants no more speaks for one event alone.
    `on_attempt` is told of every outcome. `probe` is told "sender.after_post" between an answer and its settling.
    """

    def __init__(
        self,
        outbox: Outbox,
        endpoint: str,
        delivery: settings.Delivery,
        *,
        post: Post,
        clock: Callable[[], float],
        wall: Callable[[], float],
        random: Callable[[], float],
        brought: bool = False,
        on_attempt: Callable[[Outcome, Decision], None] = lambda _outcome, _decision: None,
        probe: Probe = no_probe,
    ) -> None:
        self.endpoint = endpoint
        self._outbox = outbox
        self._settings = delivery
        self._post = post
        self._clock = clock
        self._wall = wall
        self._random = random
        self._brought = brought
        self._on_attempt = on_attempt
        self._probe = probe
        self._breaker = Breaker(
            most=delivery.concurrency,
            failures=delivery.breaker_failures,
            rest_seconds=delivery.breaker_rest_seconds,
        )
        self._in_flight = 0
        self.disabled = False
        """Whether the endpoint wanted no more when that was last looked at."""
        self._stirred = asyncio.Event()
        self._idle = asyncio.Event()

    def adopt(self, delivery: settings.Delivery, post: Post) -> None:
        """Send by other settings from here on; attempts in progress end as they began."""
        self._settings, self._post = delivery, post
        self._breaker.adopt(
            most=delivery.concurrency,
            failures=delivery.breaker_failures,
            rest_seconds=delivery.breaker_rest_seconds,
        )
        self.hasten()

    @property
    def resting(self) -> bool:
        """Whether the endpoint is left alone for a while, for it does not answer or asks for that."""
        return self._breaker.until is not None

    @property
    def idle(self) -> bool:
        """Whether nothing could be sent when that was last tried, nor is anything in progress."""
        return self._idle.is_set()

    async def run(self) -> None:
        """Deliver until cancelled. Attempts in progress are dropped then; their events can be claimed again later."""
        async with asyncio.TaskGroup() as attempts:
            while True:
                self._stirred.clear()
                self._idle.clear()
                try:
                    seconds = await self._send_due(attempts)
                except OutboxError as error:
                    log.warning("nothing can be claimed", endpoint=self.endpoint, error=str(error))
                    seconds = TROUBLE_SECONDS
                await self._rest(seconds)

    def wake(self) -> None:
        """Say that something was appended."""
        self._stirred.set()

    def hasten(self) -> None:
        """Say that the endpoint may be tried now, even if it rests."""
        self._breaker.hasten(self._clock())
        self._stirred.set()

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing can be sent now nor is in progress, and tell whether it came to that in time.

        `run` must be running.
        """
        self._idle.clear()
        self._stirred.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                return await self._idle.wait()
        return False

    async def _send_due(self, attempts: asyncio.TaskGroup) -> float:
        """Begin as many attempts as may be; tell for how long to rest."""
        slots = self._breaker.slots(self._clock(), self._in_flight)
        seconds = await self._claim(attempts, slots) if slots else self._seconds_without_slots()
        if not self._in_flight and not self._stirred.is_set() and seconds > 0:
            self._idle.set()
        return min(seconds, LONGEST_REST_SECONDS)

    async def _claim(self, attempts: asyncio.TaskGroup, slots: int) -> float:
        """Begin up to so many attempts; tell when there is something to claim again, unless one of them ends before."""
        claimed = await self._outbox.claim(
            self.endpoint,
            slots,
            self._settings.timeout_seconds + LEASE_MARGIN_SECONDS,
            self._settings.hold_back_seconds,
        )
        self._note(disabled=claimed.disabled)
        for delivery in claimed.deliveries:
            self._in_flight += 1
            attempts.create_task(self._deliver(delivery))
        if len(claimed.deliveries) == slots or claimed.next_due is None:
            return LONGEST_REST_SECONDS
        return claimed.next_due - self._wall()

    def _seconds_without_slots(self) -> float:
        """Tell when there will be one, unless an attempt ends before."""
        if self._in_flight or self._breaker.until is None:
            return LONGEST_REST_SECONDS
        return self._breaker.until - self._clock()

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()

    async def _deliver(self, delivery: Delivery) -> None:
        """Make one attempt and settle it; never raise, for that would end the sender."""
        try:
            outcome = await self._attempt(delivery)
            decision = self._decide(delivery, outcome)
            self._on_attempt(outcome, decision)
            recovered = self._breaker.hear(outcome, self._clock(), self._random())
            await self._outbox.settle(delivery, decision)
            self._report(delivery, outcome, decision)
            if recovered:
                await self._outbox.hasten(self.endpoint, len(self._settings.retry_seconds) // 2)
        except Exception:  # its lease will run out, and it is claimed again
            log.exception("an attempt could not be settled", **_names(delivery))
        finally:
            self._in_flight -= 1
            self._stirred.set()

    async def _attempt(self, delivery: Delivery) -> Outcome:
        try:
            outcome = await self._post.post(delivery.event_id, delivery.body, delivery.url)
            self._probe("sender.after_post")
        except Exception as error:  # a failed attempt like any other
            log.exception("an attempt went wrong in a way not foreseen", **_names(delivery))
            return Unanswered(f"unexpected {type(error).__name__}")
        return outcome

    def _decide(self, delivery: Delivery, outcome: Outcome) -> Decision:
        decision = decide(
            delivery.attempt,
            outcome,
            retry_seconds=self._settings.retry_seconds,
            jitter=self._settings.jitter,
            random=self._random(),
            now=self._wall(),
        )
        if isinstance(decision, Disable) and self._brought:
            return GiveUp(decision.reason)
        return decision

    def _note(self, *, disabled: bool) -> None:
        if disabled != self.disabled:
            note = log.warning if disabled else log.info
            note("the endpoint is disabled" if disabled else "the endpoint is enabled", endpoint=self.endpoint)
        self.disabled = disabled

    def _report(self, delivery: Delivery, outcome: Outcome, decision: Decision) -> None:
        match decision:
            case Delivered():
                log.debug("delivered", **_names(delivery))
            case RetryAt(due_at):
                seconds = round(due_at - self._wall(), 3)
                log.warning("not delivered", **_names(delivery), outcome=str(outcome), next_try_seconds=seconds)
            case GiveUp(reason):
                log.error("given up", **_names(delivery), reason=reason)
            case Disable(reason):
                log.error(
                    "the endpoint is disabled: its events wait until linescribe outbox enable",
                    **_names(delivery),
                    reason=reason,
                )


def _names(delivery: Delivery) -> dict[str, str | int]:
    return {
        "endpoint": delivery.endpoint,
        "event_id": delivery.event_id,
        "call_id": delivery.call_id,
        "attempt": delivery.attempt,
    }
