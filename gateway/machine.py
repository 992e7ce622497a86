"""What the machine has, and what of it the gateway takes: processors, memory, files, GPUs."""

from __future__ import annotations

import asyncio
import importlib
import platform
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = structlog.get_logger()


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """What one of our processes takes."""

    pid: int
    job: str
    """`gateway`, or `models`."""
    cpu_percent: float
    """Of one processor, since it was last looked at."""
    memory_bytes: int
    threads: int
    open_files: int


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One of NVIDIA's, as NVML tells; what it does not tell is None."""

    gpu_id: int
    name: str
    memory_used_bytes: int
    memory_total_bytes: int
    utilization_percent: int | None
    temperature_celsius: int | None


class MachineState(msgspec.Struct, frozen=True, kw_only=True):
    """How the machine is."""

    system: str
    python: str
    processors: int
    load_1m: float
    memory_total_bytes: int
    memory_available_bytes: int
    processes: tuple[ProcessState, ...]
    gpus: tuple[Gpu, ...]


class Machine:
    """Looks at it, on a thread of its own. A process's share of a processor is since the last look."""

    def __init__(self, model_pids: Callable[[], Iterable[int]]) -> None:
        self._model_pids = model_pids
        self._thread = ThreadPoolExecutor(1, "machine")
        self._processes: dict[int, psutil.Process] = {}
        self._gpus: Gpus | None = None

    async def look(self) -> MachineState:
        """Tell how it is."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._look, tuple(self._model_pids()))

    def _look(self, model_pids: Iterable[int]) -> MachineState:
        self._gpus = self._gpus or Gpus()
        jobs = {psutil.Process().pid: "gateway"} | dict.fromkeys(model_pids, "models")
        self._processes = {pid: found for pid in jobs if (found := self._processes.get(pid) or _process(pid))}
        memory = psutil.virtual_memory()
        return MachineState(
            system=platform.platform(),
            python=platform.python_version(),
            processors=psutil.cpu_count() or 1,
            load_1m=psutil.getloadavg()[0],
            memory_total_bytes=memory.total,
            memory_available_bytes=memory.available,
            processes=tuple(
                state for pid, process in self._processes.items() if (state := _state(process, jobs[pid])) is not None
            ),
            gpus=self._gpus.look(),
        )


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:  # it has ended just now
        return None


def _state(process: psutil.Process, job: str) -> ProcessState | None:
    try:
        with process.oneshot():
            return ProcessState(
                pid=process.pid,
                job=job,
                cpu_percent=process.cpu_percent(),
                memory_bytes=process.memory_info().rss,
                threads=process.num_threads(),
                open_files=process.num_fds(),
            )
    except psutil.Error:  # it has ended just now
        return None


class Gpus:
    """NVIDIA's GPUs, where there are any and `nvidia-ml-py` is installed (pip install 'linescribe[gpu]')."""

    def __init__(self) -> None:
        self._nvml: Any = None
        try:
            nvml: Any = importlib.import_module("pynvml")
        except ImportError:
            return
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            log.debug("no GPU can be seen", error=str(error))
            return
        self._nvml = nvml

    def look(self) -> tuple[Gpu, ...]:
        """Tell of each."""
        if self._nvml is None:
            return ()
        try:
            return tuple(self._gpu(index) for index in range(self._nvml.nvmlDeviceGetCount()))
        except self._nvml.NVMLError as error:
            log.warning("the GPUs cannot be looked at", error=str(error))
            return ()

    def _gpu(self, index: int) -> Gpu:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory, name = nvml.nvmlDeviceGetMemoryInfo(handle), nvml.nvmlDeviceGetName(handle)
        return Gpu(
            gpu_id=index,
            name=name.decode() if isinstance(name, bytes) else name,
            memory_used_bytes=memory.used,
            memory_total_bytes=memory.total,
            utilization_percent=self._optional(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            temperature_celsius=self._optional(
                lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
            ),
        )

    def _optional(self, ask: Any) -> int | None:
        """Ask for what not every GPU tells, such as a slice of one."""
        try:
            return int(ask())
        except self._nvml.NVMLError:
            return None
