"""`linescribe models verify`."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from asr.shelves import held
from asr.weights import WeightsError, directory_at, remove_damaged
from asr.weights import verify as verify_weights
from gateway.cli.check_config import config_option, settings_or_exit
from gateway.cli.models_options import as_json_option, cannot_read_cache, complain, log_warnings, stopped
from gateway.cli.transfers import transfers
from gateway.models import cache_dir

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one model."""

    name: str
    directory: Path
    intact: bool
    problem: str | None = None
    removed: bool = False


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@config_option
@as_json_option
@click.option("--remove", is_flag=True, help="Remove what is damaged, so that it is fetched anew.")
def verify(names: tuple[str, ...], file: Path | None, *, as_json: bool, remove: bool) -> None:
    """Check every byte of the weights in the cache against the SHA-256 kept when they came.

    NAME is a model in the cache, or a directory that was copied from one. Without one: all in the cache. A gateway
    compares only the sizes when it starts. Half fetched models are left out. Exit status 1 if something is
    damaged, also when it was removed.

    \b
    Examples:
      linescribe models verify
      linescribe models verify --remove; linescribe models fetch       mend what is damaged
      linescribe models verify /mnt/usb/weights/small
    """
    settings = settings_or_exit(file)
    log_warnings(settings)
    cache = cache_dir(settings.models)
    try:
        in_cache = {each.name: each.directory for each in held(cache) if each.state != "partial"}
    except OSError as error:
        cannot_read_cache(error)
    chosen = _chosen(names, in_cache)
    verdicts = []
    try:
        for name, directory in chosen.items():
            verdict = _verdict(name, directory, cache if remove and name in in_cache else None)
            verdicts.append(verdict)
            if not as_json:
                _tell(verdict, removable=name in in_cache and not remove)
    except KeyboardInterrupt:
        stopped()
    if as_json:
        click.echo(msgspec.json.encode(verdicts, enc_hook=str))
    elif not chosen:
        click.echo(f"no model lies in {cache / 'weights'}")
    sys.exit(not all(each.intact for each in verdicts))


def _chosen(names: Sequence[str], in_cache: dict[str, Path]) -> dict[str, Path]:
    """Find what is to be checked; exit with status 2 for a name that is nothing."""
    return {name: _directory(name, in_cache) for name in names} if names else in_cache


def _directory(name: str, in_cache: dict[str, Path]) -> Path:
    if name in in_cache:
        return in_cache[name]
    try:
        path = directory_at(name)
    except WeightsError as error:
        raise click.UsageError(str(error)) from error
    if path:
        return path
    near = difflib.get_close_matches(name, in_cache, n=3)
    there = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(in_cache) or 'none'}"
    raise click.UsageError(f"No model {name!r} lies in the cache; {there}")


def _verdict(name: str, directory: Path, cache: Path | None) -> Verdict:
    """Check one, and remove it from the cache when that is given."""
    problem = None
    removed = False
    try:
        with transfers("checking", lines=False) as progress:
            if cache:
                problem = remove_damaged(name, cache, progress)
                removed = problem is not None
            else:
                verify_weights(directory, progress)
    except WeightsError as error:
        problem = str(error)
    return Verdict(name=name, directory=directory, intact=problem is None, problem=problem, removed=removed)


def _tell(verdict: Verdict, *, removable: bool) -> None:
    if verdict.intact:
        click.echo(f"{verdict.name}: intact, {verdict.directory}")
    elif verdict.removed:
        problem = (verdict.problem or "").partition(";")[0]
        complain(f"{verdict.name}: {problem}; removed, it is fetched anew when it is needed")
    else:
        complain(f"{verdict.name}: {verdict.problem}{' (--remove does that)' if removable else ''}")
