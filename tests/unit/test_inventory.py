from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asr import hub
from asr.packaged import PACKAGED, PackagedFile, Part
from asr.shelves import Manifest, Shelf, held, sealed
from config.settings import Models
from gateway.inventory import EXTRA, Known, inventory

if TYPE_CHECKING:
    from pathlib import Path

OWN = "someone/whisper-for-phones"
ABSENT = (PackagedFile(name="model.bin", size=1, sha256="", parts=(Part("no_such_package", "model.bin"),)),)


def fill(cache: Path, name: str, content: bytes = b"weights") -> Path:
    """Put a whole model into the cache."""
    shelf = Shelf(name, cache)
    shelf.partial.mkdir(parents=True)
    (shelf.partial / "model.bin").write_bytes(content)
    shelf.publish(Manifest(name=name, source="hub", files=(sealed(shelf.partial / "model.bin"),)))
    return shelf.directory


def fill_half(cache: Path, name: str, size: int = 100) -> Path:
    partial = Shelf(name, cache).partial
    partial.mkdir(parents=True)
    (partial / "model.bin.part").write_bytes(bytes(size))
    return partial


def look(cache: Path, name: str, **settings: Any) -> Known:
    (known,) = [each for each in inventory(Models(**settings), cache, packaged={}) if each.name == name]
    return known


def test_an_empty_cache_holds_nothing(tmp_path: Path) -> None:
    assert held(tmp_path / "not there") == []
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / ".tiny.lock").touch()
    (tmp_path / "weights" / "notes.txt").touch()
    assert held(tmp_path) == []


def test_every_short_name_is_listed_in_its_order(tmp_path: Path) -> None:
    known = inventory(Models(), tmp_path, packaged={})
    assert [each.name for each in known] == list(hub.REPOSITORIES)
    assert {each.place for each in known} == {"not here"}
    english = {each.name for each in known if each.english_only}
    assert {"tiny.en", "base.en", "small.en", "medium.en", "distil-large-v3.5"} <= english
    assert not english & {"tiny", "large-v3", "turbo"}
    assert all(each.source == hub.REPOSITORIES[each.name] for each in known)


def test_what_the_settings_use_is_marked(tmp_path: Path) -> None:
    assert look(tmp_path, "base").roles == ("interim", "final")
    assert look(tmp_path, "tiny", interim="tiny").roles == ("interim",)
    assert look(tmp_path, "base", interim="tiny").roles == ("final",)
    assert look(tmp_path, "small").roles == ()


def test_a_whole_one(tmp_path: Path) -> None:
    directory = fill(tmp_path, "small")
    known = look(tmp_path, "small")
    assert (known.place, known.size_bytes, known.directory) == ("cache", 7, directory)
    assert known.source == "Systran/faster-whisper-small"


def test_one_by_its_owners_name_stands_behind_the_short_names(tmp_path: Path) -> None:
    fill(tmp_path, OWN)
    last = inventory(Models(), tmp_path, packaged={})[-1]
    assert (last.name, last.place, last.source, last.english_only) == (OWN, "cache", OWN, None)


@pytest.mark.parametrize("name", ["medium", OWN])
def test_a_half_fetched_one_tells_how_much_is_there(tmp_path: Path, name: str) -> None:
    partial = fill_half(tmp_path, name)
    known = look(tmp_path, name)
    assert (known.place, known.size_bytes, known.directory) == ("partial", 100, partial)


def test_a_whole_one_hides_the_half_of_its_successor(tmp_path: Path) -> None:
    directory = fill(tmp_path, "small")
    fill_half(tmp_path, "small")
    assert look(tmp_path, "small").directory == directory


@pytest.mark.parametrize("damage", ["gone", "longer", "no manifest", "another's"])
def test_a_damaged_one(tmp_path: Path, damage: str) -> None:
    directory = fill(tmp_path, "small")
    match damage:
        case "gone":
            (directory / "model.bin").unlink()
        case "longer":
            (directory / "model.bin").write_bytes(b"weights!")
        case "no manifest":
            (directory / "manifest.json").unlink()
        case _:
            directory.rename(directory.with_name("medium"))
            directory = directory.with_name("medium")
    known = look(tmp_path, directory.name)
    assert (known.place, known.directory) == ("damaged", directory)


def test_installed_packages(tmp_path: Path) -> None:
    (base,) = [each for each in inventory(Models(), tmp_path, PACKAGED) if each.name == "base"]
    assert (base.place, base.source, base.directory) == ("package", EXTRA, None)
    assert base.size_bytes == sum(file.size for file in PACKAGED["base"])


def test_packages_that_are_not_installed(tmp_path: Path) -> None:
    known = inventory(Models(), tmp_path, {"base": ABSENT, "own": ABSENT})
    assert {each.name: each.place for each in known if each.name in {"base", "own"}} == {
        "base": "not here",
        "own": "not here",
    }
    assert known[-1].source is None


def test_a_directory_of_the_operators(tmp_path: Path) -> None:
    mine = tmp_path / "mine.en"
    mine.mkdir()
    (mine / "model.bin").write_bytes(bytes(50))
    known = look(tmp_path / "cache", str(mine), final=str(mine))
    assert (known.place, known.size_bytes, known.directory) == ("directory", 50, mine)
    assert (known.source, known.roles, known.english_only) == (None, ("final",), True)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    known = look(tmp_path, "/no/such", final="/no/such")
    assert (known.place, known.source) == ("not here", None)


@pytest.mark.parametrize("name", ["~nosuchuser/x", "a" * 300])
def test_a_name_that_leads_nowhere(tmp_path: Path, name: str) -> None:
    """Such a directory of the cache may have been made by hand."""
    if "/" in name:
        (tmp_path / "weights" / name.replace("/", "--")).mkdir(parents=True)
        assert look(tmp_path, name).place == "damaged"
    else:
        assert look(tmp_path, name, final=name).place == "not here"
