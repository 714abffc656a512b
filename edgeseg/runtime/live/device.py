"""Own how the machine does: /proc, /sys, and NVML where a driver brings it. Keep no history but for the CPU's share."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

__all__ = ["DeviceState"]

NVML_LIBRARY = "libnvidia-ml.so.1"
NVML_TEMPERATURE_GPU = 0  # nvml.h: nvmlTemperatureSensors_t
#: where kernels of Jetson boards tell the GPU's load in tenths of a percent; NVML does not tell it there
GPU_LOADS = ("devices/gpu.0/load", "devices/platform/gpu.0/load", "class/devfreq/*gpu*/device/load")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class DeviceState:
    """Reads what the machine says of itself; what it does not say is left out.

    Args:
        root: where /proc and /sys are.
        nvml: name of NVIDIA's library.
    """

    def __init__(self, *, root: Path = Path("/"), nvml: str = NVML_LIBRARY) -> None:
        self._proc, self._sys = root / "proc", root / "sys"
        self._busy_before = self._total_before = 0
        self._gpus = _Gpus(nvml)

    def read(self) -> dict[str, object]:
        """CPU share since the last call, memory, load, temperatures, GPUs; names carry their units."""
        found: dict[str, object] = {}
        for part in (self._cpu(), self._memory(), self._process(), self._load()):
            found.update(part)
        temperatures = self._temperatures()
        if temperatures:
            found["temperatures_c"] = temperatures
        gpus = self._gpus.read() or [{}]
        gpus[0] = {**self._gpu_load(), **gpus[0]}
        if any(gpus):
            found["gpus"] = gpus
        return found

    def close(self) -> None:
        """Let NVML go; safe to call twice."""
        self._gpus.close()

    def _cpu(self) -> dict[str, object]:
        """proc_stat(5): the first line is user nice system idle iowait irq softirq steal ..., in ticks."""
        words = _text(self._proc / "stat").splitlines()[:1]
        ticks = [int(word) for word in words[0].split()[1:9]] if words else []
        if len(ticks) < 5:
            return {}
        total, busy = sum(ticks), sum(ticks) - ticks[3] - ticks[4]
        passed, worked = total - self._total_before, busy - self._busy_before
        self._total_before, self._busy_before = total, busy
        return {"cpu_percent": 100 * worked / passed} if passed > 0 else {}

    def _memory(self) -> dict[str, object]:
        lines = dict(line.split(":", 1) for line in _text(self._proc / "meminfo").splitlines() if ":" in line)
        if not {"MemTotal", "MemAvailable"} <= lines.keys():
            return {}
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        return {"memory_used_bytes": total - free, "memory_total_bytes": total}

    def _process(self) -> dict[str, object]:
        words = _text(self._proc / "self" / "statm").split()
        return {"process_bytes": int(words[1]) * PAGE_BYTES} if len(words) > 1 else {}

    def _load(self) -> dict[str, object]:
        words = _text(self._proc / "loadavg").split()
        return {"load_1min": float(words[0])} if words else {}

    def _gpu_load(self) -> dict[str, object]:
        paths = (path for pattern in GPU_LOADS for path in sorted(self._sys.glob(pattern)))
        words = (_text(path).strip() for path in paths)
        return next(({"gpu_percent": int(word) / 10} for word in words if word.isdigit()), {})

    def _temperatures(self) -> dict[str, float]:
        found = {}
        for zone in sorted((self._sys / "class" / "thermal").glob("thermal_zone*")):
            name, value = _text(zone / "type").strip(), _text(zone / "temp").strip()
            if value.lstrip("-").isdigit():
                found[name or zone.name] = int(value) / 1000
        return found


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Gpus:
    """NVML's view of the GPUs, none without its library. A call that a GPU does not answer leaves its figure out."""

    def __init__(self, library: str) -> None:
        self._handles: list[ctypes.c_void_p] = []
        self._nvml: ctypes.CDLL | None = None
        try:
            nvml = ctypes.CDLL(library)
        except OSError:  # no driver of NVIDIA's
            return
        if nvml.nvmlInit_v2() == 0:
            self._nvml = nvml
            self._handles = self._find(nvml)

    def read(self) -> list[dict[str, object]]:
        return [] if self._nvml is None else [self._of(self._nvml, handle) for handle in self._handles]

    def close(self) -> None:
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            nvml.nvmlShutdown()

    @staticmethod
    def _find(nvml: ctypes.CDLL) -> list[ctypes.c_void_p]:
        count, handles = ctypes.c_uint(), []
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0:
            for index in range(count.value):
                handle = ctypes.c_void_p()
                if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) == 0:
                    handles.append(handle)
        return handles

    @staticmethod
    def _of(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> dict[str, object]:
        found: dict[str, object] = {}
        share, memory, celsius = _Utilization(), _Memory(), ctypes.c_uint()
        if nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(share)) == 0:
            found["gpu_percent"] = share.gpu
        if nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0:
            found.update(memory_used_bytes=memory.used, memory_total_bytes=memory.total)
        if nvml.nvmlDeviceGetTemperature(handle, NVML_TEMPERATURE_GPU, ctypes.byref(celsius)) == 0:
            found["temperature_c"] = celsius.value
        return found


def _text(path: Path) -> str:
    """What a file of the kernel says; nothing where it is absent or, as some thermal zones do, refuses."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
