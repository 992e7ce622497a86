"""Which models an operator may name: those that are known by name, and paths under directories of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asr.hub import REPOSITORIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class ModelNotAllowedError(Exception):
    """A model that nobody may name."""


class ModelNames:
    """The rules. `named` are the settings' own models, and `directories` where others may lie."""

    def __init__(self, named: Sequence[str], directories: Sequence[str]) -> None:
        self._named = {*named, *REPOSITORIES}
        self._directories = [Path(each).expanduser().resolve() for each in directories]

    def check(self, names: Iterable[str]) -> None:
        """Refuse what is neither known nor lies where it may. Raises ModelNotAllowedError."""
        for name in names:
            if name not in self._named and not self._lies_well(name):
                raise ModelNotAllowedError(
                    f"{name!r} is neither a model that is known by name nor a path under admin.model_directories"
                )

    def _lies_well(self, name: str) -> bool:
        """Tell by where the path leads, through links and dots."""
        if not name.startswith("/"):
            return False
        try:
            place = Path(name).resolve()
        except (OSError, ValueError):  # a name that no file can have
            return False
        return any(place.is_relative_to(directory) and place != directory for directory in self._directories)
