"""What the machine has; NVML, which most machines have not, is played by a module of its name."""

from __future__ import annotations

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.machine import Gpu, Gpus, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = SimpleNamespace(used=2_000, total=80_000)


class Nvml(ModuleType):
    """Two GPUs, of which the second is a slice, and tells neither how busy nor how hot it is."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        """What NVML raises."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__("pynvml")
        self.broken = broken

    def nvmlInit(self) -> None:  # noqa: N802
        if self.broken:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetMemoryInfo(self, _handle: int) -> Any:  # noqa: N802
        return LARGE

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:  # noqa: N802
        return "H100" if handle == 0 else b"slice"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        if handle:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=37)

    def nvmlDeviceGetTemperature(self, handle: int, _sensor: int) -> int:  # noqa: N802
        if handle:
            raise self.NVMLError("Not Supported")
        return 61


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nvml]:
    module = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_each_gpu_is_told_as_far_as_it_tells(nvml: Nvml) -> None:
    assert nvml.nvmlDeviceGetCount() == 2
    memory: dict[str, Any] = {"memory_used_bytes": 2_000, "memory_total_bytes": 80_000}
    assert Gpus().look() == (
        Gpu(gpu_id=0, name="H100", utilization_percent=37, temperature_celsius=61, **memory),
        Gpu(gpu_id=1, name="slice", utilization_percent=None, temperature_celsius=None, **memory),
    )


def test_without_a_driver_there_is_none(nvml: Nvml) -> None:
    nvml.broken = True
    assert Gpus().look() == ()


def test_without_the_package_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Gpus().look() == ()


async def test_processes_that_are_there_are_told() -> None:
    state = await Machine(lambda: [os.getppid(), 2**22 + 1]).look()  # no process has so high a number
    assert {(process.pid, process.job) for process in state.processes} == {
        (os.getpid(), "gateway"),
        (os.getppid(), "models"),
    }
    assert 0 < state.memory_available_bytes <= state.memory_total_bytes
