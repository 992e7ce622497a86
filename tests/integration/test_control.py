"""Other settings, other models, the end of a call, draining: all of it under calls in progress."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from adapters.tls import TlsError
from asr.types import ModelLoadError
from config.errors import ConfigError
from gateway.cli.control import ControlError, request
from tests.fakes import FakeEngine
from tests.gateway_under_test import TOKEN, WHSEC, House, house, settings
from tests.sites import Site, serving
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from config.settings import Models, Settings

SPEECH = prompt("conf-onlyperson")
PAUSE = bytes(16 * 900)

OPERATOR = "fedcba9876543210" * 2
ADMIN: dict[str, Any] = {
    "ADMIN__PORT": "0",
    "ADMIN__TOKENS": msgspec.json.encode([{"name": "me", "secret": OPERATOR}]).decode(),
}


class Desk:
    """A gateway's settings file, as far as it goes."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.changes: dict[str, Any] = dict(ADMIN)
        self.port = 0
        self.problem: Exception | None = None

    def read(self) -> Settings:
        if self.problem:
            raise self.problem
        return settings(self.state_dir, self.port, **self.changes)

    async def reload(self) -> Any:
        return await request(self.state_dir, "POST", "/admin/reload")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
async def home(desk: Desk) -> AsyncIterator[House]:
    async with house(desk.state_dir, more=[FakeEngine(text=lambda _: "after")], read=desk.read, **ADMIN) as built:
        desk.port = built.receiver_port
        yield built


async def admin(home: House, method: str, path: str, *, token: str | None = OPERATOR, **body: Any) -> tuple[int, Any]:
    """Ask at the operator's port."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"http://127.0.0.1:{home.admin_port}{path}", **body) as response,
    ):
        return response.status, msgspec.json.decode(await response.read())


async def test_nothing_changes_where_nothing_differs(home: House, desk: Desk) -> None:
    before = home.gateway.control.settings
    told = await desk.reload()
    assert (told["taken"], told["restart"]) == ([], [])
    assert home.gateway.control.settings == before


async def test_limits_apply_to_calls_to_come(home: House, desk: Desk) -> None:
    first = await home.call(SPEECH)
    await home.inbox.wait("call.started")
    desk.changes |= {"CALLS__MAX_CALLS": 1, "CALLS__LINGER_SECONDS": 0}
    assert (await desk.reload())["taken"] == ["calls.max_calls"]
    refused = await home.call()
    await refused.rest()  # the gateway has closed it
    await refused.hang_up()
    await first.say(PAUSE + SPEECH)
    await first.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["utterances"], ended["failed"]) == (2, 0)


async def test_an_endpoint_is_added_under_a_call(home: House, desk: Desk) -> None:
    line = await home.call(SPEECH)
    await home.inbox.wait("call.started")
    site = Site()
    async with serving(site.handle) as url:
        second = {"name": "archive", "url": url, "secrets": [WHSEC]}
        desk.changes |= {f"DELIVERY__ENDPOINTS__1__{key.upper()}": _json(value) for key, value in second.items()}
        assert (await desk.reload())["taken"] == ["delivery.endpoints"]
        await line.hang_up()  # it has begun before, and its events are for those of then
        await home.inbox.wait("call.ended")
        assert site.requests.empty()
        other = await home.call()
        await other.hang_up()
        await home.inbox.wait("call.ended", 2)
        _, body = await site.next()
        assert msgspec.json.decode(body)["data"]["source"]["call_id"] == other.name


async def test_a_secret_is_rotated_under_a_call(home: House, desk: Desk) -> None:
    line = await home.call(SPEECH)
    await home.inbox.wait("call.started")
    desk.changes["DELIVERY__ENDPOINTS__0__SECRETS"] = _json(["whsec_" + "B" * 43 + "=", WHSEC])
    assert (await desk.reload())["taken"] == ["delivery.endpoints"]
    await line.hang_up()
    await home.inbox.wait("call.ended")  # the receiver has verified it by the second one
    assert home.inbox.types(line.name)[-1] == "call.ended"


async def test_interims_are_shown_to_an_endpoint_that_wants_them_now(home: House, desk: Desk) -> None:
    site = Site()
    async with serving(site.handle) as url:
        live = {"name": "live", "url": url, "secrets": [WHSEC], "interims": True, "events": []}
        desk.changes |= {f"DELIVERY__ENDPOINTS__1__{key.upper()}": _json(value) for key, value in live.items()}
        await desk.reload()
        line = await home.call(SPEECH)
        _, body = await site.next()
        assert msgspec.json.decode(body)["type"] == "transcript.interim"
        desk.changes["DELIVERY__ENDPOINTS__1__INTERIMS"] = "false"
        assert (await desk.reload())["taken"] == ["delivery.endpoints"]
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        assert ended["failed"] == 0


async def test_who_may_read_the_status_is_changed(desk: Desk) -> None:
    proxied: dict[str, Any] = {"HTTP__TRUSTED_PROXIES": '["127.0.0.1"]'}
    desk.changes |= proxied
    async with house(desk.state_dir, read=desk.read, **ADMIN, **proxied) as home:
        desk.port = home.receiver_port
        stranger = {"X-Forwarded-For": "192.0.2.9"}
        url = f"http://127.0.0.1:{home.http_port}/status"
        async with aiohttp.ClientSession(headers=stranger) as session:
            async with session.get(url) as response:
                assert response.status == 401
            desk.changes["HTTP__MONITORS"] = '["192.0.2.0/24"]'
            assert (await desk.reload())["taken"] == ["http.monitors"]
            async with session.get(url) as response:
                assert response.status == 200


async def test_models_that_came_too_late_are_ended(desk: Desk) -> None:
    asked, loaded, late = asyncio.Event(), asyncio.Event(), FakeEngine()
    first = [FakeEngine()]

    async def load(_models: Models) -> FakeEngine:
        if first:
            return first.pop()
        asked.set()
        await loaded.wait()
        return late

    async with house(desk.state_dir, load=load, read=desk.read, **ADMIN) as home:
        desk.port = home.receiver_port
        line = await home.call()
        await home.inbox.wait("call.started")
        desk.changes["MODELS__FINAL"] = "small"
        async with asyncio.TaskGroup() as group:
            reloading = group.create_task(_refused(desk))
            await asked.wait()
            home.gateway.stop()
            loaded.set()
        assert "draining" in reloading.result()
        assert late.closed
        await line.hang_up()


async def _refused(desk: Desk) -> str:
    with pytest.raises(ControlError) as told:
        await desk.reload()
    return str(told.value)


async def test_an_endpoint_that_is_gone_is_sent_nothing(home: House, desk: Desk) -> None:
    desk.changes["DELIVERY__ENDPOINTS"] = "[]"
    await desk.reload()
    line = await home.call()
    await line.hang_up()
    desk.changes.pop("DELIVERY__ENDPOINTS")
    await home.until_no_calls()
    await desk.reload()
    other = await home.call()
    await other.hang_up()
    await home.inbox.wait("call.ended", external_call_id=other.name)
    assert home.inbox.of("call.started", line.name) == []


async def test_what_needs_a_restart_is_named_and_left(home: House, desk: Desk) -> None:
    desk.changes |= {"AUDIOSOCKET__0__NAME": "other", "HTTP__PORT": 1, "LOG__LEVEL": "warning"}
    told = await desk.reload()
    assert told["taken"] == ["log.level"]
    assert sorted(told["restart"]) == ["audiosocket", "http.port"]
    assert logging.getLogger().level == logging.WARNING
    line = await home.call()
    await line.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert ended["source"]["listener"] == "audiosocket"


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (ConfigError("calls.max_cals: unknown key"), "unknown key"),
        (TlsError("cannot read tls.key"), r"tls\.key"),
        (RuntimeError("ours"), "its log says why"),
    ],
)
async def test_settings_that_cannot_be_used_change_nothing(
    home: House, desk: Desk, problem: Exception, told: str
) -> None:
    before = home.gateway.control.settings
    desk.problem = problem
    with pytest.raises(ControlError, match=told):
        await desk.reload()
    assert home.gateway.control.settings is before
    desk.problem = None
    assert (await desk.reload())["taken"] == []


async def test_a_normalizer_that_is_not_there_changes_nothing(home: House, desk: Desk) -> None:
    desk.changes |= {"CALLS__MAX_CALLS": 1, "TRANSCRIPTS__NORMALIZER": "tests.house_style:not_there"}
    before = home.gateway.control.settings
    with pytest.raises(ControlError, match="not_there"):
        await desk.reload()
    assert home.gateway.control.settings is before
    assert home.gateway._registry.most == before.calls.max_calls


async def test_tokens_are_changed(home: House, desk: Desk) -> None:
    assert (await home.ask("GET", "/v1/calls"))[0] == 200
    desk.changes["HTTP__TOKENS"] = _json([{"name": "pbx", "secret": "n" * 32}])
    assert (await desk.reload())["taken"] == ["http.tokens"]
    assert (await home.ask("GET", "/v1/calls"))[0] == 401
    assert (await home.ask("GET", "/v1/calls", token="n" * 32))[0] == 200


async def test_a_route_is_added(home: House, desk: Desk) -> None:
    desk.changes["ROUTES"] = _json([{"name": "sales", "labels": {"inbound": "customer"}}])
    assert (await desk.reload())["taken"] == ["routes"]
    line = await home.call()
    await line.hang_up()
    (started,) = await home.inbox.wait("track.started")
    assert started["label"] == "customer"


async def test_other_models_of_the_settings_take_over_under_a_call(home: House, desk: Desk) -> None:
    line = await home.call(SPEECH + PAUSE)
    await home.inbox.wait("transcript.final")
    desk.changes["MODELS__FINAL"] = "small"
    assert (await desk.reload())["taken"] == ["models.final"]
    await line.say(SPEECH + PAUSE)
    await line.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert [each["text"] for each in home.inbox.of("transcript.final")][1:] == ["after"]
    assert (ended["utterances"], ended["failed"]) == (2, 0)
    assert home.engine.closed


async def test_models_that_cannot_be_loaded_change_nothing(desk: Desk) -> None:
    left = [FakeEngine()]

    async def load(_models: Models) -> FakeEngine:
        if not left:
            raise ModelLoadError("no memory")
        return left.pop()

    async with house(desk.state_dir, load=load, read=desk.read, **ADMIN) as home:
        desk.port = home.receiver_port
        desk.changes |= {"MODELS__FINAL": "small", "CALLS__MAX_CALLS": 1}
        before = home.gateway.control.settings
        with pytest.raises(ControlError, match="no memory"):
            await desk.reload()
        assert home.gateway.control.settings is before
        line = await home.call(SPEECH)
        await line.hang_up()
        (ended,) = await home.inbox.wait("call.ended")
        assert (ended["utterances"], ended["failed"]) == (1, 0)


async def test_the_operators_port_asks_for_a_token(home: House) -> None:
    for token in (None, "x" * 32, TOKEN):
        assert (await admin(home, "GET", "/admin/models", token=token))[0] == 401
    assert (await admin(home, "GET", "/admin/nothing", token=None))[0] == 401
    assert (await admin(home, "GET", "/admin/models"))[0] == 200


async def test_the_operators_port_is_closed_without_tokens(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert home.admin_port is None


async def test_models_are_loaded_by_name(home: House) -> None:
    line = await home.call(SPEECH + PAUSE)
    await home.inbox.wait("transcript.final")
    status, told = await admin(home, "POST", "/admin/load_model", json={"final": "small"})
    assert status == 202
    async with asyncio.timeout(10):
        while told["loading"] or not home.engine.closed:
            _, told = await admin(home, "GET", "/admin/list_models")
    await line.say(SPEECH + PAUSE)
    await line.hang_up()
    await home.inbox.wait("call.ended")
    assert [each["text"] for each in home.inbox.of("transcript.final")][1:] == ["after"]


async def test_the_answer_tells_what_is_being_loaded(desk: Desk) -> None:
    first, loaded = [FakeEngine()], asyncio.Event()

    async def load(_models: Models) -> FakeEngine:
        if first:
            return first.pop()
        await loaded.wait()
        raise ModelLoadError("no memory")

    async with house(desk.state_dir, load=load, **ADMIN) as home:
        status, told = await admin(home, "POST", "/admin/models/load", json={"final": "small"})
        assert (status, told["loading"], told["error"]) == (202, "base, small", None)
        status, told = await admin(home, "POST", "/admin/models/load", json={"final": "medium"})
        assert (status, told["error"]["code"]) == (409, "busy")
        loaded.set()
        while told["error"] != "no memory":
            _, told = await admin(home, "GET", "/admin/models")
        assert told["loading"] is None


@pytest.mark.parametrize("name", ["/etc", "../small", "somebody/model", "/var/lib/models/../../etc"])
async def test_models_that_nobody_may_name_are_not_loaded(home: House, name: str) -> None:
    status, told = await admin(home, "POST", "/admin/models/load", json={"final": name})
    assert (status, told["error"]["code"]) == (403, "not_allowed")
    assert not home.engine.closed


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/admin/models/load", {}, 400, "invalid"),
        ("/admin/models/load", {"interim": 5}, 400, "invalid"),
        ("/admin/models/unload", {"model": "base"}, 409, "in_use"),
        ("/admin/models/unload", {"model": "large"}, 404, "unknown_model"),
        ("/admin/unload_model", {}, 400, "invalid"),
        ("/admin/loglevel", {"level": "loud"}, 400, "invalid"),
        ("/admin/calls/nobody/end", {}, 404, "unknown_call"),
    ],
)
async def test_what_makes_no_sense_is_refused(home: House, path: str, body: Any, status: int, code: str) -> None:
    given, told = await admin(home, "POST", path, json=body)
    assert (given, told["error"]["code"]) == (status, code)


async def test_a_call_is_ended(home: House) -> None:
    line, other = await home.call(SPEECH), await home.call(SPEECH)
    await home.inbox.wait("call.started", 2)
    status, told = await admin(home, "POST", f"/admin/calls/{line.name}/end")
    (ended,) = await home.inbox.wait("call.ended")
    assert (status, told["call_id"]) == (202, ended["call_id"])
    assert (ended["reason"], ended["utterances"]) == ("admin", 1)
    await line.hang_up()
    await other.hang_up()


async def test_the_log_is_made_louder(home: House) -> None:
    assert await admin(home, "POST", "/admin/loglevel", json={"level": "error"}) == (200, {"level": "error"})
    assert logging.getLogger().level == logging.ERROR
    logging.getLogger().setLevel(logging.DEBUG)


async def test_a_drain_hears_calls_out(home: House) -> None:
    line = await home.call(SPEECH)
    await home.inbox.wait("call.started")
    status, told = await admin(home, "POST", "/admin/drain")
    assert (status, told["stage"], told["calls"]["admitting"]) == (202, "draining", False)
    await line.say(PAUSE + SPEECH)
    await line.hang_up()
    await home.running
    (ended,) = home.inbox.of("call.ended")
    assert (ended["reason"], ended["utterances"], ended["failed"]) == ("hangup", 2, 0)


async def test_a_gateway_that_drains_takes_no_other_settings(home: House, desk: Desk) -> None:
    line = await home.call()
    await home.inbox.wait("call.started")
    await request(desk.state_dir, "POST", "/admin/drain")
    with pytest.raises(ControlError, match="draining"):
        await desk.reload()
    await line.hang_up()


async def test_a_signal_reads_the_settings_too(home: House, desk: Desk) -> None:
    desk.changes["CALLS__MAX_CALLS"] = 9
    home.gateway.reload()
    home.gateway.reload()
    async with asyncio.timeout(10):
        while (await request(desk.state_dir, "GET", "/admin/status"))["calls"]["most"] != 9:
            pass


async def test_the_socket_is_for_its_owner_alone(home: House, desk: Desk) -> None:
    assert home.gateway is not None
    assert (desk.state_dir / "control.sock").stat().st_mode & 0o777 == 0o600


async def test_a_socket_with_a_long_name_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    async with house(deep):
        assert (await request(deep, "GET", "/admin/status"))["stage"] == "serving"
    with pytest.raises(ControlError, match="no gateway answers"):
        await request(deep, "GET", "/admin/status")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
