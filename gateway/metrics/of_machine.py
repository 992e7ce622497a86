"""Metrics of the machine, of the gateway's own processes and of its version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import __version__
from gateway.metrics.families import gauges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from gateway.machine import MachineState


def of_machine(machine: MachineState) -> Iterator[Metric]:
    """Tell of processes and GPUs; the gateway's own process is in Prometheus' usual `process_*`, too."""
    yield gauges(
        "linescribe_info", "1; its labels tell versions.", "version python", {(__version__, machine.python): 1.0}
    )
    gpus = machine.gpus
    used = {gpu.gpu_id: gpu.memory_used_bytes for gpu in gpus}
    yield gauges("stt_gpu_memory_used_bytes", "Memory of a GPU that is used, by whomever.", "gpu_id", used)
    total = {gpu.gpu_id: gpu.memory_total_bytes for gpu in gpus}
    yield gauges("linescribe_gpu_memory_bytes", "Memory that a GPU has.", "gpu_id", total)
    busy = {gpu.gpu_id: gpu.utilization_percent / 100 for gpu in gpus if gpu.utilization_percent is not None}
    yield gauges("linescribe_gpu_utilization_ratio", "How busy a GPU is.", "gpu_id", busy)
    memory: dict[str, int] = {}
    for process in machine.processes:
        memory[process.job] = memory.get(process.job, 0) + process.memory_bytes
    yield gauges("linescribe_process_memory_bytes", "Main memory of our processes.", "process", memory)
