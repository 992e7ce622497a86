"""systemd's part is played by a socket, as sd_notify(3) has it."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.systemd import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PID = 4711


class Systemd:
    """What is heard."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)  # noqa: FBT003  its name is its meaning

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def systemd(path: str) -> Iterator[Systemd]:
    made = Systemd(path)
    yield made
    made.socket.close()


def supervisor(path: str, clock: Clock | None = None, **environ: str) -> Supervisor:
    return Supervisor({"NOTIFY_SOCKET": path, **environ}, pid=PID, clock=clock or Clock())


def test_a_life_is_told(path: str, systemd: Systemd) -> None:
    told = supervisor(path)
    told.starting("loading the models")
    told.ready()
    told.reloading()
    told.ready()
    told.stopping()
    assert systemd.heard() == [
        "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=loading the models",
        "READY=1",
        "RELOADING=1\nMONOTONIC_USEC=1000000000",
        "READY=1",
        "STOPPING=1",
    ]


def test_a_status_is_told_once(path: str, systemd: Systemd) -> None:
    told = supervisor(path)
    for status in ("serving: 1 calls", "serving: 1 calls", "serving: 2 calls"):
        told.tell(status)
    assert systemd.heard() == ["STATUS=serving: 1 calls", "STATUS=serving: 2 calls"]


def test_signs_of_life_are_given_in_time_and_no_more_often(path: str, systemd: Systemd) -> None:
    clock = Clock()
    fed = supervisor(path, clock, WATCHDOG_USEC="60000000", WATCHDOG_PID=str(PID))
    assert fed.watchdog_seconds == 60
    for _ in range(600):  # a minute
        fed.feed([])
        clock.now += 0.1
    assert systemd.heard() in (["WATCHDOG=1"] * 3, ["WATCHDOG=1"] * 4)


def test_what_is_stuck_gives_none(path: str, systemd: Systemd) -> None:
    clock = Clock()
    fed = supervisor(path, clock, WATCHDOG_USEC="3000000")
    fed.feed(["the calls' timer has stopped"])
    clock.now += 1.5
    assert systemd.heard() == []
    fed.feed([])  # it moves again
    assert systemd.heard() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}],
    ids=str,
)
def test_nobody_waits_for_signs_of_life(path: str, systemd: Systemd, environ: dict[str, str]) -> None:
    fed = Supervisor({"NOTIFY_SOCKET": path, **environ}, pid=PID, clock=Clock())
    assert fed.watchdog_seconds is None
    fed.feed([])
    assert systemd.heard() == []


def test_a_socket_without_a_file_is_found() -> None:
    name = f"linescribe-test-{os.getpid()}"
    systemd = Systemd(f"\0{name}")
    supervisor(f"@{name}").ready()
    assert systemd.heard() == ["READY=1"]
    systemd.socket.close()


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/notify"])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    supervisor(address).ready()
    Supervisor({}, pid=PID, clock=Clock()).stopping()
