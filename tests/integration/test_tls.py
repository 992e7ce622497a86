from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
import logging
import os
import ssl
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
import uvloop
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from structlog.testing import capture_logs

from adapters import pem
from adapters import tls as module
from adapters.tls import ServerTls, TlsError
from config.listeners import Tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

NAME = "gateway.test"
_times = itertools.count(1_000_000_000)


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on asyncio's own event loop and on uvloop's: each speaks TLS with code of its own."""

    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop, debug=True) as runner:
            runner.run(test(**arguments))

    own = inspect.signature(test)
    first = inspect.Parameter("new_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = own.replace(parameters=[first, *own.parameters.values()])  # type: ignore[attr-defined]
    run.__name__, run.__module__ = test.__name__, test.__module__
    on_each = pytest.mark.parametrize(
        "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )
    return on_each(run)  # type: ignore[no-any-return]


def put(path: Path, data: bytes) -> None:
    """Put a file in its place as those who renew certificates do, at a time of its own whatever the disk's clock."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    os.utime(new, ns=(next(_times) * 10**9,) * 2)
    new.replace(path)


class Desk:
    """A folder of PEM files, the authority that signs them, and those who trust it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.clients = trustme.CA()
        self.certificate, self.key, self.client_ca = (folder / f"{name}.pem" for name in ("certificate", "key", "ca"))
        self.renew()
        put(self.client_ca, self.clients.cert_pem.bytes())

    def settings(self, *, client_ca: bool = False) -> Tls:
        authority = str(self.client_ca) if client_ca else None
        return Tls(certificate=str(self.certificate), key=str(self.key), client_ca=authority)

    def issue(self) -> trustme.LeafCert:
        return self.authority.issue_cert(NAME, "127.0.0.1")

    def renew(self) -> None:
        pair = self.issue()
        put(self.certificate, pair.cert_chain_pems[0].bytes())
        put(self.key, pair.private_key_pem.bytes())

    def der(self) -> bytes:
        """Give the certificate as a handshake shows it."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())

    def client(self, clients: trustme.CA | None = None) -> ssl.SSLContext:
        """Give a peer's side; with a certificate of its own where somebody vouches for it."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if clients:
            clients.issue_cert("pbx@example.org").configure_cert(context)
        return context


class Echo:
    """A port that speaks TLS and says what it hears."""

    def __init__(self, port: int, desk: Desk) -> None:
        self.port = port
        self.desk = desk

    async def connect(self, context: ssl.SSLContext, name: str = NAME) -> Peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)
        return Peer(reader, writer)

    async def serial(self, name: str = NAME) -> bytes:
        """Give the certificate that a new connection is shown."""
        peer = await self.connect(self.desk.client(), name)
        await peer.close()
        return peer.certificate

    async def refuses(self, context: ssl.SSLContext) -> str:
        """Check that a connection comes to nothing; give what the log says of it."""
        with capture_logs() as logs:
            try:
                peer = await self.connect(context)
            except OSError:
                pass
            else:  # with TLS 1.3 a client learns of it only when it reads
                assert not await peer.answers()
                peer.writer.close()
        (line,) = logs
        assert (line["event"], line["log_level"], line["listener"]) == ("TLS handshake failed", "warning", "front")
        reason: str = line["reason"]
        return reason


class Peer:
    """One connection to the echo."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)

    async def answers(self) -> bool:
        try:
            self.writer.write(b"hello\n")
            async with asyncio.timeout(20):
                return await self.reader.readline() == b"hello\n"
        except OSError:
            return False

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


@asynccontextmanager
async def echoing(tls: ServerTls, desk: Desk) -> AsyncIterator[Echo]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0, ssl=tls.context)
    async with server:
        yield Echo(server.sockets[0].getsockname()[1], desk)


@pytest.mark.parametrize("name", [NAME, "127.0.0.1"], ids=["by name", "by address, without SNI"])
@on_both_loops
async def test_new_handshakes_get_the_new_certificate_and_old_connections_go_on(tmp_path: Path, name: str) -> None:
    desk = Desk(tmp_path)
    tls = ServerTls(desk.settings(), "front")
    async with echoing(tls, desk) as echo:
        old = await echo.connect(desk.client(), name)
        desk.renew()
        tls.refresh()
        new = await echo.serial(name)
        assert new == desk.der()
        assert new != old.certificate
        assert await old.answers()
        await old.close()


@on_both_loops
async def test_only_clients_with_a_certificate_of_client_ca_are_let_in(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with echoing(ServerTls(desk.settings(client_ca=True), "front"), desk) as echo:
        friend = await echo.connect(desk.client(desk.clients))
        assert await friend.answers()
        await friend.close()
        assert await echo.refuses(desk.client()) == "peer did not return a certificate"
        assert "issuer" in await echo.refuses(desk.client(trustme.CA()))


@on_both_loops
async def test_a_new_client_ca_holds_for_new_handshakes(tmp_path: Path) -> None:
    desk, successor = Desk(tmp_path), trustme.CA()
    tls = ServerTls(desk.settings(client_ca=True), "front")
    async with echoing(tls, desk) as echo:
        before = desk.client(desk.clients)
        old = await echo.connect(before)
        put(desk.client_ca, successor.cert_pem.bytes())
        tls.refresh()
        new = await echo.connect(desk.client(successor))
        assert await new.answers()
        assert "issuer" in await echo.refuses(before)
        assert await old.answers()
        await old.close()
        await new.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_the_old_client_ca_is_not_resumed_under_the_new_one(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    desk = Desk(tmp_path)
    tls = ServerTls(desk.settings(client_ca=True), "front")
    client = desk.client(desk.clients)
    client.maximum_version = version
    session = _handshake(tls.context, client).session
    assert _handshake(tls.context, client, session).session_reused
    put(desk.client_ca, trustme.CA().cert_pem.bytes())
    tls.refresh()
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tls.context, client, session)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLObject:
    """Do what asyncio does, which gives nobody a session to resume."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(there, back, server_side=True)
    theirs = client.wrap_bio(back, there, server_hostname=NAME, session=session)
    for step in [theirs.do_handshake, ours.do_handshake] * 3:
        try:
            step()
        except ssl.SSLWantReadError:
            continue
    ours.write(b"!")  # with TLS 1.3 the session comes behind the handshake
    assert theirs.read(1) == b"!"
    return theirs


def test_an_authority_below_another_may_stand_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    branch = desk.clients.create_child_ca()
    put(desk.client_ca, branch.cert_pem.bytes())
    tls = ServerTls(desk.settings(client_ca=True), "front")
    assert _handshake(tls.context, desk.client(branch)).version() == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tls.context, desk.client(desk.clients))


def _other_key(desk: Desk) -> None:
    put(desk.key, desk.issue().private_key_pem.bytes())


def _locked_key(desk: Desk) -> None:
    key = load_pem_private_key(desk.key.read_bytes(), None)
    lock = serialization.BestAvailableEncryption(b"secret")
    put(desk.key, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))


def _half_a_key(desk: Desk) -> None:
    key = desk.key.read_bytes()
    put(desk.key, key[: len(key) // 2])


BROKEN: list[tuple[str, Callable[[Desk], None], str]] = [
    ("no certificate", lambda desk: desk.certificate.unlink(), r"cannot read tls\.certificate, .*: No such file"),
    ("no key", lambda desk: desk.key.unlink(), r"cannot read tls\.key, .*key\.pem: No such file .*; give a PEM file"),
    ("no client_ca", lambda desk: desk.client_ca.unlink(), r"cannot read tls\.client_ca, .*ca\.pem: No such file"),
    ("certificate of nothing", lambda desk: put(desk.certificate, b""), r"tls\.certificate, .*no whole certificate"),
    ("half a certificate", lambda desk: put(desk.certificate, desk.certificate.read_bytes()[:300]), "no whole cert"),
    ("DER", lambda desk: put(desk.certificate, desk.der()), r"tls\.certificate, .*DER: openssl x509 -inform der"),
    ("garbage for a key", lambda desk: put(desk.key, b"\x00secret\xff"), r"tls\.key, .*holds no whole private key"),
    ("half a key", _half_a_key, r"tls\.key, .*key\.pem, holds no whole private key"),
    ("garbage for client_ca", lambda desk: put(desk.client_ca, b"garbage"), r"tls\.client_ca, .*ca\.pem, holds no"),
    ("another key", _other_key, r"tls\.key, .*key\.pem, does not fit tls\.certificate, .*; give two that belong"),
    ("a locked key", _locked_key, r"tls\.key, .*wants a passphrase.*: openssl pkey -in"),
]
ways_to_break = pytest.mark.parametrize(
    ("breaks", "said"), [each[1:] for each in BROKEN], ids=[name for name, _, _ in BROKEN]
)


@ways_to_break
def test_files_that_cannot_serve_are_named_at_the_start(
    tmp_path: Path, breaks: Callable[[Desk], None], said: str
) -> None:
    desk = Desk(tmp_path)
    breaks(desk)
    with pytest.raises(TlsError, match=f"^TLS of listener 'front': .*{said}") as caught:
        ServerTls(desk.settings(client_ca=True), "front")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@ways_to_break
@on_both_loops
async def test_broken_files_leave_the_old_ones_in_use_and_are_told_of_once(
    tmp_path: Path, breaks: Callable[[Desk], None], said: str
) -> None:
    desk = Desk(tmp_path)
    tls = ServerTls(desk.settings(client_ca=True), "front")
    async with echoing(tls, desk) as echo:
        with capture_logs() as logs:
            breaks(desk)
            for _ in range(3):
                tls.refresh()
            peer = await echo.connect(desk.client(desk.clients))
            assert await peer.answers()
            await peer.close()
        (line,) = logs
        assert (line["log_level"], line["listener"]) == ("error", "front")
        with pytest.raises(TlsError, match=said):
            raise TlsError(line["error"])
        desk.renew()
        put(desk.client_ca, desk.clients.cert_pem.bytes())
        with capture_logs() as logs:
            tls.refresh()
            tls.refresh()
        assert [line["event"] for line in logs] == ["new certificates taken"]
        peer = await echo.connect(desk.client(desk.clients))
        assert peer.certificate == desk.der()
        await peer.close()


def test_each_new_fault_is_told_of(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tls = ServerTls(desk.settings(), "front")
    with capture_logs() as logs:
        for breaks in (_other_key, _other_key, _locked_key):
            breaks(desk)
            tls.refresh()
            tls.refresh()
    assert len([line for line in logs if line["log_level"] == "error"]) == 3


def test_what_is_repaired_without_a_trace_is_taken_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a chmod, which changes neither time nor size."""
    desk = Desk(tmp_path)
    tls = ServerTls(desk.settings(), "front")
    put(desk.key, b"garbage")
    tls.refresh()
    monkeypatch.setattr(module, "_stamps", lambda _paths, stamps=tls._tried: stamps)
    desk.renew()
    tls.refresh()
    assert _shown(tls, desk) == desk.der()


def _shown(tls: ServerTls, desk: Desk) -> bytes | None:
    return _handshake(tls.context, desk.client()).getpeercert(binary_form=True)


def test_files_that_stay_are_not_read_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tls = ServerTls(desk.settings(client_ca=True), "front")
    before = tls.context.newest
    with capture_logs() as logs:
        tls.refresh()
    assert tls.context.newest is before
    assert logs == []


def test_what_openssl_alone_objects_to_is_passed_on(tmp_path: Path) -> None:
    """Which keys are too weak differs from machine to machine."""
    error = ssl.SSLError(1, "[SSL: EE_KEY_TOO_SMALL] ee key too small (_ssl.c:3905)")
    error.reason = "EE_KEY_TOO_SMALL"
    assert "refused by OpenSSL: ee key too small; have a new pair made" in pem._unfit_pair(error, tmp_path, tmp_path)


@pytest.mark.parametrize("which", ["certificate", "key", "client_ca"])
def test_a_change_of_any_file_is_noticed(tmp_path: Path, which: str) -> None:
    desk = Desk(tmp_path)
    tls = ServerTls(desk.settings(client_ca=True), "front")
    before = tls.context.newest
    path: Path = getattr(desk, which)
    put(path, path.read_bytes())
    tls.refresh()
    assert tls.context.newest is not before


def test_files_are_looked_at_now_and_then(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tls = ServerTls(desk.settings(), "front")
    tls.tick(1000.0)
    before = _shown(tls, desk)
    desk.renew()
    tls.tick(1000.0 + module.REFRESH_SECONDS - 0.1)
    assert _shown(tls, desk) == before
    tls.tick(1000.0 + module.REFRESH_SECONDS)
    assert _shown(tls, desk) == desk.der() != before


def test_paths_may_begin_at_home_and_one_file_may_hold_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)
    put(tmp_path / "both.pem", desk.certificate.read_bytes() + desk.key.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    tls = ServerTls(Tls(certificate="~/both.pem", key="~/both.pem", client_ca="~/ca.pem"), "front")
    assert _handshake(tls.context, desk.client(desk.clients)).version() == "TLSv1.3"


def test_a_chain_is_sent_whole(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    pair = desk.authority.create_child_ca().issue_cert(NAME)
    put(desk.certificate, b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    put(desk.key, pair.private_key_pem.bytes())
    assert _shown(ServerTls(desk.settings(), "front"), desk) == ssl.PEM_cert_to_DER_cert(
        pair.cert_chain_pems[0].bytes().decode()
    )


@on_both_loops
async def test_old_versions_are_refused_and_the_log_says_why(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with echoing(ServerTls(desk.settings(), "front"), desk) as echo:
        context = desk.client()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        assert await echo.refuses(context) == "unsupported protocol"


@pytest.mark.parametrize("ciphers", ["ECDHE+AES:!AESGCM:!AESCCM", "DHE+AESGCM", "kRSA+AESGCM"])
@on_both_loops
async def test_weak_ciphers_are_refused_and_the_log_says_why(tmp_path: Path, ciphers: str) -> None:
    desk = Desk(tmp_path)
    async with echoing(ServerTls(desk.settings(), "front"), desk) as echo:
        context = desk.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        assert await echo.refuses(context) == "no shared cipher"


@on_both_loops
async def test_good_ciphers_of_the_old_version_are_welcome(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with echoing(ServerTls(desk.settings(), "front"), desk) as echo:
        for ciphers in ("ECDHE+AESGCM", "ECDHE+CHACHA20"):
            context = desk.client()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
            peer = await echo.connect(context)
            assert peer.writer.get_extra_info("ssl_object").version() == "TLSv1.2"
            assert await peer.answers()
            await peer.close()


def test_every_cipher_is_forward_secret_and_authenticated(tmp_path: Path) -> None:
    context = ServerTls(Desk(tmp_path).settings(), "front").context.newest
    assert all(cipher["aead"] for cipher in context.get_ciphers())
    assert {cipher["kea"] for cipher in context.get_ciphers()} == {"kx-ecdhe", "kx-any"}
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n", "http request"),
        (b"\x01\x00\x10" + bytes(16), "wrong version number"),
        (b"\x16\x03\x01\x00\x05hello", None),
        (b"", None),
    ],
    ids=["http", "audiosocket", "nonsense", "nothing"],
)
@on_both_loops
async def test_who_speaks_no_tls_harms_nobody_and_costs_a_line_at_most(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, said: bytes, heard: str | None
) -> None:
    desk, faults = Desk(tmp_path), []
    loop = asyncio.get_running_loop()
    loop.set_debug(False)  # in debug mode asyncio reports every failed handshake itself
    loop.set_exception_handler(lambda _loop, context: faults.append(context))
    with capture_logs() as logs, caplog.at_level(logging.WARNING):
        async with echoing(ServerTls(desk.settings(), "front"), desk) as echo:
            friend = await echo.connect(desk.client())
            reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
            writer.write(said)
            if not said:
                writer.write_eof()
            try:
                async with asyncio.timeout(20):
                    await reader.read()
            except ConnectionResetError:
                pass
            writer.close()
            assert await friend.answers()
            await friend.close()
    assert faults == []
    assert not caplog.records
    assert len(logs) == (1 if said else 0)
    assert heard is None or [line["reason"] for line in logs] == [heard]


@on_both_loops
async def test_aiohttp_serves_with_it_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tls = ServerTls(desk.settings(), "front")

    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.context)
    await site.start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
    desk.renew()
    tls.refresh()
    new = aiohttp.Fingerprint(hashlib.sha256(desk.der()).digest())
    async with aiohttp.ClientSession() as session, session.get(url, ssl=new) as response:
        assert await response.text() == "hello"
    await runner.cleanup()
