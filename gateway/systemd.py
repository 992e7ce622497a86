"""What systemd is told of the service, and how often it wants to hear of it (sd_notify(3))."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = structlog.get_logger()

EXTEND_SECONDS = 60.0
"""Weights may take long to come: a start that goes on asks for so much more time, again and again."""

MICROSECONDS = 1_000_000


class Supervisor:
    """systemd, where it has started us and wants to hear of it; else nobody, and nothing is sent.

    `environ` holds NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; `pid` is ours, `clock` monotonic (CLOCK_MONOTONIC).
    """

    def __init__(self, environ: Mapping[str, str], *, pid: int, clock: Callable[[], float]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._clock = clock
        self._status = ""
        self._feed_at = float("-inf")
        self.watchdog_seconds = _watchdog_seconds(environ, pid)
        """So long it waits for a sign of life before it restarts the service; None: for ever."""

    def starting(self, what: str) -> None:
        """Say what the start is at, and that it goes on."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(EXTEND_SECONDS * MICROSECONDS)}", f"STATUS={what}")

    def ready(self) -> None:
        """Say that calls are taken, from now on or again."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that other settings are about to be taken over; `ready` ends that."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock() * MICROSECONDS)}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1")

    def tell(self, status: str) -> None:
        """Give the line that `systemctl status` shows; sent where it has changed."""
        if status != self._status:
            self._status = status
            self._send(f"STATUS={status}")

    def feed(self, stuck: list[str]) -> None:
        """Give a sign of life, where something is due and nothing is stuck. To be called several times a second."""
        now = self._clock()
        if self.watchdog_seconds is None or now < self._feed_at:
            return
        self._feed_at = now + self.watchdog_seconds / 3
        if stuck:
            log.error("no sign of life is given: systemd will restart the service", stuck=stuck)
        else:
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as out:
                out.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:  # the next one may get there; the service is worth more than what is told of it
            log.warning("systemd could not be told", error=str(error), what=lines[0])


def _address(given: str) -> str | None:
    """Read NOTIFY_SOCKET: a path, or a name that begins with @ and has none in the file system."""
    if given.startswith("@"):
        return "\0" + given[1:]
    return given if given.startswith("/") else None


def _watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """Read how long it waits; None where it does not, or waits for another process (sd_watchdog_enabled(3))."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / MICROSECONDS if microseconds > 0 else None
