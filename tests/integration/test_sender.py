"""The sender between a real store and real receivers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from config import delivery as settings
from gateway import __version__
from gateway.delivery.outbox import Outbox
from gateway.delivery.posting import Poster, new_sessions
from gateway.delivery.retry import kind_of
from gateway.delivery.sender import Sender
from gateway.delivery.signing import verify
from gateway.events import StoredEvent
from gateway.receiver import Received, Receiver
from tests.recipients import to
from tests.sites import KEYS, SECRETS, HeldSite, Site, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.delivery.posting import Sessions
    from gateway.delivery.transaction import Probe

START = 1_760_000_000.0


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def event(call_id: str, sequence: int) -> StoredEvent:
    return StoredEvent(
        event_id=f"msg_{call_id}_{sequence}",
        call_id=call_id,
        sequence=sequence,
        type="transcript.final",
        body=b'{"type":"transcript.final","timestamp":"2025-10-09T08:53:20.000Z","data":{"text":"my words"}}',
    )


def rests(sender: Sender) -> bool:
    return sender.resting


class Bench:
    """A store, a session and a clock, from which senders are made and run."""

    def __init__(self, outbox: Outbox, sessions: Sessions, clock: Callable[[], float]) -> None:
        self.outbox = outbox
        self.sessions = sessions
        self.clock = clock
        self.running: asyncio.Task[None]
        self.attempts: list[str] = []

    @contextlib.asynccontextmanager
    async def sending(
        self,
        url: str,
        *,
        probe: Probe = lambda _point: None,
        brought: bool = False,
        clock: Callable[[], float] | None = None,
        **changes: object,
    ) -> AsyncIterator[Sender]:
        options: dict[str, object] = {"retry_seconds": (5.0, 300.0), "timeout_seconds": 10.0} | changes
        delivery = settings.Delivery(**options)  # type: ignore[arg-type]
        sender = Sender(
            self.outbox,
            "crm",
            delivery,
            post=Poster(
                settings.Endpoint(name="crm", url=url, secrets=SECRETS),
                self.sessions,
                timeout_seconds=delivery.timeout_seconds,
                connect_timeout_seconds=delivery.connect_timeout_seconds,
                clock=self.clock,
            ),
            clock=clock or self.clock,
            wall=self.clock,
            random=lambda: 0.5,
            brought=brought,
            on_attempt=lambda outcome, decision: self.attempts.append(kind_of(outcome, decision)),
            probe=probe,
        )
        async with asyncio.TaskGroup() as group:
            self.running = group.create_task(sender.run())
            yield sender
            self.running.cancel()

    async def append(self, sender: Sender, *events: StoredEvent) -> None:
        for each in events:
            await self.outbox.append(each, to("crm"))
        sender.wake()

    async def next_due(self) -> float | None:
        return (await self.outbox.claim("crm", 0, 1.0, 1.0)).next_due


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def bench(tmp_path: Path, clock: Clock) -> AsyncIterator[Bench]:
    outbox = Outbox(tmp_path, clock=clock)
    await outbox.start()
    async with new_sessions() as sessions:
        yield Bench(outbox, sessions, clock)
    await outbox.close()


async def test_delivers_a_call_in_turn_signed(bench: Bench) -> None:
    received: asyncio.Queue[Received] = asyncio.Queue()
    receiver = Receiver(KEYS[1:], clock=bench.clock, on_event=received.put_nowait, path="/hook")
    port = await receiver.start("127.0.0.1", 0)
    async with bench.sending(f"http://127.0.0.1:{port}/hook") as sender:
        await bench.append(sender, *(event("a", n) for n in range(1, 8)))
        assert await sender.flush(10)
    await receiver.stop()
    assert [received.get_nowait().event_id for _ in range(received.qsize())] == [f"msg_a_{n}" for n in range(1, 8)]
    assert await bench.outbox.pending() == 0


async def test_says_what_and_who_it_is(bench: Bench) -> None:
    site = Site()
    async with serving(site.handle) as url, bench.sending(url) as sender:
        await bench.append(sender, event("a", 1))
        headers, body = await site.next()
        assert await sender.flush(10)
    assert body == event("a", 1).body
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == f"Linescribe/{__version__}"
    assert len(headers["webhook-signature"].split()) == 2


async def test_every_attempt_is_signed_anew_under_the_same_id(bench: Bench, clock: Clock) -> None:
    site = Site(500, 503)
    async with serving(site.handle) as url, bench.sending(url) as sender:
        await bench.append(sender, event("a", 1), event("a", 2))
        attempts = [await site.next()]
        for wait in (5.0, 300.0):
            assert await sender.flush(10)
            clock.now += wait - 0.1
            assert await sender.flush(10)
            assert site.requests.empty()
            clock.now += 0.1
            sender.wake()
            attempts.append(await site.next())
        (after, _) = await site.next()
        assert await sender.flush(10)
    assert [headers["webhook-id"] for headers, _ in attempts] == ["msg_a_1"] * 3
    assert [headers["webhook-timestamp"] for headers, _ in attempts] == ["1760000000", "1760000005", "1760000305"]
    for headers, body in attempts:
        for key in KEYS:
            verify([key], headers, body, float(headers["webhook-timestamp"]))
    assert after["webhook-id"] == "msg_a_2"
    assert await bench.outbox.pending() == 0


async def test_gives_up_after_the_last_wait_and_goes_on(bench: Bench, clock: Clock) -> None:
    site = Site(500, 500)
    with capture_logs() as logs:
        async with serving(site.handle) as url, bench.sending(url, retry_seconds=(5.0,)) as sender:
            await bench.append(sender, event("a", 1), event("a", 2))
            await site.next()
            assert await sender.flush(10)
            clock.now += 5
            assert await sender.flush(10)
    assert [(await site.next())[0]["webhook-id"] for _ in range(2)] == ["msg_a_1", "msg_a_2"]
    (lost,) = (line for line in logs if line["log_level"] == "error")
    assert lost == {
        "log_level": "error",
        "event": "given up",
        "reason": "HTTP 500 at attempt 2, the last",
        "endpoint": "crm",
        "event_id": "msg_a_1",
        "call_id": "a",
        "attempt": 2,
    }


async def test_gone_disables_the_endpoint_and_loses_nothing(bench: Bench) -> None:
    site = Site(410)
    with capture_logs() as logs:
        async with serving(site.handle) as url, bench.sending(url) as sender:
            await bench.append(sender, event("a", 1), event("a", 2), event("b", 1))
            assert await sender.flush(10)
            await bench.append(sender, event("c", 1))
            assert await sender.flush(10)
            assert 1 <= site.requests.qsize() <= 2, "what was on its way at the same time"
            assert await bench.outbox.pending() >= 3
            assert "linescribe outbox enable" in next(line["event"] for line in logs if line["log_level"] == "error")
            await bench.outbox.run(lambda db: db.execute("DELETE FROM disabled"))
            sender.hasten()
            assert await sender.flush(10)
    assert await bench.outbox.pending() == 0
    assert "disabled" in bench.attempts


async def test_gone_is_said_of_one_event_where_its_call_has_brought_the_url(bench: Bench) -> None:
    site = Site(410)
    async with serving(site.handle) as url, bench.sending(url, brought=True) as sender:
        await bench.append(sender, event("a", 1), event("a", 2))
        assert await sender.flush(10)
    assert bench.attempts == ["given_up", "delivered"]
    assert await bench.outbox.pending() == 0


async def test_a_receiver_that_is_down_is_tried_now_and_then(bench: Bench, clock: Clock) -> None:
    site = Site(*[500] * 6)
    async with (
        serving(site.handle) as url,
        bench.sending(url, concurrency=1, breaker_failures=5, breaker_rest_seconds=30.0) as sender,
    ):
        await bench.append(sender, *(event(str(call), 1) for call in range(20)))
        assert await sender.flush(10)
        assert site.requests.qsize() == 5, "the other fifteen keep all their attempts"
        assert rests(sender)
        clock.now += 1.0
        sender.wake()
        assert await sender.flush(10)
        assert site.requests.qsize() == 6, "one that tells whether it is well"
        clock.now += 1.9
        assert await sender.flush(10)
        assert site.requests.qsize() == 6
        clock.now += 0.1
        assert await sender.flush(10)
        assert not rests(sender)
    assert site.requests.qsize() == 6 + 20, "those that failed are due again, now that it is well"
    assert await bench.outbox.pending() == 0


async def test_a_rest_that_ends_while_it_is_looked_at_is_no_longer_for_that(bench: Bench) -> None:
    """It was, by a minute: that there was no slot was seen a moment before, and that nothing is due a moment after."""
    moments = itertools.count(0.0, 0.6)  # so much passes from each look at the clock to the next
    site = Site(*[500] * 3)
    changes: dict[str, Any] = {"concurrency": 1, "breaker_failures": 3, "retry_seconds": (0.0,) * 9}
    async with serving(site.handle) as url, bench.sending(url, clock=lambda: next(moments), **changes) as sender:
        await bench.append(sender, event("a", 1))
        for _ in range(4):
            await site.next()
        assert await sender.flush(10)


async def test_an_endpoint_that_is_up_and_down_does_not_cost_an_event_its_last_attempts(
    bench: Bench, clock: Clock
) -> None:
    site = Site(*[500] * 3)
    schedule = (5.0, 300.0, 3000.0, 30_000.0)
    async with (
        serving(site.handle) as url,
        bench.sending(
            url,
            concurrency=1,
            breaker_failures=3,
            retry_seconds=schedule,
            hold_back_seconds=1e6,
        ) as sender,
    ):
        await bench.append(sender, event("a", 1))
        for wait in (5.0, 300.0):
            assert await sender.flush(10)
            clock.now += wait
        assert await sender.flush(10)
        assert rests(sender), "the third attempt has failed, the next is due in an hour"
        await bench.append(sender, event("b", 1))
        clock.now += 1.0
        assert await sender.flush(10)
        assert not rests(sender)
        assert site.requests.qsize() == 4, "the other event has shown that it is well"
        assert await bench.next_due() == clock.now - 1.0 + 3000.0
        clock.now += 3000.0
        assert await sender.flush(10)
    assert await bench.outbox.pending() == 0


async def test_an_operator_need_not_wait_for_the_next_try(bench: Bench) -> None:
    site = Site(*[500] * 3)
    async with serving(site.handle) as url, bench.sending(url, concurrency=1, breaker_failures=3) as sender:
        await bench.append(sender, *(event(str(call), 1) for call in range(4)))
        assert await sender.flush(10)
        assert rests(sender)
        sender.hasten()
        assert await sender.flush(10)
        assert not rests(sender)
    assert await bench.outbox.pending() == 0


async def test_waits_as_long_as_it_is_asked_to(bench: Bench) -> None:
    site = Site(503, headers={"Retry-After": "77"})
    async with serving(site.handle) as url, bench.sending(url) as sender:
        await bench.append(sender, event("a", 1))
        assert await sender.flush(10)
    assert await bench.next_due() == START + 77


async def test_a_redirect_is_not_followed(bench: Bench) -> None:
    elsewhere = Site()
    async with serving(elsewhere.handle) as target:
        site = Site(307, headers={"Location": target})
        async with serving(site.handle) as url, bench.sending(url) as sender:
            await bench.append(sender, event("a", 1))
            assert await sender.flush(10)
    assert site.requests.qsize() == 1
    assert elsewhere.requests.empty()
    assert await bench.next_due() == START + 5


async def test_a_receiver_that_does_not_answer_in_time_is_tried_again(bench: Bench) -> None:
    site = HeldSite()
    with capture_logs() as logs:
        async with serving(site.handle) as url, bench.sending(url, timeout_seconds=0.2) as sender:
            await bench.append(sender, event("a", 1))
            assert await sender.flush(10)
    assert [line["outcome"] for line in logs] == ["no answer within 0.2 s"]
    assert await bench.next_due() == START + 5


async def test_a_receiver_that_is_not_there_is_tried_again(bench: Bench) -> None:
    async with serving(Site().handle) as url:
        pass
    with capture_logs() as logs:
        async with bench.sending(url) as sender:
            await bench.append(sender, event("a", 1))
            assert await sender.flush(10)
    assert "cannot connect to 127.0.0.1:" in logs[0]["outcome"]
    assert await bench.next_due() == START + 5


async def test_a_failed_attempt_is_one_line_without_words_or_secrets(bench: Bench) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.close()
        return web.Response()

    with capture_logs() as logs:
        async with serving(hang_up) as url, bench.sending(url) as sender:
            await bench.append(sender, event("a", 1))
            assert await sender.flush(10)
    assert logs == [
        {
            "log_level": "warning",
            "event": "not delivered",
            "outcome": "ServerDisconnectedError",
            "next_try_seconds": 5.0,
            "endpoint": "crm",
            "event_id": "msg_a_1",
            "call_id": "a",
            "attempt": 1,
        }
    ]
    for secret in ("my words", "s3cret", *(secret.reveal() for secret in SECRETS)):
        assert secret not in str(logs)


async def test_an_endless_answer_is_not_read_to_its_end(bench: Bench) -> None:
    left = asyncio.Event()

    async def talk(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        try:
            while True:
                await answer.write(bytes(8192))
        finally:
            left.set()

    async with serving(talk) as url, bench.sending(url) as sender:
        await bench.append(sender, event("a", 1))
        async with asyncio.timeout(5):  # half of what an attempt may take
            await left.wait()
        assert await sender.flush(10)
    assert await bench.outbox.pending() == 0


async def test_an_answer_that_never_ends_is_still_an_answer(bench: Bench) -> None:
    async def begin(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        await answer.write(b"well")
        await asyncio.sleep(60)
        return answer

    async with serving(begin) as url, bench.sending(url, timeout_seconds=0.3) as sender:
        await bench.append(sender, event("a", 1))
        assert await sender.flush(10)
    assert await bench.outbox.pending() == 0


async def test_a_connection_is_used_again(bench: Bench) -> None:
    peers = set()

    async def answer_slowly(request: web.Request) -> web.StreamResponse:
        assert request.transport
        peers.add(request.transport.get_extra_info("peername"))
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        for _ in range(3):
            await asyncio.sleep(0.01)  # the status arrives well before the end
            await answer.write(b"thank you")
        return answer

    async with serving(answer_slowly) as url, bench.sending(url) as sender:
        await bench.append(sender, *(event("a", n) for n in range(1, 5)))
        assert await sender.flush(10)
    assert len(peers) == 1


async def test_so_many_at_once_and_no_more(bench: Bench) -> None:
    site = HeldSite()
    async with serving(site.handle) as url, bench.sending(url, concurrency=2) as sender:
        await bench.append(sender, *(event(call_id, 1) for call_id in "abcde"))
        await site.next()
        await site.next()
        assert not await sender.flush(0.2)  # time for a third, if it were to come
        assert site.requests.empty()
        site.released.set()
        assert await sender.flush(10)
    assert site.answered == 5


async def test_one_call_has_one_event_on_its_way(bench: Bench) -> None:
    site = HeldSite()
    async with serving(site.handle) as url, bench.sending(url) as sender:
        await bench.append(sender, event("a", 1), event("a", 2), event("b", 1))
        under_way = {(await site.next())[0]["webhook-id"] for _ in range(2)}
        assert not await sender.flush(0.2)
        assert site.requests.empty()
        site.released.set()
        assert await sender.flush(10)
    assert under_way == {"msg_a_1", "msg_b_1"}
    assert (await site.next())[0]["webhook-id"] == "msg_a_2"


async def test_an_unforeseen_error_is_a_failed_attempt(bench: Bench, clock: Clock) -> None:
    errors = iter([RuntimeError("a bug")])

    def probe(point: str) -> None:
        assert point == "sender.after_post"
        if error := next(errors, None):
            raise error

    site = Site()
    with capture_logs() as logs:
        async with serving(site.handle) as url, bench.sending(url, probe=probe) as sender:
            await bench.append(sender, event("a", 1))
            assert await sender.flush(10)
            clock.now += 5
            assert await sender.flush(10)
    assert [line["event"] for line in logs] == [
        "an attempt went wrong in a way not foreseen",
        "not delivered",
        "delivered",
    ]
    assert site.requests.qsize() == 2
    assert await bench.outbox.pending() == 0


async def test_cancelling_leaves_the_event_to_be_claimed_again(bench: Bench, tmp_path: Path) -> None:
    site = HeldSite()
    async with serving(site.handle) as url:
        async with bench.sending(url) as sender:
            await bench.append(sender, event("a", 1))
            await site.next()
        assert await bench.outbox.pending() == 1
        await bench.outbox.close()
        again = Outbox(tmp_path, clock=bench.clock)
        await again.start()
        (delivery,) = (await again.claim("crm", 1, 1.0, 1.0)).deliveries
        await again.close()
    assert (delivery.event_id, delivery.attempt) == ("msg_a_1", 1)


async def test_flushing_waits_for_what_is_due_and_not_for_what_is_not(bench: Bench) -> None:
    site = Site(500)
    async with serving(site.handle) as url, bench.sending(url) as sender:
        assert await sender.flush(10)
        await bench.outbox.append(event("a", 1), to("crm"))  # nobody woke the sender
        assert await sender.flush(10)
        assert site.requests.qsize() == 1
        assert await bench.outbox.pending() == 1
        assert await sender.flush(10)


async def test_flushing_takes_no_longer_than_it_may(bench: Bench) -> None:
    site = HeldSite()
    async with serving(site.handle) as url, bench.sending(url) as sender:
        await bench.append(sender, event("a", 1))
        await site.next()
        assert not await sender.flush(0.05)
        site.released.set()
        assert await sender.flush(10)


async def test_wakes_by_itself_when_a_retry_is_due(bench: Bench, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()

    def ticking() -> float:
        return START + loop.time()

    outbox = Outbox(tmp_path / "second", clock=ticking)
    await outbox.start()
    second = Bench(outbox, bench.sessions, ticking)
    site = Site(500, 500)
    async with serving(site.handle) as url, second.sending(url, retry_seconds=(0.05, 0.1)) as sender:
        await second.append(sender, event("a", 1))
        for _ in range(3):
            await site.next()
        assert await sender.flush(10)
    assert await outbox.pending() == 0
    await outbox.close()


async def test_outlives_trouble_with_the_store(bench: Bench, tmp_path: Path) -> None:
    site = Site()
    outbox = Outbox(tmp_path / "second", clock=bench.clock)
    second = Bench(outbox, bench.sessions, bench.clock)
    with capture_logs() as logs:
        async with serving(site.handle) as url, second.sending(url) as sender:
            assert not await sender.flush(0.1)
            await outbox.start()
            await second.append(sender, event("a", 1))
            await site.next()
            assert await sender.flush(10)
    assert {line["event"] for line in logs} == {"nothing can be claimed", "delivered"}
    assert await outbox.pending() == 0
    await outbox.close()


async def test_an_attempt_that_cannot_be_settled_does_not_end_the_sender(bench: Bench) -> None:
    site = HeldSite()
    with capture_logs() as logs:
        async with serving(site.handle) as url, bench.sending(url) as sender:
            await bench.append(sender, event("a", 1))
            await site.next()
            await bench.outbox.close()
            site.released.set()
            async with asyncio.timeout(10):
                while not any(line["event"] == "an attempt could not be settled" for line in logs):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # the log is all that tells of it
            assert not bench.running.done()
    # Beside it may stand that nothing can be claimed, if the sender was just asking.
    assert "an attempt could not be settled" in [line["event"] for line in logs]


async def test_keeps_no_cookies_and_asks_no_proxy(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    site = Site(headers={"Set-Cookie": "session=1"})
    async with serving(site.handle) as url, bench.sending(url) as sender:
        await bench.append(sender, event("a", 1), event("a", 2))
        assert await sender.flush(10)
    for _ in range(2):
        headers, _body = await site.next()
        assert "Cookie" not in headers
