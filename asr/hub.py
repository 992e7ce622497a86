"""The Hugging Face hub: a model's name becomes files in a directory.

Not by faster_whisper's `download_model`: importing it loads CTranslate2, which belongs into the model
process alone, and it passes on an argument that newer versions of huggingface_hub refuse. Nor by huggingface_hub's
own `hf_hub_download`: newer ones throw away half a file, and half of a model's one big file is gigabytes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import msgspec

from asr.shelves import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from asr.shelves import Entry

    Tick = Callable[[int, int | None], None]

_SIZES = "tiny tiny.en base base.en small small.en medium medium.en large-v1 large-v2 large-v3"
_DISTILLED = "small.en medium.en large-v2 large-v3"
_TURBO = "mobiuslabsgmbh/faster-whisper-large-v3-turbo"
REPOSITORIES = (
    {size: f"Systran/faster-whisper-{size}" for size in _SIZES.split()}
    | {"large": "Systran/faster-whisper-large-v3", "large-v3-turbo": _TURBO, "turbo": _TURBO}
    | {f"distil-{size}": f"Systran/faster-distil-whisper-{size}" for size in _DISTILLED.split()}
    | {"distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2"}
)
"""Where the hub keeps the models that go by a short name."""

NOTES = ".of"
"""Says beside the files which revision they are of, so that those of two are never mixed."""

PART = ".part"
"""The ending of a file that has not arrived whole."""

ANSWER_SECONDS = 10.0
"""How long the hub may think before it says what it has; for a file it is huggingface_hub's HF_HUB_DOWNLOAD_TIMEOUT."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""What a disk says to a write, and no network ever."""

_GIT_HASH = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class HubError(Exception):
    """The hub did not give the model; the text says why, in one line."""


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub says of a file; None where it does not say."""

    name: str
    size: int | None = None
    sha256: str | None = None
    """Of files in its large file storage, as weights are."""
    blob: str | None = None
    """Git's own hash, of the others."""

    def fits(self, path: Path, found: Entry) -> bool:
        """Hold against it what arrived."""
        if self.sha256 is not None:
            return found.sha256 == self.sha256
        if self.blob is not None:
            return _git_hash(path, found.size) == self.blob
        return self.size in {None, found.size}


def repository(name: str) -> str | None:
    """Find the hub's owner/name for a model; None if this cannot be one."""
    return name if _REPOSITORY.fullmatch(name) else REPOSITORIES.get(name)


def download(name: str, directory: Path, *, patterns: Sequence[str], endpoint: str | None, tick: Tick) -> list[Stated]:
    """Fetch the files that match a pattern; give what the hub states of each, for the caller to hold them against.

    Goes on where an interrupted download into the same directory ended. `tick` gets bytes done and in all.
    Raises HubError, or OSError when the directory or its disk is at fault.
    """
    repo = repository(name)
    if repo is None:
        raise HubError("the model hub has no place for them")
    try:
        return _fetch(repo, directory, patterns, endpoint, tick)
    except HubError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and _is_of_disk(error):
            raise
        # Its transport is requests, httpx or httpx2, as the version goes, each with a family of exceptions.
        reason = next(iter(str(error).strip().splitlines()), "no reason given")
        raise HubError(f"the model hub did not give {repo} ({type(error).__name__}: {reason})") from error


def _is_of_disk(error: OSError) -> bool:
    """Tell what is no fault of the hub's: what names a file, or comes of writing; a network's are OSErrors as well."""
    return error.filename is not None or error.errno in _NO_ROOM


def _fetch(repo: str, directory: Path, patterns: Sequence[str], endpoint: str | None, tick: Tick) -> list[Stated]:
    from huggingface_hub import HfApi, hf_hub_url  # noqa: PLC0415  a sixth of a second, seldom needed

    info = HfApi(endpoint=endpoint).model_info(repo, files_metadata=True, timeout=ANSWER_SECONDS)
    if not info.sha:
        raise HubError(f"the model hub states no revision of {repo}, so that files of several could be mixed")
    files = [_stated(each) for each in info.siblings or () if _is_wanted(each.rfilename, patterns)]
    _begin(directory, info.sha)
    bar = _progress_bar(tick, sum(each.size or 0 for each in files))
    for each in files:
        _get(hf_hub_url(repo, each.name, revision=info.sha, endpoint=endpoint), directory / each.name, each, bar)
    return files


def _stated(sibling: Any) -> Stated:
    if sibling.lfs:  # git's hash is the pointer's
        return Stated(name=sibling.rfilename, size=sibling.size, sha256=sibling.lfs.sha256)
    blob = sibling.blob_id if _GIT_HASH.fullmatch(sibling.blob_id or "") else None
    return Stated(name=sibling.rfilename, size=sibling.size, blob=blob)


def _git_hash(path: Path, size: int) -> str:
    """Hash a file as git does (Pro Git, "Git Objects")."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for chunk in read(path):
        digest.update(chunk)
    return digest.hexdigest()


def _is_wanted(name: str, patterns: Iterable[str]) -> bool:
    """Match a name of the repository; one with a directory in it could lead anywhere."""
    return "/" not in name and any(fnmatch(name, wanted) for wanted in patterns)


def _begin(directory: Path, revision: str) -> None:
    """Keep what is there of this revision, and nothing else."""
    note = directory / NOTES
    if not note.is_file() or note.read_bytes() != revision.encode():
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir()
        note.write_text(revision)


def _get(url: str, path: Path, stated: Stated, bar: type[Any]) -> None:
    """Fetch a file, or the rest of it; it has its name once it is whole, and on the disk.

    It is gone on with only where a SHA-256 will tell whether the rest fits; the hub states it of all that is large.
    """
    from huggingface_hub.file_download import http_get  # noqa: PLC0415  as above
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: PLC0415  it is documented

    if stated.sha256 and path.exists() and path.stat().st_size == stated.size:
        bar(initial=stated.size)
        return
    part = path.with_name(path.name + PART)
    size = stated.size
    with part.open("ab" if stated.sha256 else "wb") as file:
        if size is not None and file.tell() > size:  # nothing could come after that
            file.seek(0)
            file.truncate()
        http_get(url, file, resume_size=file.tell(), headers=build_hf_headers(), expected_size=size, tqdm_class=bar)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def _progress_bar(tick: Tick, total: int) -> type[Any]:
    """Make the one kind of listener that huggingface_hub knows: a tqdm class; this one draws nothing."""
    from huggingface_hub.utils.tqdm import tqdm  # noqa: PLC0415  as above

    done = 0

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
            self.update(kwargs.get("initial"))

        def update(self, n: float | None = 1) -> None:
            nonlocal done
            done += int(n or 0)
            tick(done, total or None)

    return Bar
