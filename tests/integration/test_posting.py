"""One POST, over real TLS and to real addresses of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from structlog.testing import capture_logs

from adapters.pem import TlsError
from config.delivery import ClientTls, Endpoint
from config.secret import Secret
from gateway.delivery.addresses import PublicResolver
from gateway.delivery.posting import Poster, new_sessions
from gateway.delivery.retry import Answered, Unanswered
from gateway.delivery.trust import REFRESH_SECONDS
from tests.sites import SECRETS, HeldSite, Site, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.delivery.posting import Sessions
    from gateway.delivery.retry import Outcome

NOW = 1_760_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Table(AbstractResolver):
    """Gives every host the addresses of a table, and counts how often it is asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily | int = 0) -> list[ResolveResult]:
        self.asked += 1
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ResolveResult(hostname=host, host=address, port=port, family=int(family), proto=0, flags=0)]

    async def close(self) -> None:
        pass


def poster(sessions: Sessions, clock: Clock | None = None, *, timeout_seconds: float = 10.0, **fields: Any) -> Poster:
    endpoint = Endpoint(**{"name": "crm", "secrets": SECRETS} | fields)
    return Poster(
        endpoint, sessions, timeout_seconds=timeout_seconds, connect_timeout_seconds=1.0, clock=clock or Clock()
    )


async def attempt(url: str, **fields: Any) -> Outcome:
    async with new_sessions() as sessions:
        return await poster(sessions, url=url, **fields).post("msg_1", b"{}")


async def test_headers_of_the_operators_are_sent_along() -> None:
    site = Site()
    async with serving(site.handle) as url:
        assert await attempt(url, headers={"Authorization": Secret("Bearer abc"), "X-Tenant": Secret("7")}) == Answered(
            204
        )
    headers, _ = await site.next()
    assert (headers["Authorization"], headers["X-Tenant"]) == ("Bearer abc", "7")
    assert headers["Content-Type"] == "application/json"


# TLS


class Desk:
    """An authority, and files that an endpoint's settings name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.clients = trustme.CA()
        self.ca = self._put("ca.pem", self.authority.cert_pem.bytes())

    def _put(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def pair(self) -> dict[str, str]:
        issued = self.clients.issue_cert("gateway.example")
        return {
            "certificate": self._put("me.pem", issued.cert_chain_pems[0].bytes()),
            "key": self._put("me.key", issued.private_key_pem.bytes()),
        }

    def server(self, *, asks: bool = False, authority: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (authority or self.authority).issue_cert("localhost").configure_cert(context)
        if asks:
            self.clients.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@contextlib.asynccontextmanager
async def serving_tls(site: Site, context: ssl.SSLContext) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", site.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://localhost:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def test_an_authority_of_ones_own_is_trusted_and_no_other(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with serving_tls(Site(), desk.server()) as url:
        assert await attempt(url, tls=ClientTls(ca=desk.ca)) == Answered(204)
        refused = await attempt(url)
    assert isinstance(refused, Unanswered)
    assert "its certificate is not trusted" in refused.error
    async with serving_tls(Site(), desk.server(authority=trustme.CA())) as url:
        refused = await attempt(url, tls=ClientTls(ca=desk.ca))
    assert isinstance(refused, Unanswered)
    assert "its certificate is not trusted" in refused.error


async def test_a_receiver_may_ask_who_the_gateway_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with serving_tls(Site(), desk.server(asks=True)) as url:
        assert await attempt(url, tls=ClientTls(ca=desk.ca, **desk.pair())) == Answered(204)
        assert isinstance(await attempt(url, tls=ClientTls(ca=desk.ca)), Unanswered)


async def test_files_that_change_are_taken_and_bad_ones_are_not(tmp_path: Path) -> None:
    desk, clock = Desk(tmp_path), Clock()
    other = trustme.CA()
    async with serving_tls(Site(), desk.server(authority=other)) as url, new_sessions() as sessions:
        tried = poster(sessions, clock, url=url, tls=ClientTls(ca=desk.ca))
        assert isinstance(await tried.post("msg_1", b"{}"), Unanswered)
        with capture_logs() as logs:
            desk._put("ca.pem", b"half a certific")
            clock.now += REFRESH_SECONDS
            assert isinstance(await tried.post("msg_1", b"{}"), Unanswered)
            desk._put("ca.pem", other.cert_pem.bytes())
            assert isinstance(await tried.post("msg_1", b"{}"), Unanswered), "it looks now and then"
            clock.now += REFRESH_SECONDS
            assert await tried.post("msg_1", b"{}") == Answered(204)
    told = [line["event"] for line in logs]
    assert told == ["new certificates not taken, the old ones serve on", "new certificates taken"]
    assert "tls.ca" in logs[0]["error"]


@pytest.mark.parametrize("missing", ["ca", "certificate", "key"])
async def test_files_that_cannot_serve_are_named(tmp_path: Path, missing: str) -> None:
    desk = Desk(tmp_path)
    paths = {"ca": desk.ca, **desk.pair()} | {missing: str(tmp_path / "nowhere.pem")}
    async with new_sessions() as sessions:
        with pytest.raises(TlsError, match=rf"^TLS of endpoint 'crm': cannot read tls\.{missing}, .*nowhere\.pem"):
            poster(sessions, url="https://crm.example/", tls=ClientTls(**paths))


# Addresses


async def guarded(url: str, resolver: AbstractResolver | None = None, **fields: Any) -> Outcome:
    async with new_sessions(PublicResolver(resolver) if resolver else None) as sessions:
        return await poster(sessions, url=url, addresses="public", allow_plain_http=True, **fields).post("msg_1", b"{}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1", "0x7f000001", "2130706433"])
async def test_this_machine_is_out_of_reach_however_it_is_written(host: str) -> None:
    site = Site()
    async with serving(site.handle) as url:
        port = url.rsplit(":", 1)[1].split("/")[0]
        refused = await guarded(f"http://{host}:{port}/hook?token=s3cret")
    assert isinstance(refused, Unanswered)
    assert "s3cret" not in refused.error
    assert site.requests.empty()


async def test_a_name_that_stands_for_this_machine_is_refused_and_told() -> None:
    refused = await guarded("http://hooks.example/", Table("169.254.169.254"))
    assert refused == Unanswered("hooks.example has the address 169.254.169.254, which may not be sent to: link-local")


async def test_a_name_that_changes_between_two_looks_is_refused() -> None:
    """Whoever holds a name may answer the first question so, and the second otherwise."""
    site = Site()
    async with serving(site.handle) as url:
        port = url.rsplit(":", 1)[1].split("/")[0]
        table = Table("8.8.8.8", "127.0.0.1")
        refused = await guarded(f"http://hooks.example:{port}/", table)
    assert isinstance(refused, Unanswered)
    assert "127.0.0.1, which may not be sent to: loopback" in refused.error
    assert table.asked == 2
    assert site.requests.empty()


async def test_each_attempt_looks_anew() -> None:
    table = Table("10.0.0.1", "10.0.0.2", "10.0.0.3")
    async with new_sessions(PublicResolver(table)) as sessions:
        tried = poster(sessions, url="https://hooks.example/", addresses="public")
        told = [str(await tried.post("msg_1", b"{}")) for _ in range(3)]
    assert [text.split()[4].rstrip(",") for text in told] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


async def test_looking_up_does_not_take_for_ever() -> None:
    class Slow(Table):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily | int = 0
        ) -> list[ResolveResult]:
            await asyncio.Event().wait()
            return await super().resolve(host, port, family)

    assert await guarded("https://hooks.example/", Slow("8.8.8.8"), timeout_seconds=0.2) == Unanswered(
        "no answer within 0.2 s"
    )


async def test_others_may_be_anywhere() -> None:
    async with serving(Site().handle) as url:
        assert await attempt(url) == Answered(204)


# URLs that calls bring


BROUGHT: dict[str, Any] = {
    "url_parameter": "webhook",
    "allowed_hosts": ("127.0.0.1",),
    "addresses": "any",
    "allow_plain_http": True,
}


async def test_it_goes_where_the_call_has_said() -> None:
    site = Site()
    async with serving(site.handle) as url, new_sessions() as sessions:
        assert await poster(sessions, **BROUGHT).post("msg_1", b"{}", url) == Answered(204)
    assert site.requests.qsize() == 1


async def test_a_url_is_looked_at_again_in_case_the_settings_have_changed() -> None:
    site = Site()
    async with serving(site.handle) as url, new_sessions() as sessions:
        changed = BROUGHT | {"allowed_hosts": ("hooks.example.com",)}
        outcome = await poster(sessions, **changed).post("msg_1", b"{}", url)
        assert await poster(sessions, **BROUGHT).post("msg_1", b"{}") == Unanswered("the call has brought no URL")
    assert outcome == Unanswered("'127.0.0.1' is not among allowed_hosts")
    assert site.requests.empty()


async def test_guarded_it_refuses_addresses_on_the_list_too() -> None:
    site = Site()
    async with serving(site.handle) as url, new_sessions() as sessions:
        outcome = await poster(sessions, **BROUGHT | {"addresses": None}).post("msg_1", b"{}", url)
    assert isinstance(outcome, Unanswered)
    assert "loopback" in outcome.error
    assert site.requests.empty()


async def test_a_connection_that_does_not_come_about_takes_its_own_time() -> None:
    """Nobody accepts, and the queue of those who wait for that is full: the next one's first packet is dropped."""
    with contextlib.ExitStack() as sockets:
        listening = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listening.getsockname()
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(address)
        outcome = await attempt(f"http://127.0.0.1:{address[1]}/")
    assert outcome == Unanswered("no connection within 1 s")


async def test_an_answer_that_does_not_come_takes_the_whole_time() -> None:
    held = HeldSite()
    async with serving(held.handle) as url:
        assert await attempt(url, timeout_seconds=0.2) == Unanswered("no answer within 0.2 s")
        held.released.set()
