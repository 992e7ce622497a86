"""`linescribe receive`: a receiver of webhooks that shows what arrives."""

from __future__ import annotations

import asyncio
import base64
import random
import secrets
import signal
import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console

from config.checks import SECRET_PREFIX, decode_webhook_secret, is_loopback
from config.secret import Secret
from gateway.cli.receive_live import LinePrinter
from gateway.cli.receive_trouble import SERVICE_UNAVAILABLE, Trouble
from gateway.receiver import Answer, Received, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_ADDRESS = {"0.0.0.0", "::", ""}  # noqa: S104  to tell a wildcard, not to bind to one
SECRET_BYTES = 32

HELP = """Receive webhooks and show them, one line per event.

For trying a gateway out: signatures are checked as a receiver of your own should check them, and an event
that is sent again is shown once.

\b
  linescribe receive                  show events; prints a secret and the settings to paste
  linescribe receive --interims       the same, with text while somebody speaks; finals take its place
  linescribe receive --json | jq .    for programs: one JSON object per event, nothing else

To receive with a secret of your own:

\b
  export LINESCRIBE_RECEIVE_SECRET=whsec_$(openssl rand -base64 32)
  linescribe receive --port 9900

A receiver in trouble, to see what a gateway does, and what linescribe outbox and the metrics tell of it:

\b
  linescribe receive --fail 503                     takes nothing
  linescribe receive --fail 429 --retry-after 30    asks to be left alone
  linescribe receive --fail 500 --share 0.3         fails now and then
  linescribe receive --fail 410                     wants no more: the endpoint is disabled
  linescribe receive --slow 3                       answers late
  linescribe receive --lie                          takes an event, and says that it has not

Ctrl-C ends it. A gateway keeps what it cannot deliver and tries again: after 5 seconds, 5 minutes and so on
(delivery.retry_seconds), and at once when it is started anew.
"""


@click.command(help=HELP)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9900,
    show_default=True,
    help="Port to listen on; 0 takes any that is free.",
)
@click.option(
    "--secret",
    envvar="LINESCRIBE_RECEIVE_SECRET",
    show_envvar=True,
    help="The endpoint's secret, whsec_... Better given by the environment: others on this machine can read"
    " a command line. Without one, a secret is made and shown.",
)
@click.option(
    "--interims",
    is_flag=True,
    help="Let the settings that are printed ask for interims. What comes is shown in any case.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
@click.option(
    "--fail", type=click.IntRange(300, 599), metavar="STATUS", help="Answer with this status, and take nothing."
)
@click.option(
    "--share", type=click.FloatRange(0, 1), default=1.0, help="Of events that --fail or --lie comes over (all: 1)."
)
@click.option(
    "--retry-after", type=click.IntRange(0, 86_400), metavar="SECONDS", help="With --fail or --lie: ask for a rest."
)
@click.option(
    "--slow",
    type=click.FloatRange(0, 3600),
    default=0.0,
    metavar="SECONDS",
    help="Answer so long after an event has come.",
)
@click.option(
    "--lie", is_flag=True, help="Take each event, and answer as if it had not been (503, or --fail's status)."
)
def receive(
    host: str,
    port: int,
    secret: str | None,
    interims: bool,
    as_json: bool,
    fail: int | None,
    share: float,
    retry_after: int | None,
    slow: float,
    lie: bool,
) -> None:
    """Receive webhooks and show them (the help text stands in HELP)."""
    chosen = secret or _make_secret()
    try:
        key = decode_webhook_secret(Secret(chosen))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--secret") from error
    trouble = Trouble(fail=fail, share=share, retry_after_seconds=retry_after, slow_seconds=slow, lie=lie)
    lines = LinePrinter(Console(highlight=False, soft_wrap=True))
    show = _print_json if as_json else lines.show

    def announce(actual_port: int) -> None:
        url = receiver_url(host, actual_port)
        click.echo(f"Listening on {url} - Ctrl-C ends.", err=True)
        for line in trouble.told:
            click.echo(line, err=True)
        if not secret:
            click.echo(settings_to_paste(url, chosen, interims=interims), err=True)

    try:
        asyncio.run(_serve(key, host, port, trouble, show, announce))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise  # click ends quietly when the reader of our output has gone
        raise click.ClickException(f"Cannot listen on {host} port {port}: {error.strerror or error}") from error
    finally:
        lines.close()


def receiver_url(host: str, port: int) -> str:
    """Name the receiver as a gateway on this machine would."""
    name = "127.0.0.1" if host in EVERY_ADDRESS else host
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def settings_to_paste(url: str, secret: str, *, interims: bool = False) -> str:
    """Write the settings that send a gateway's events here: as a file's lines and as a variable."""
    host = url.removeprefix("http://").rpartition(":")[0].strip("[]")
    fields = {"name": "receive", "url": f'"{url}"', "secrets": f'["{secret}"]'}
    if not is_loopback(host):
        fields["allow_plain_http"] = "true"
    if interims:
        fields["interims"] = "true"
    lines = "\n".join(f"      {key}: {value}" for key, value in fields.items())
    inline = ", ".join(f"{key}: {value}" for key, value in fields.items())
    return (
        "\nTo send a gateway's events here, put this into its settings file (the secret is this run's; keep one with"
        " --secret):\n\n"
        f"delivery:\n  endpoints:\n    -\n{lines}\n\n"
        "or this into its environment:\n\n"
        f"export LINESCRIBE_DELIVERY__ENDPOINTS='[{{{inline}}}]'\n"
    )


async def _serve(
    key: bytes,
    host: str,
    port: int,
    trouble: Trouble,
    show: Callable[[Received], None],
    announce: Callable[[int], None],
) -> None:
    """Receive until a signal. Raises OSError when it cannot listen, or cannot show an event."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end(error: OSError | None = None) -> None:
        if not ended.done():
            ended.set_exception(error) if error else ended.set_result(None)

    def answer(event: Received) -> Answer:
        """Take only what could be shown: the gateway keeps the rest for later."""
        chosen = trouble.answer(random.random())  # noqa: S311  no secret
        if not chosen.taken:
            return chosen
        try:
            show(event)
        except OSError as error:
            end(error)
            return Answer(status=SERVICE_UNAVAILABLE, taken=False)
        return chosen

    receiver = Receiver(
        [key],
        clock=time.time,  # noqa: TID251  a command names its clock
        on_event=lambda _event: None,
        answer=answer,
        delay_seconds=trouble.slow_seconds,
        on_refused=_complain,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    announce(await receiver.start(host, port))
    try:
        await ended
    finally:
        await receiver.stop()


def _complain(reason: str) -> None:
    # Not by click, which would write past what LinePrinter puts before sys.stderr, into the lines that it moves.
    print(f"Refused a request: {reason}. Has the gateway this receiver's secret?", file=sys.stderr)


def _make_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _print_json(event: Received) -> None:
    body = {"type": event.type, "timestamp": event.timestamp, "data": event.data}
    click.echo(msgspec.json.encode(body))
