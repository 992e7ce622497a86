"""The files of systemd that run the gateway, with the paths of this installation (`systemd/` in the source)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = "/opt/linescribe/bin/linescribe"
"""What stands in the files that are shipped."""
CONFIG = "/etc/linescribe/gateway.yaml"

RESTART_STEPS_SINCE = 254
"""The version of systemd from which on restarts can wait longer each time (systemd.service(5), RestartSteps)."""

UNITS = Path("etc/systemd/system")


def source() -> Path:
    """Find the files that are shipped: in the package, or beside it in a checkout."""
    packaged = Path(__file__).parent / "units"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "systemd"


def files(
    *,
    program: str,
    config: str,
    instance: str | None,
    gpu: bool,
    version: int,
    credentials: Sequence[str] = (),
) -> Iterator[tuple[Path, str]]:
    """Give each file by its path below /, for systemd of a version.

    `instance` asks for the template, of which any number may run; its settings are then /etc/linescribe/INSTANCE.yaml.
    `credentials` are secrets and where they lie, each NAME:PATH.
    """
    at = "@" if instance else ""
    for name in (f"linescribe{at}.service", f"linescribe-models{at}.service"):
        yield UNITS / name, _read(name).replace(PROGRAM, program).replace(CONFIG, config)
    drop_ins = {"gpu.conf": gpu, "backoff.conf": version >= RESTART_STEPS_SINCE}
    for name, wanted in drop_ins.items():
        if wanted:
            yield UNITS / f"linescribe{at}.service.d" / name, _read(name)
    if credentials:
        one = f"@{instance}" if instance else ""  # not every instance has the same
        lines = "\n".join(f"LoadCredential={each}" for each in credentials)
        yield UNITS / f"linescribe{one}.service.d" / "credentials.conf", f"[Service]\n{lines}\n"


def _read(name: str) -> str:
    return (source() / name).read_text()
