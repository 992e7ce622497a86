"""What the subcommands of `linescribe outbox` have in common."""

from __future__ import annotations

import functools
import re
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from gateway.cli.check_config import BAD_SETTINGS, config_option, settings_or_exit
from gateway.delivery.database import LOCK_NAME, OutboxError, open_beside
from gateway.delivery.operating import Selection
from gateway.state import state_directory

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from config.settings import Settings

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"(\d{1,9})([smhd])")
_LOCKED = re.compile(r"FLOCK\s+\S+\s+WRITE\s+\d+\s+\w+:\w+:(?P<inode>\d+)\s")

now = time.time  # noqa: TID251  a command names its clock


class Shop(msgspec.Struct, frozen=True):
    """Where the store lies, and what the settings say of its endpoints."""

    settings: Settings
    directory: Path

    @property
    def endpoints(self) -> list[str]:
        """The names of those in the settings."""
        return [endpoint.name for endpoint in self.settings.delivery.endpoints]

    @property
    def running(self) -> bool:
        """Whether a gateway uses the store: it holds a lock, which is looked at and not touched."""
        try:
            inode = (self.directory / LOCK_NAME).stat().st_ino
            locks = Path("/proc/locks").read_text(encoding="ascii")
        except OSError:
            return False
        return any(int(found["inode"]) == inode for found in _LOCKED.finditer(locks))

    @contextmanager
    def store(self, *, writing: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the store; exit with status 1 where that cannot be."""
        try:
            with open_beside(self.directory, writing=writing) as db:
                yield db
        except OutboxError as error:
            fail(str(error))


def shop_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command be told whose store is meant, and give it a `shop`; exit with status 2 where settings are wrong."""

    @functools.wraps(command)
    def with_shop(file: Path | None, state_dir: Path | None, **rest: Any) -> None:
        settings = settings_or_exit(file)
        command(shop=Shop(settings, state_dir or state_directory(settings)), **rest)

    return _optioned(
        with_shop,
        config_option,
        click.option(
            "--state-dir", type=click.Path(path_type=Path), help="Where the store lies, if not where the settings say."
        ),
    )


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read a time, how long ago or RFC 3339, as seconds since the epoch."""
    if value is None:
        return None
    if ago := _AGO.fullmatch(value):
        return now() - int(ago[1]) * UNITS[ago[2]]
    try:
        return datetime.fromisoformat(value).astimezone().timestamp()
    except (ValueError, OverflowError) as error:
        told = f"{value!r} is no time; write 90m, 24h or 7d for so long ago, or 2026-11-26T14:30"
        raise click.BadParameter(told, ctx, param) from error


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command be told which events are meant, and give it a `selection` and an `endpoint`."""

    @functools.wraps(command)
    def with_selection(
        event_id: str | None, call_id: str | None, since: float | None, until: float | None, **rest: Any
    ) -> None:
        if since is not None and until is not None and since >= until:
            raise click.UsageError("--since is not before --until: that is no time at all.")
        command(selection=Selection(event_id=event_id, call_id=call_id, since=since, until=until), **rest)

    return _optioned(
        with_selection,
        click.option("--endpoint", metavar="NAME", help="Only what is for this endpoint."),
        click.option("--call", "call_id", metavar="ID", help="Only the events of this call (call_id)."),
        click.option("--event", "event_id", metavar="ID", help="Only this event (webhook-id)."),
        click.option(
            "--since",
            metavar="TIME",
            callback=moment,
            help="Only events that were stored from this time on: 24h, 2026-11-26T14:30.",
        ),
        click.option("--until", metavar="TIME", callback=moment, help="Only events that were stored before this time."),
    )


def _optioned(command: Callable[..., None], *options: Callable[..., Any]) -> Callable[..., None]:
    """Add options, in the order in which the help text shows them."""
    for option in reversed(options):
        command = option(command)
    return command


def complain(text: str) -> None:
    """Say on standard error what went wrong, in one line."""
    click.echo(f"linescribe: {text}", err=True)


def fail(text: str, status: int = 1) -> NoReturn:
    """Say what went wrong, and exit."""
    complain(text)
    sys.exit(status)


def check_endpoint(shop: Shop, db: sqlite3.Connection, name: str | None) -> None:
    """Refuse an endpoint that neither the settings nor the store know; exit with status 2."""
    if name is None or name in shop.endpoints:
        return
    there = {endpoint for (endpoint,) in db.execute("SELECT DISTINCT endpoint FROM delivery")}
    if name not in there:
        known = ", ".join(sorted({*shop.endpoints, *there})) or "none"
        fail(f"there is no endpoint {name!r}; those of the settings and of the store: {known}", BAD_SETTINGS)
