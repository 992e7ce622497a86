"""`linescribe top`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import aiohttp
import click
import msgspec
from rich.console import Console
from rich.live import Live

from gateway.cli.control import ControlError, fail, gateway_option, request
from gateway.cli.top_view import view
from gateway.status import Status

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_SECONDS = 5.0


@click.command()
@gateway_option
@click.option(
    "--url", metavar="URL", help="Another machine's HTTP port: http://10.1.0.20:8080; else this one's gateway."
)
@click.option("--token", metavar="TOKEN", envvar="LINESCRIBE_TOP_TOKEN", help="One of its http.tokens.")
@click.option("--every", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Look once, print it, and end.")
def top(directory: Path, url: str | None, token: str | None, every: float, *, once: bool) -> None:
    """Watch a running gateway: its calls, how it keeps up, its models and where transcripts go. Ctrl-C ends it.

    \b
    Examples:
      linescribe top --config /etc/linescribe/gateway.yaml
      linescribe top --url http://10.1.0.20:8080
      linescribe top --once | less
    """
    try:
        asyncio.run(_watch(directory, url, token, every, once=once))
    except ControlError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.exit(0)


async def _watch(directory: Path, url: str | None, token: str | None, every: float, *, once: bool) -> None:
    console = Console()
    status = await _look(directory, url, token)
    if once:
        console.print(view(status, None))
        return
    with Live(view(status, None), console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(every)
            try:
                status, trouble = await _look(directory, url, token), None
            except ControlError as error:
                trouble = str(error)
            live.update(view(status, trouble), refresh=True)


async def _look(directory: Path, url: str | None, token: str | None) -> Status:
    if url is None:
        return msgspec.convert(await request(directory, "GET", "/admin/status"), Status)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/health/status") as response,
        ):
            content = await response.read()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ControlError(f"{url} does not answer: {error}", 3) from error
    try:
        if not response.ok:
            raise ControlError(msgspec.json.decode(content)["error"]["message"], 1)
        return msgspec.json.decode(content, type=Status)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise ControlError(f"{url} is no gateway of Linescribe's, or an older one", 1) from error
