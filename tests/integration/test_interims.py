"""Interims between calls and real receivers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from structlog.testing import capture_logs

from asr.types import DecodeKind, DecodeRequest, Hypothesis
from config import delivery as settings
from gateway.delivery import interims as delivery_interims
from gateway.delivery.interims import WARNING_SECONDS, Interims
from gateway.delivery.posting import Poster, new_sessions
from gateway.delivery.signing import verify
from gateway.events import TranscriptInterim, encode_interim
from gateway.transcript import Place, interim
from tests.fakes import FakeEngine
from tests.gateway_under_test import WHSEC, house
from tests.recipients import to
from tests.sites import KEYS, SECRETS, HeldSite, Site, serving
from tests.sound import prompt
from tests.utterances import SOURCE, spoken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.delivery.retry import Outcome
    from gateway.events import EncodedInterim

NOW = 1_760_000_000.0
HEARD = Hypothesis(text="my words", model="base int8")
SPEECH = prompt("conf-onlyperson")


def revision(number: int, utterance: int = 1, call_id: str = "call") -> EncodedInterim:
    place = Place(call_id=call_id, source=SOURCE, sequence=2)
    said = spoken(call_id=call_id, number=utterance)
    return encode_interim(interim(said, HEARD, place, 105.2, revision=number, stable_chars=0), NOW)


class Clock:
    """A clock that moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_interims, "REST_SECONDS", 0.01)


@contextlib.asynccontextmanager
async def sending(url: str, *, clock: Clock | None = None, **changes: float) -> AsyncIterator[Interims]:
    """Send interims to crm; archive wants none."""
    endpoints = tuple(
        settings.Endpoint(name=name, url=url, secrets=SECRETS, interims=name == "crm") for name in ("crm", "archive")
    )
    delivery = settings.Delivery(endpoints=endpoints, **changes)  # type: ignore[arg-type]
    interims = Interims(delivery, clock=clock or Clock(), wall=lambda: NOW)
    async with new_sessions() as sessions, asyncio.TaskGroup() as group:
        running = group.create_task(interims.run(sessions))
        yield interims
        running.cancel()


async def name_of_next(site: Site) -> str:
    headers, _ = await site.next()
    return headers["webhook-id"].removeprefix("msg_call_inbound_")


async def settled(interims: Interims) -> None:
    """Wait until nothing is on its way to crm nor waits."""
    sender = interims._senders["crm"]
    async with asyncio.timeout(10):
        while sender._attempts or sender._newest._waiting:  # noqa: ASYNC110  nobody is told of it in earnest
            await asyncio.sleep(0.005)


async def test_an_interim_is_signed_and_sent_to_who_wants_it() -> None:
    site = Site()
    async with serving(site.handle) as url, sending(url) as interims:
        assert interims.wanted(to("archive", "crm"))
        assert not interims.wanted(to("archive"))
        interims.show(revision(1), to("archive", "crm"))
        headers, body = await site.next()
        await settled(interims)
        assert interims.end("call") == 0
    for key in KEYS:
        verify([key], headers, body, NOW)
    assert headers["webhook-id"] == "msg_call_inbound_1_1"
    event = msgspec.convert(json.loads(body)["data"], TranscriptInterim)
    assert (event.text, event.revision, event.sequence) == ("my words", 1, 2)
    assert site.requests.empty()


async def test_while_a_receiver_is_slow_the_newest_wins_and_the_order_holds() -> None:
    site = HeldSite()
    async with serving(site.handle) as url, sending(url) as interims:
        interims.show(revision(1), to("crm"))
        arrived = [await name_of_next(site)]
        for number in (2, 3, 4):
            interims.show(revision(number), to("crm"))
        assert site.requests.empty()
        site.released.set()
        arrived.append(await name_of_next(site))
        interims.show(revision(5), to("crm"))
        arrived.append(await name_of_next(site))
        await settled(interims)
        assert interims.end("call") == 2
    assert arrived == ["1_1", "1_4", "1_5"]


async def test_one_utterance_does_not_wait_for_another_and_so_many_go_at_once() -> None:
    site = HeldSite()
    async with serving(site.handle) as url, sending(url, interim_concurrency=2) as interims:
        for utterance in (1, 2, 3):
            interims.show(revision(1, utterance), to("crm"))
        assert {await name_of_next(site), await name_of_next(site)} == {"1_1", "2_1"}
        interims.show(revision(2, 1), to("crm"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(site.requests.get(), 0.1)  # time for a third, if it were to come
        site.released.set()
        assert [await name_of_next(site), await name_of_next(site)] == ["3_1", "1_2"]
        await settled(interims)
        assert interims.end("call") == 0


async def test_nothing_is_begun_after_the_final() -> None:
    site = HeldSite()
    async with serving(site.handle) as url, sending(url) as interims:
        interims.show(revision(1), to("crm"))
        assert await name_of_next(site) == "1_1"
        interims.show(revision(2), to("crm"))
        interims.close("call_inbound_1")
        site.released.set()
        await settled(interims)
        assert site.requests.empty()
        assert interims.end("call") == 1


async def test_a_receiver_that_hangs_is_waited_for_so_long_and_no_longer() -> None:
    site = HeldSite()
    with capture_logs() as logs:
        async with serving(site.handle) as url, sending(url, interim_timeout_seconds=0.1) as interims:
            interims.show(revision(1), to("crm"))
            interims.show(revision(1, call_id="other"), to("crm"))
            await settled(interims)
            assert (interims.end("call"), interims.end("other")) == (1, 1)
    assert site.requests.qsize() == 2  # one attempt each
    (line,) = logs
    assert line["event"] == "interims not accepted"
    assert (line["endpoint"], line["outcome"], line["interims"]) == ("crm", "no answer within 0.1 s", 1)


async def test_the_end_of_a_call_breaks_off_what_is_on_its_way() -> None:
    site = HeldSite()
    async with serving(site.handle) as url, sending(url, interim_timeout_seconds=60) as interims:
        interims.show(revision(1), to("crm"))
        await site.next()
        interims.show(revision(2), to("crm"))
        assert interims.end("call") == 2
        await settled(interims)  # long before the minute is over
        assert interims.end("call") == 0  # each is counted once, and nothing is kept of the call
    assert site.requests.empty()


async def test_what_has_not_begun_can_be_broken_off() -> None:
    site = Site()
    async with serving(site.handle) as url, sending(url) as interims:
        await asyncio.sleep(0)  # the sender waits
        interims.show(revision(1), to("crm"))
        await asyncio.sleep(0)  # its attempt is made and has not run
        assert interims.end("call") == 1
        await settled(interims)
        assert site.requests.empty()
        interims.show(revision(1, call_id="other"), to("crm"))
        await site.next()
        await settled(interims)


async def test_of_failures_there_is_one_warning_a_minute() -> None:
    site = Site(500, 302, 410, 500)
    clock = Clock()
    with capture_logs() as logs:
        async with serving(site.handle) as url, sending(url, clock=clock) as interims:
            for number, moment in enumerate((0.0, 1.0, WARNING_SECONDS - 0.1, WARNING_SECONDS), start=1):
                clock.now = moment
                interims.show(revision(number), to("crm"))
                await site.next()
                await settled(interims)
            assert interims.end("call") == 4
    assert [(line["outcome"], line["interims"]) for line in logs] == [("HTTP 500", 1), ("HTTP 500", 3)]
    assert "my words" not in str(logs)
    assert "s3cret" not in str(logs)


async def test_a_receiver_that_is_not_there_costs_nothing_but_its_interims() -> None:
    async with serving(Site().handle) as url:
        pass
    with capture_logs() as logs:
        async with sending(url) as interims:
            interims.show(revision(1), to("crm"))
            await settled(interims)
            assert interims.end("call") == 1
    assert "cannot connect to 127.0.0.1:" in logs[0]["outcome"]


async def test_a_receiver_that_refuses_is_not_tried_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_interims, "REST_SECONDS", 60.0)
    site = Site(500)
    async with serving(site.handle) as url, sending(url, interim_concurrency=1) as interims:
        interims.show(revision(1), to("crm"))
        await site.next()
        interims.show(revision(1, call_id="other"), to("crm"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(site.requests.get(), 0.1)  # time for it, if it were to come
        assert interims.end("call") == 1  # which makes room
        headers, _ = await site.next()
        assert headers["webhook-id"] == "msg_other_inbound_1_1"
        await settled(interims)


async def test_an_unforeseen_error_is_a_failed_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    post = Poster.post

    async def fail_once(self: Poster, event_id: str, body: bytes, _url: str | None) -> Outcome:
        monkeypatch.setattr(Poster, "post", post)
        raise RuntimeError(f"a bug at {event_id}, {len(body)} bytes from {self}")

    monkeypatch.setattr(Poster, "post", fail_once)
    with capture_logs() as logs:
        async with serving(site.handle) as url, sending(url) as interims:
            interims.show(revision(1), to("crm"))
            await settled(interims)
            interims.show(revision(2), to("crm"))
            assert await name_of_next(site) == "1_2"
            await settled(interims)
            assert interims.end("call") == 1
    assert [line["event"] for line in logs] == ["an interim went wrong in a way not foreseen", "interims not accepted"]


# In a whole gateway


def live_endpoint(url: str) -> dict[str, Any]:
    """Give the settings of a second endpoint, which wants interims."""
    return {
        "DELIVERY__ENDPOINTS__1__NAME": "live",
        "DELIVERY__ENDPOINTS__1__URL": url,
        "DELIVERY__ENDPOINTS__1__SECRETS": f"[{WHSEC}]",
        "DELIVERY__ENDPOINTS__1__INTERIMS": "true",
    }


def only_finals(request: DecodeRequest) -> str:
    """Leave the interims to the test."""
    return "" if request.kind is DecodeKind.INTERIM else "a final"


async def test_a_receiver_that_hangs_costs_neither_the_call_nor_its_final(tmp_path: Path) -> None:
    site, engine = HeldSite(), FakeEngine(held=True, text=only_finals)
    async with serving(site.handle) as url, house(tmp_path, engine=engine, **live_endpoint(url)) as home:
        line = await home.call(SPEECH)
        await home.inbox.wait("track.started")
        (session,) = home.gateway._registry._calls.values()
        said = spoken(call_id=session.call_id, number=1)
        for number in (1, 2, 3):
            session._record.interim(said, HEARD, revision=number, stable_chars=0)
        under_way = {(await site.next())[0]["webhook-id"] for _ in range(2)}
        assert under_way == {f"msg_{session.call_id}_1", f"msg_{session.call_id}_inbound_1_3"}
        session._record.interim(said, HEARD, revision=4, stable_chars=0)
        await engine.let_go()
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        # Two that a newer one replaced, one dropped at the final, and one that was not answered.
        assert ended["interims_shed"] == 4
        assert home.inbox.types(line.name) == ["call.started", "track.started", "transcript.final", "call.ended"]
        site.released.set()
