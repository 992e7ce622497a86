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


BAD_MANIFESTS = (
    b'{"name": "t\xff", "source": "hub", "files": []}',
    b'{"name": "t", "source": "hub", "files": [{"name": "a\\u0000", "size": 1, "sha256": "x"}]}',
    b'{"name": "t", "source": "hub", "files": [{"name": "%b", "size": 1, "sha256": "x"}]}' % (b"a" * 300),
)


@pytest.mark.parametrize("content", BAD_MANIFESTS)
def test_a_manifest_with_bad_bytes_is_damage(tmp_path: Path, content: bytes) -> None:
    shelf = published(tmp_path, "t")
    (shelf.directory / "manifest.json").write_bytes(content)
    assert not shelf.is_whole()
    assert [(each.name, each.state) for each in held(tmp_path)] == [("t", "damaged")]


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=400))
def test_a_manifest_in_which_bytes_were_changed_is_damage_or_not(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: int
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    manifest = published(cache, "t").directory / "manifest.json"
    content = manifest.read_bytes()
    manifest.write_bytes(content[:place] + junk + content[place + len(junk) :])
    (each,) = held(cache)
    assert each.state in {"whole", "damaged"}


def test_a_cache_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="name too long"):
        held(tmp_path / ("a" * 300))
    (tmp_path / "weights").touch()
    assert held(tmp_path) == []


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
