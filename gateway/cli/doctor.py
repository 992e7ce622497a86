"""`linescribe doctor`."""

from __future__ import annotations

import asyncio
import re
import sys
from itertools import chain
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.text import Text

from config.errors import ConfigError
from config.load import load
from gateway.cli.check_config import config_option
from gateway.cli.control import ControlError, request
from gateway.cli.models_options import log_warnings
from gateway.doctor import machine, models, network, software
from gateway.doctor.findings import Finding, Severity, error, good, warning
from gateway.doctor.traps import traps
from gateway.state import state_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from config.settings import Settings

WRITTEN_OUT = re.compile(r"whsec_|(?:secret|auth_tokens)\W+[A-Za-z0-9_-]{16,}")
"""A secret itself, and not where it lies."""

MARKS = {Severity.OK: ("✓", "green"), Severity.WARNING: ("!", "yellow"), Severity.ERROR: ("✗", "red")}
WORST = {Severity.OK: 0, Severity.WARNING: 0, Severity.ERROR: 1}
STRICT = WORST | {Severity.WARNING: 3}


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--strict", is_flag=True, help="Exit with status 3 where there are warnings alone.")
@click.option("--quiet", "-q", is_flag=True, help="Tell only what is wrong.")
def doctor(file: Path | None, *, as_json: bool, strict: bool, quiet: bool) -> None:
    """Look whether this machine can run the gateway with these settings, and say how to mend what is wrong.

    Python and packages, the processor, GPU and cuBLAS, models and the memory they want, ports, the store's disk, the
    clock, how many files may be open, endpoints and how long certificates are good, and traps of PBX and carriers.
    Nothing is changed or posted; endpoints are connected to. Best run as the user that the gateway runs as.

    Exit status 0: nothing is wrong, or there are warnings; 1: something is; 2: the settings cannot be used; 3: warnings
    alone, with --strict.

    \b
    Examples:
      linescribe doctor --config /etc/linescribe/gateway.yaml
      linescribe doctor --quiet --strict || echo "see to it"
    """
    try:
        settings = load(file)
    except ConfigError as problem:
        found = [error("settings", str(problem), "linescribe check-config tells more")]
        status = 2
    else:
        log_warnings(settings)
        found = [good("settings", f"{file or 'the defaults'} can be used"), *_examine(settings, file)]
        worst = STRICT if strict else WORST
        seen = {worst[finding.severity] for finding in found}
        status = 1 if 1 in seen else max(seen)
    told = [finding for finding in found if not quiet or finding.severity is not Severity.OK]
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        _print(told)
    sys.exit(status)


def _examine(settings: Settings, file: Path | None) -> Iterator[Finding]:
    """Look at everything; what breaks off is told, and the rest goes on."""
    directory = state_directory(settings)
    running = asyncio.run(_is_running(directory))
    looks: tuple[Callable[[], Iterable[Finding]], ...] = (
        lambda: [software.python()],
        software.packages,
        lambda: [software.processor()],
        lambda: models.weights(settings.models),
        lambda: models.room(settings.models),
        lambda: [machine.open_files(settings)],
        lambda: machine.state(settings, directory),
        lambda: [machine.clock()],
        lambda: network.ports(settings, running=running),
        lambda: network.certificates(settings),
        lambda: asyncio.run(network.endpoints(settings)),
        lambda: traps(settings),
        lambda: _secrets(file),
    )
    return chain.from_iterable(_looked(look) for look in looks)


def _looked(look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except Exception as problem:  # noqa: BLE001  ours, or a machine of a kind that nobody foresaw: the rest is worth knowing
        return [error("doctor", f"an examination broke off: {problem!r}", "tell us, with the output of --json")]


async def _is_running(directory: Path) -> bool:
    try:
        await request(directory, "GET", "/admin/status")
    except ControlError:
        return False
    return True


def _secrets(file: Path | None) -> Iterator[Finding]:
    """Look whether others may read a settings file in which secrets stand."""
    if file is None or not file.stat().st_mode & 0o004:
        return
    if WRITTEN_OUT.search(file.read_text()):
        remedy = f"chmod 640 {file}, or name where secrets lie: {{file: PATH}}, {{credential: NAME}}"
        yield warning("secrets", f"everybody on this machine may read {file}, and secrets stand in it", remedy)


def _print(findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        mark, style = MARKS[finding.severity]
        console.print(Text(f"{mark} {finding.check}: ", style), Text(finding.text), sep="")
        if finding.remedy:
            console.print(Text(f"    → {finding.remedy}", "dim"))
    counts = [sum(finding.severity is severity for finding in findings) for severity in Severity]
    told = ", ".join(
        f"{count} {word}" for count, word in zip(counts, ("well", "to see to", "wrong"), strict=True) if count
    )
    console.print(Text(told or "nothing is wrong", "bold"))
