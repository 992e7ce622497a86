"""The files of systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from gateway.cli.install_systemd import install_systemd
from gateway.units import PROGRAM, files, source

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["linescribe.service", "linescribe-models.service", "linescribe@.service", "linescribe-models@.service"]
MOST_EXPOSED = 2.0

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Write them as install-systemd does, with a program that is there."""
    for instance in (None, "sales"):
        for path, text in files(
            program=sys.executable, config="/etc/linescribe/gateway.yaml", instance=instance, gpu=True, version=252
        ):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
    return tmp_path / "etc/systemd/system"


@needs_systemd
@pytest.mark.parametrize("name", [name.replace("@.", "@sales.") for name in NAMES])
def test_a_unit_has_no_faults(units: Path, name: str) -> None:
    verify = ["systemd-analyze", "verify", str(units / name)]
    told = subprocess.run(verify, capture_output=True, text=True, check=False)
    ours = [line for line in told.stderr.splitlines() if "linescribe" in line]
    assert (told.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize("name", [name.replace("@.", "@sales.") for name in NAMES])
def test_a_unit_is_hardly_exposed(units: Path, name: str) -> None:
    """The drop-in for GPUs is weighed with it."""
    root = units.parent.parent.parent
    weigh = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}", name]
    told = subprocess.run(weigh, capture_output=True, text=True, check=True)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    assert found, told.stdout
    assert float(found[1]) <= MOST_EXPOSED


def _body(name: str) -> list[str]:
    return (source() / name).read_text().splitlines()[1:]


def test_the_template_is_the_unit_with_names_of_its_own() -> None:
    for one, several in (NAMES[::2], NAMES[1::2]):
        differ = [(a, b) for a, b in zip(_body(one), _body(several), strict=True) if a != b]
        assert differ
        assert all("%i" in b or "@NAME" in b for _, b in differ)


def test_the_models_are_fetched_with_no_more_rights_than_the_gateway_has() -> None:
    rights = "\n".join(_body("linescribe.service")).partition("AmbientCapabilities=")[2]
    assert rights in "\n".join(_body("linescribe-models.service"))


def test_there_is_time_to_let_calls_run_out() -> None:
    stop = re.search(r"^TimeoutStopSec=(\d+)$", (source() / "linescribe.service").read_text(), re.MULTILINE)
    assert stop
    assert int(stop[1]) > 1800 + 10  # calls.drain_seconds and calls.hurry_seconds


def test_longer_waits_are_asked_of_a_systemd_that_knows_them() -> None:
    for version, there in ((252, False), (254, True)):
        made = dict(files(program="/p", config="/c", instance=None, gpu=False, version=version))
        assert any(path.name == "backoff.conf" for path in made) is there


def install(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(install_systemd, ["--program", sys.executable, *arguments])
    return result.exit_code, result.output


def test_without_write_they_are_shown() -> None:
    status, shown = install()
    assert status == 0
    assert "# /etc/systemd/system/linescribe.service\n" in shown
    assert PROGRAM not in shown
    assert f"ExecStart={sys.executable} run --config /etc/linescribe/gateway.yaml\n" in shown


def test_with_write_they_are_written_and_settings_are_kept(tmp_path: Path) -> None:
    assert install("--write", "--root", str(tmp_path), "--gpu")[0] == 0
    config = tmp_path / "etc/linescribe/gateway.yaml"
    assert "state_dir: /var/lib/linescribe\n" in config.read_text()
    assert (tmp_path / "etc/systemd/system/linescribe.service.d/gpu.conf").exists()
    config.write_text("calls: {max_calls: 7}\n")
    status, told = install("--write", "--root", str(tmp_path))
    assert (status, f"kept {config}" in told) == (0, True)
    assert config.read_text() == "calls: {max_calls: 7}\n"


def test_an_instance_has_its_own_settings_and_state(tmp_path: Path) -> None:
    status, told = install("--write", "--root", str(tmp_path), "--instance", "sales")
    assert status == 0
    assert "systemctl enable --now linescribe-models@sales linescribe@sales" in told
    assert "state_dir: /var/lib/linescribe-sales\n" in (tmp_path / "etc/linescribe/sales.yaml").read_text()


def test_secrets_are_handed_over_by_systemd(tmp_path: Path) -> None:
    secrets = ("--credential", "crm:/etc/linescribe/crm", "--credential", "pbx:/etc/linescribe/pbx")
    assert install("--write", "--root", str(tmp_path), *secrets)[0] == 0
    drop_in = tmp_path / "etc/systemd/system/linescribe.service.d/credentials.conf"
    assert drop_in.read_text() == (
        "[Service]\nLoadCredential=crm:/etc/linescribe/crm\nLoadCredential=pbx:/etc/linescribe/pbx\n"
    )
    assert install("--write", "--root", str(tmp_path), *secrets, "--instance", "sales")[0] == 0
    assert (tmp_path / "etc/systemd/system/linescribe@sales.service.d/credentials.conf").exists()


@pytest.mark.parametrize("credential", ["crm", "crm:relative", ":/etc/crm", "crm:/etc/a b", "crm:/etc/a\nUser=root"])
def test_a_secret_that_lies_nowhere_is_refused(credential: str) -> None:
    assert install("--credential", credential)[0] == 2


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "%i"])
def test_a_name_that_no_unit_can_have_is_refused(name: str) -> None:
    assert install("--instance", name)[0] == 2


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("")
    status, told = install("--write", "--root", str(tmp_path))
    assert status == 1
    assert "cannot write" in told
