"""Own the description of a machine at one moment. Take no time series."""

from __future__ import annotations

import contextlib
from pathlib import Path

from edgeseg.machine.board import board_facts
from edgeseg.machine.cpu import container, cpu_clocks, hypervisor
from edgeseg.machine.nvml import APPLICATION_CLOCKS, NVML_LIBRARY, Gpu, Nvml
from edgeseg.machine.records import GpuFacts, MachineFacts
from edgeseg.machine.sensors import power_sensors

__all__ = ["read_machine"]


def read_machine(root: Path = Path("/"), *, nvml: str = NVML_LIBRARY) -> MachineFacts:
    """Describe this machine as it is now; a GPU that does not answer is left out and told of.

    Args:
        root: where ``proc``, ``sys``, ``etc`` and ``var`` lie.
        nvml: name of NVIDIA's library.
    """
    library = Nvml(nvml)
    with contextlib.closing(library):
        answering, lost = library.answering()
        sensors, untold = power_sensors(root, answering)
        return MachineFacts(
            hypervisor=hypervisor(root),
            container=container(root),
            cpu=cpu_clocks(root),
            board=board_facts(root),
            gpus=tuple(_facts(gpu, library) for gpu in answering),
            rails=tuple(sensor.columns[0].name for sensor in sensors),
            untold=tuple(untold + lost),
        )


def _facts(gpu: Gpu, library: Nvml) -> GpuFacts:
    bits = gpu.event_reasons()
    return GpuFacts(
        name=gpu.name(),
        driver=library.driver,
        cuda=library.cuda,
        power_w=gpu.power_w(),
        power_limit_w=gpu.power_limit_w(),
        sm_mhz=gpu.sm_mhz(),
        sm_max_mhz=gpu.sm_max_mhz(),
        memory_mhz=gpu.memory_mhz(),
        memory_max_mhz=gpu.memory_max_mhz(),
        application_mhz=gpu.application_mhz(),
        has_asked_clocks=None if bits is None else bool(bits & APPLICATION_CLOCKS),
        temperature_c=gpu.temperature_c(),
        slowdown_c=gpu.slowdown_c(),
        throttled_by=gpu.throttle_reasons() or (),
        share_percent=gpu.share_percent(),
        is_persistent=gpu.is_persistent(),
    )
