"""Own how the machine does at this moment, for who looks on. Keep no history but for the CPU's share and energy."""

from __future__ import annotations

import math
import os
from pathlib import Path

from edgeseg.machine.board import gpu_percent
from edgeseg.machine.gauges import cpu_ticks, temperature_places
from edgeseg.machine.kernel_files import LostError, kernel_text, sensor_value
from edgeseg.machine.nvml import NVML_LIBRARY, Gpu, Nvml
from edgeseg.machine.sensors import Sensor, power_sensors
from edgeseg.memory import host_memory

__all__ = ["DeviceState"]

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class DeviceState:
    """Reads what the machine says of itself; what it does not say is left out.

    Args:
        root: where /proc and /sys are.
        nvml: name of NVIDIA's library.
    """

    def __init__(self, *, root: Path = Path("/"), nvml: str = NVML_LIBRARY) -> None:
        self._root = root
        self._busy_before = self._total_before = 0
        self._nvml = Nvml(nvml)
        self._temperature_places = temperature_places(root)
        self._rails = power_sensors(root, self._nvml.answering()[0])[0]

    def read(self) -> dict[str, object]:
        """CPU share since the last call, memory, load, temperatures, watts, GPUs; names carry their units."""
        found: dict[str, object] = {}
        for part in (self._cpu(), self._memory(), self._process(), self._load()):
            found.update(part)
        for name, values in (("temperatures_c", self._temperatures()), ("power_w", self._power())):
            if values:
                found[name] = values
        gpus = [_gpu_state(gpu) for gpu in self._nvml.gpus] or [{}]
        load = gpu_percent(self._root)
        if load is not None:
            gpus[0].setdefault("gpu_percent", load)
        if any(gpus):
            found["gpus"] = gpus
        return found

    def close(self) -> None:
        """Let NVML go; safe to call twice."""
        self._rails = []  # a GPU's would ask NVML
        self._nvml.close()

    def _cpu(self) -> dict[str, object]:
        ticks = cpu_ticks(self._root)
        if ticks is None:
            return {}
        total, busy = ticks
        passed, worked = total - self._total_before, busy - self._busy_before
        self._total_before, self._busy_before = total, busy
        return {"cpu_percent": 100 * worked / passed} if passed > 0 else {}

    def _memory(self) -> dict[str, object]:
        memory = host_memory(meminfo=self._root / "proc/meminfo")
        if memory is None:
            return {}
        used_bytes = memory.total_bytes - memory.free_bytes
        return {"memory_used_bytes": used_bytes, "memory_total_bytes": memory.total_bytes}

    def _process(self) -> dict[str, object]:
        words = kernel_text(self._root / "proc/self/statm").split()
        return {"process_bytes": int(words[1]) * PAGE_BYTES} if len(words) > 1 else {}

    def _load(self) -> dict[str, object]:
        words = kernel_text(self._root / "proc/loadavg").split()
        return {"load_1min": float(words[0])} if words else {}

    def _temperatures(self) -> dict[str, float]:
        values = {name: _or_nan(path) / 1e3 for name, (path, _) in self._temperature_places.items()}
        return {name: value for name, value in values.items() if not math.isnan(value)}

    def _power(self) -> dict[str, float]:
        watts = {one.columns[0].name: _watts(one) for one in self._rails}
        return {name: round(value, 2) for name, value in watts.items() if not math.isnan(value)}


def _gpu_state(gpu: Gpu) -> dict[str, object]:
    """What a GPU tells; one that has gone says that."""
    try:
        memory, reasons = gpu.memory_bytes(), gpu.throttle_reasons()
        told = {
            "gpu_percent": gpu.share_percent(),
            "memory_used_bytes": memory[0] if memory else None,
            "memory_total_bytes": memory[1] if memory else None,
            "temperature_c": gpu.temperature_c(),
            "throttled_by": list(reasons) if reasons else None,
        }
    except LostError as error:
        return {"lost": str(error)}
    return {name: value for name, value in told.items() if value is not None}


def _watts(rail: Sensor) -> float:
    try:
        return rail.read()[1]
    except LostError:  # told of where the GPU itself is asked; a board's rail is left out
        return math.nan


def _or_nan(path: Path) -> float:
    try:
        return sensor_value(path)
    except LostError:  # a zone that was there when the view began
        return math.nan
