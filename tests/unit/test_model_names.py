from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.model_names import ModelNames, ModelNotAllowedError

if TYPE_CHECKING:
    from pathlib import Path


def test_known_names_and_those_of_the_settings_may_be_named() -> None:
    ModelNames(("/srv/ours", "somebody/model"), ()).check(["base", "large-v3", "/srv/ours", "somebody/model"])


def test_paths_under_a_directory_may_be_named(tmp_path: Path) -> None:
    names = ModelNames((), (str(tmp_path),))
    names.check([str(tmp_path / "ours"), f"{tmp_path}/a/../ours"])


@pytest.mark.parametrize(
    "name",
    ["", "/", "/etc/passwd", "ours", "./ours", "~/ours", "somebody/model", "{}", "{}/..", "{}/../other", "{}x", "/\0"],
)
def test_nothing_else_may(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelNotAllowedError):
        ModelNames(("base",), (str(tmp_path / "models"),)).check([name.format(tmp_path / "models")])


def test_no_link_leads_out(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "out").symlink_to("/etc")
    with pytest.raises(ModelNotAllowedError):
        ModelNames((), (str(tmp_path / "models"),)).check([str(tmp_path / "models" / "out")])
