from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asr.cublas import LIBRARIES, preload_cublas


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a package of the name, whose `lib` is to be filled."""
    library = tmp_path / "pretended" / "cublas" / "lib"
    library.mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    return library


def test_without_the_package_nothing_is_loaded() -> None:
    assert preload_cublas("pretended_and_missing.cublas") == []


def test_both_libraries_are_loaded_from_the_package_in_their_order(package: Path) -> None:
    for name in LIBRARIES:
        shutil.copy(_some_library(), package / name)
    code = "import sys; from asr.cublas import preload_cublas; print(preload_cublas('pretended.cublas'));"
    code += "print(open('/proc/self/maps').read())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{package.parents[2]}:{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        check=True,
    )
    told, maps = done.stdout.split("\n", 1)
    assert told == str([package / name for name in LIBRARIES])
    assert all(str(package / name) in maps for name in LIBRARIES)


def test_what_cannot_be_loaded_is_left_to_who_needs_it(package: Path) -> None:
    (package / LIBRARIES[0]).write_text("no library")
    assert preload_cublas("pretended.cublas") == []


def _some_library() -> Path:
    """Find any shared library."""
    spec = importlib.util.find_spec("msgspec._core")
    assert spec
    assert spec.origin
    return Path(spec.origin)
