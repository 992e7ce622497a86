"""The cache of weights: a shelf for each model, whole or not. Nothing here asks the network.

A shelf gets its name only once it is whole: it is filled beside its place, hashed as it is written, flushed to disk
and renamed, with `manifest.json` (sizes and SHA-256) as the last file in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Literal

import msgspec
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

log = structlog.get_logger()

MANIFEST = "manifest.json"
CHUNK_BYTES = 1 << 20

UNREADABLE = (OSError, ValueError, msgspec.DecodeError)
"""What a bad manifest raises: ValueError stands for bytes that are no text, and for names that no file can have."""

State = Literal["whole", "partial", "damaged"]


class Entry(msgspec.Struct, frozen=True):
    """One file of a shelf."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a shelf holds, and where that came from."""

    name: str
    source: Literal["package", "hub"]
    files: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(each.size for each in self.files)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache holds of one model."""

    name: str
    directory: Path
    state: State
    """Partial: a transfer broke off, or is on its way. Damaged: a file is missing or has another size."""
    size_bytes: int
    source: Literal["package", "hub"] | None = None
    """Known of whole ones."""


class Shelf:
    """The place of one model in the cache."""

    def __init__(self, name: str, cache_dir: Path) -> None:
        self.name = name
        self.root = cache_dir / "weights"
        self.directory = self.root / name.replace("/", "--")
        self.lock = self.root / f".{self.directory.name}.lock"
        self.partial = self.root / f".{self.directory.name}.partial"
        """One name for all who try, under the lock: what a dead one left is found, and is never many."""

    def is_whole(self) -> bool:
        """Compare the sizes with the manifest; hashing would cost a second at every start."""
        manifest = _fitting_manifest(self.directory)
        return manifest is not None and manifest.name == self.name

    def publish(self, manifest: Manifest) -> None:
        """Put what was filled in its place; a power cut leaves it whole or not there."""
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        write(self.partial / MANIFEST, [data])
        _flush(self.partial)
        if self.directory.exists():
            log.warning("weights.rebuilt", name=self.name, directory=str(self.directory))
            shutil.rmtree(self.directory)
        self.partial.rename(self.directory)
        _flush(self.root)


def held(cache_dir: Path) -> list[Held]:
    """Tell what lies in the cache, by name. What is partial beside a whole one is left out: it will replace it.

    Raises OSError when the cache cannot be read.
    """
    found: dict[str, Held] = {}
    for path in sorted(_inside(cache_dir / "weights"), reverse=True):  # names with a dot come last
        if path.is_dir() and (each := _look(path)):
            found.setdefault(each.name, each)
    return sorted(found.values(), key=lambda each: each.name)


def read_manifest(directory: Path) -> Manifest:
    """Read what a shelf should hold. Raises what is UNREADABLE."""
    return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)


def write(path: Path, chunks: Iterable[bytes]) -> Entry:
    """Write, hash and flush a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            size += file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    return Entry(path.name, size, digest.hexdigest())


def seal(path: Path) -> Entry:
    """Hash and flush a file that somebody else wrote."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return sealed(path)


def sealed(path: Path, on_bytes: Callable[[int], object] = lambda _size: None) -> Entry:
    """Hash a file; `on_bytes` hears of every chunk's size."""
    digest, size = hashlib.sha256(), 0
    for chunk in read(path):
        digest.update(chunk)
        size += len(chunk)
        on_bytes(len(chunk))
    return Entry(path.name, size, digest.hexdigest())


def read(path: Path) -> Iterator[bytes]:
    """Read a file in chunks."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _inside(root: Path) -> list[Path]:
    """List a directory; one that is not there holds nothing."""
    try:
        return list(root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _look(path: Path) -> Held | None:
    """Tell what a directory of the cache holds."""
    if path.name.startswith("."):
        name = _name(path.name.removeprefix(".").removesuffix(".partial"))
        partial = path.name.endswith(".partial")
        return Held(name=name, directory=path, state="partial", size_bytes=_size(path)) if partial else None
    manifest = _fitting_manifest(path)
    if manifest is None or Shelf(manifest.name, path.parent.parent).directory != path:
        return Held(name=_name(path.name), directory=path, state="damaged", size_bytes=_size(path))
    return Held(name=manifest.name, directory=path, state="whole", size_bytes=manifest.size, source=manifest.source)


def _name(directory: str) -> str:
    """Find the model's name; neither an owner nor a repository of the hub has two dashes together."""
    return directory.replace("--", "/", 1)


def _size(directory: Path) -> int:
    """Add up the bytes of what can be seen; a transfer may go on meanwhile, and take files away."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size  # noqa: PTH116, PTH118  as os.walk gives them
            except OSError:
                continue
    return total


def _fitting_manifest(directory: Path) -> Manifest | None:
    """Read the manifest; None if there is none, or a file is not there or of another size."""
    try:
        manifest = read_manifest(directory)
        fits = all((directory / each.name).stat().st_size == each.size for each in manifest.files)
    except UNREADABLE:
        return None
    return manifest if fits else None


def _flush(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
