"""Python, the packages, and what the processor can do."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from gateway.doctor.findings import error, good, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.doctor.findings import Finding

OLDEST = (3, 11)
CPUINFO = Path("/proc/cpuinfo")

WIDE = {"avx2", "avx512f", "asimd"}
"""What makes int8 quick: on x86-64, and on 64-bit Arm (asimd)."""


def python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Look at the interpreter."""
    told = ".".join(map(str, version))
    if version < OLDEST:
        return error("python", f"Python {told} is too old", "install Python 3.11 or later, and Linescribe with it")
    return good("python", f"Python {told}")


def packages(requires: Iterable[str] | None = None) -> Iterator[Finding]:
    """Look whether all packages are there, in versions that fit."""
    try:
        wanted = (metadata.requires("linescribe") or []) if requires is None else requires
    except metadata.PackageNotFoundError:
        yield error("packages", "Linescribe runs from its source, and is not installed", "pip install .")
        return
    count = 0
    for requirement in map(Requirement, wanted):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        problem = _problem(requirement)
        if problem:
            yield error("packages", problem, f"pip install --upgrade '{requirement.name}{requirement.specifier}'")
    yield good("packages", f"{count} packages looked at")


def processor(cpuinfo: Path = CPUINFO) -> Finding:
    """Look at what the processor can do."""
    try:
        told = cpuinfo.read_text()
    except OSError:
        return warning("processor", "what it can do is not known", "run the gateway on Linux")
    flags = {flag for line in re.findall(r"^(?:flags|Features)\s*:(.*)$", told, re.MULTILINE) for flag in line.split()}
    wide = sorted(WIDE & flags)
    if not wide:
        return warning(
            "processor",
            "it has neither AVX2 nor Arm's NEON: models take several times as long",
            "use a newer machine, or let the hypervisor pass the host's processor on (such as cpu: host)",
        )
    return good("processor", f"{', '.join(wide)}")


def _problem(requirement: Requirement) -> str | None:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} {version} does not fit {requirement.specifier}"
    return None
