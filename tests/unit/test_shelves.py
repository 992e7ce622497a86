from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr import hub, shelves
from asr.shelves import Entry, Manifest, Shelf, held, read, read_manifest, seal, sealed, write

if TYPE_CHECKING:
    from pathlib import Path

PARTS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._]|-(?!-)){0,20}", fullmatch=True).filter(
    lambda part: not part.endswith("-")
)


@given(PARTS, PARTS)
def test_a_half_fetched_one_is_known_by_its_directory(
    tmp_path_factory: pytest.TempPathFactory, owner: str, repo: str
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    name = f"{owner}/{repo}"
    assert hub.repository(name) == name
    Shelf(name, cache).partial.mkdir(parents=True)
    assert [each.name for each in held(cache)] == [name]


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_what_is_written_is_sealed_as_it_is_read(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("file") / "model.bin"
    content = b"".join(chunks)
    entry = write(path, chunks)
    assert entry == Entry("model.bin", len(content), hashlib.sha256(content).hexdigest())
    assert seal(path) == sealed(path) == entry
    assert b"".join(read(path)) == content


def test_hashing_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "CHUNK_BYTES", 100)
    write(path := tmp_path / "model.bin", [bytes(250)])
    heard: list[int] = []
    sealed(path, heard.append)
    assert heard == [100, 100, 50]


def published(cache: Path, name: str, content: bytes = b"weights") -> Shelf:
    shelf = Shelf(name, cache)
    shelf.partial.mkdir(parents=True)
    shelf.publish(Manifest(name=name, source="hub", files=(write(shelf.partial / "model.bin", [content]),)))
    return shelf


def test_a_shelf_is_whole_once_it_is_published(tmp_path: Path) -> None:
    assert not Shelf("small", tmp_path).is_whole()
    shelf = published(tmp_path, "small")
    assert shelf.is_whole()
    assert not shelf.partial.exists()
    assert read_manifest(shelf.directory).size == 7


def test_what_is_published_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    published(tmp_path, "small")
    shelf = published(tmp_path, "small", b"better weights")
    assert read_manifest(shelf.directory).size == 14
    assert [each.size_bytes for each in held(tmp_path)] == [14]


def test_a_shelf_of_another_name_is_not_taken_for_this_one(tmp_path: Path) -> None:
    published(tmp_path, "small").directory.rename(tmp_path / "weights" / "medium")
    assert not Shelf("medium", tmp_path).is_whole()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"name": 1, "source": "hub", "files": []}'])
def test_a_manifest_that_is_none(tmp_path: Path, content: bytes) -> None:
    shelf = published(tmp_path, "small")
    (shelf.directory / "manifest.json").write_bytes(content)
    with pytest.raises(msgspec.DecodeError):
        read_manifest(shelf.directory)
    assert not shelf.is_whole()
    assert [each.state for each in held(tmp_path)] == ["damaged"]


def test_what_lies_there_is_listed_by_name(tmp_path: Path) -> None:
    for name in ("small", "someone/own", "base"):
        published(tmp_path, name)
    Shelf("medium", tmp_path).partial.mkdir()
    (tmp_path / "weights" / ".small.lock").touch()
    assert [(each.name, each.state, each.source) for each in held(tmp_path)] == [
        ("base", "whole", "hub"),
        ("medium", "partial", None),
        ("small", "whole", "hub"),
        ("someone/own", "whole", "hub"),
    ]
