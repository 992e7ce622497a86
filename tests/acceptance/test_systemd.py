"""The service under a real systemd: one of its own, in namespaces of its own, as process 1 of its own little machine.

It wants root and control groups; where these are not, systemd's part is played in tests/unit/test_supervisor.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.cli.control import NOT_RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYSTEMD = Path("/lib/systemd/systemd")
PATIENCE_SECONDS = 60.0

APART = ["unshare", "--pid", "--fork", "--mount", "--mount-proc"]
"""Processes and mounts of its own."""

BOOT = """\
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /var/cache
mkdir -p /run/systemd/system
cp -r {units}/. /run/systemd/system/
# They would empty /tmp, which is not ours alone.
for unit in systemd-tmpfiles-setup systemd-tmpfiles-clean systemd-tmpfiles-setup-dev; do
  ln -s /dev/null /run/systemd/system/$unit.service
done
printf '[Unit]\\nRequires=systemd-journald.socket\\n' > /run/systemd/system/lab.target
exec env -i container=lxc PATH="$PATH" {systemd} --system --unit=lab.target --log-target=null --show-status=no
"""

DROP_IN = """\
[Service]
# The program lies where the tests are, which may be a home, and in nobody's way.
DynamicUser=no
User=root
ProtectHome=no
PrivateUsers=no
PrivateTmp=no
CapabilityBoundingSet=CAP_DAC_OVERRIDE
WatchdogSec=3
RestartSec=1
Environment=LINESCRIBE_AUDIOSOCKET__0__PORT=0 LINESCRIBE_HTTP__PORT=0 LINESCRIBE_MODELS__CACHE_DIR={cache}
"""


def _can_boot() -> bool:
    """Tell whether a systemd can be process 1 somewhere here."""
    if os.geteuid() != 0 or not SYSTEMD.exists() or not shutil.which("nsenter"):
        return False
    trial = subprocess.run([*APART, "true"], check=False, capture_output=True)
    return trial.returncode == 0 and os.access("/sys/fs/cgroup/systemd", os.W_OK)


pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not _can_boot(), reason="no systemd can be booted here: that wants root and control groups"),
]


class Lab:
    """A little machine with a systemd."""

    def __init__(self, pid: int) -> None:
        self._enter = ["nsenter", "--target", str(pid), "--mount", "--pid"]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._enter, *arguments], check=check, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )

    def show(self, name: str) -> str:
        return self.run("systemctl", "show", "--property", name, "--value", "linescribe").stdout.strip()

    def start(self) -> None:
        """Start the service; systemd returns when it is ready."""
        assert self.run("systemctl", "start", "linescribe", check=False).returncode == 0, self.log()

    def log(self) -> str:
        return self.run("journalctl", "--unit", "linescribe", "--output", "cat", "--no-pager").stdout

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait for what nobody tells of."""
        end = time.monotonic() + PATIENCE_SECONDS  # noqa: TID251  tests live in real time
        while not holds():
            assert time.monotonic() < end, self.log()  # noqa: TID251  the same
            time.sleep(0.1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    program = str(Path(sys.executable).with_name("linescribe"))
    cache = Path.home() / ".cache" / "linescribe"
    install = [program, "install-systemd", "--write", "--root", str(tmp_path), "--program", program]
    subprocess.run(install, check=True, capture_output=True)
    units = tmp_path / "etc" / "systemd" / "system"
    config = tmp_path / "etc" / "linescribe" / "gateway.yaml"
    unit = units / "linescribe.service"
    unit.write_text(unit.read_text().replace("/etc/linescribe/gateway.yaml", str(config)))
    (units / "linescribe.service.d").mkdir(exist_ok=True)
    (units / "linescribe.service.d" / "lab.conf").write_text(DROP_IN.format(cache=cache))
    boot = tmp_path / "boot.sh"
    boot.write_text(BOOT.format(units=units, systemd=SYSTEMD))
    machine = subprocess.Popen([*APART, "--kill-child", "bash", str(boot)])
    try:
        yield _booted(machine.pid)
    finally:
        machine.kill()
        machine.wait()


def _booted(pid: int) -> Lab:
    """Wait until systemd answers."""
    end = time.monotonic() + PATIENCE_SECONDS  # noqa: TID251  tests live in real time
    while time.monotonic() < end:  # noqa: TID251  the same
        with contextlib.suppress(IndexError, subprocess.SubprocessError):
            init = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
            lab = Lab(int(init))
            told = lab.run("systemctl", "is-system-running", check=False)
            if told.stdout.strip() in {"running", "degraded"}:
                return lab
        time.sleep(0.1)
    pytest.fail("systemd did not come up")


def test_a_service_starts_reloads_is_bitten_and_stops(lab: Lab, tmp_path: Path) -> None:
    config = tmp_path / "etc" / "linescribe" / "gateway.yaml"
    lab.start()
    assert (lab.show("ActiveState"), lab.show("NRestarts")) == ("active", "0")
    lab.wait(lambda: lab.show("StatusText") == "serving: 0 calls")

    config.write_text(config.read_text() + "calls: {max_calls: 7}\n")
    lab.run("systemctl", "reload", "linescribe")
    assert "taken over: calls.max_calls" in lab.log()
    config.write_text(config.read_text() + "cals: {}\n")
    assert lab.run("systemctl", "reload", "linescribe", check=False).returncode != 0
    assert "cals: unknown key" in lab.log()
    assert lab.show("ActiveState") == "active"

    before = lab.show("MainPID")
    config.write_text(config.read_text().replace("cals: {}\n", ""))
    lab.run("kill", "-STOP", before)  # stuck; the watchdog bites
    lab.wait(lambda: lab.show("NRestarts") == "1" and lab.show("ActiveState") == "active")
    assert lab.show("MainPID") != before
    assert "Fatal Python error: Aborted" in lab.log()  # where it stood

    lab.run("systemctl", "stop", "linescribe")
    assert (lab.show("ActiveState"), lab.show("Result")) == ("inactive", "success")
    assert '"event": "stopped"' in lab.log()


def test_a_service_that_is_drained_stays_down(lab: Lab) -> None:
    lab.start()
    program = str(Path(sys.executable).with_name("linescribe"))
    lab.run(program, "drain", "--state-dir", "/var/lib/linescribe")
    lab.wait(lambda: lab.show("ActiveState") == "inactive")
    assert lab.show("NRestarts") == "0"
    assert lab.run(program, "drain", "--state-dir", "/var/lib/linescribe", check=False).returncode == NOT_RUNNING


def test_settings_that_cannot_be_used_are_not_tried_again_and_again(lab: Lab, tmp_path: Path) -> None:
    config = tmp_path / "etc" / "linescribe" / "gateway.yaml"
    config.write_text("cals: {}\n")
    assert lab.run("systemctl", "start", "linescribe", check=False).returncode != 0
    assert (lab.show("ActiveState"), lab.show("NRestarts")) == ("failed", "0")
    assert "cals: unknown key" in lab.log()
