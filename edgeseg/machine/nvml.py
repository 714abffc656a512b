"""Own NVML, the library of NVIDIA's driver that tells of its GPUs. Set nothing: no clock, no limit.

Called through ctypes: a dozen calls with a stable ABI that every driver's library has. NVIDIA's own ``nvidia-ml-py``
(58 kB, 8,000 lines, 0.26 s to import on a small machine) wraps the same calls, but the live view and ``doctor`` tell of
a GPU without any extra installed, and its library cannot be named, so that no test could stand in for the driver.
"""

from __future__ import annotations

import ctypes
from typing import Any

from edgeseg.machine.kernel_files import LostError

__all__ = ["NVML_LIBRARY", "THROTTLE_REASONS", "Gpu", "Nvml"]

NVML_LIBRARY = "libnvidia-ml.so.1"

# nvml.h: nvmlReturn_t
LOST = {15: "GPU is lost", 16: "reset required", 28: "GPU not found"}
# nvml.h: nvmlTemperatureSensors_t, nvmlTemperatureThresholds_t, nvmlClockType_t
TEMPERATURE_GPU, THRESHOLD_SLOWDOWN = 0, 1
CLOCK_SM, CLOCK_MEMORY = 1, 2
#: nvml.h: nvmlClocksEventReasons, those that slow a GPU that has work. Idling (0x1) and the clocks that somebody asked
#: for (0x2, 0x100) are left out.
THROTTLE_REASONS = {
    0x04: "power cap (software)",
    0x08: "slowdown (hardware)",
    0x10: "sync boost group",
    0x20: "thermal slowdown (software)",
    0x40: "thermal slowdown (hardware)",
    0x80: "power brake (hardware)",
}
APPLICATION_CLOCKS = 0x02
LOST_HELP = "`nvidia-smi -q` and the kernel's log (`dmesg | grep -i xid`) say why"
NAME_BYTES = 96  # nvml.h: NVML_DEVICE_NAME_V2_BUFFER_SIZE


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class Gpu:
    """One GPU. A call that it does not answer, or that its driver is too old for, gives None.

    Every method raises LostError once the GPU has gone.
    """

    def __init__(self, nvml: ctypes.CDLL, handle: ctypes.c_void_p, index: int) -> None:
        self._nvml, self._handle, self.index = nvml, handle, index

    def name(self) -> str:
        name = ctypes.create_string_buffer(NAME_BYTES)
        told = self._call("nvmlDeviceGetName", name, ctypes.c_uint(NAME_BYTES))
        return name.value.decode(errors="replace") if told and name.value else f"GPU {self.index}"

    def power_w(self) -> float | None:
        return _scaled(self._number("nvmlDeviceGetPowerUsage"), 1e-3)

    def power_limit_w(self) -> float | None:
        return _scaled(self._number("nvmlDeviceGetEnforcedPowerLimit"), 1e-3)

    def energy_j(self) -> float | None:
        """Since the driver was loaded; from Volta on."""
        return _scaled(self._number("nvmlDeviceGetTotalEnergyConsumption", kind=ctypes.c_ulonglong), 1e-3)

    def sm_mhz(self) -> int | None:
        return self._number("nvmlDeviceGetClockInfo", CLOCK_SM)

    def sm_max_mhz(self) -> int | None:
        return self._number("nvmlDeviceGetMaxClockInfo", CLOCK_SM)

    def memory_mhz(self) -> int | None:
        return self._number("nvmlDeviceGetClockInfo", CLOCK_MEMORY)

    def memory_max_mhz(self) -> int | None:
        return self._number("nvmlDeviceGetMaxClockInfo", CLOCK_MEMORY)

    def application_mhz(self) -> int | None:
        return self._number("nvmlDeviceGetApplicationsClock", CLOCK_SM)

    def temperature_c(self) -> int | None:
        return self._number("nvmlDeviceGetTemperature", TEMPERATURE_GPU)

    def slowdown_c(self) -> int | None:
        """Where the hardware begins to slow the GPU down."""
        return self._number("nvmlDeviceGetTemperatureThreshold", THRESHOLD_SLOWDOWN)

    def is_persistent(self) -> bool | None:
        state = self._number("nvmlDeviceGetPersistenceMode")
        return None if state is None else bool(state)

    def event_reasons(self) -> int | None:
        """Bits of ``THROTTLE_REASONS`` and others; by the name that drivers before 535 know too."""
        return self._number("nvmlDeviceGetCurrentClocksThrottleReasons", kind=ctypes.c_ulonglong)

    def throttle_reasons(self) -> tuple[str, ...] | None:
        """What slows the GPU down at this moment, in words."""
        bits = self.event_reasons()
        return None if bits is None else tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit)

    def share_percent(self) -> int | None:
        share = _Utilization()
        return int(share.gpu) if self._call("nvmlDeviceGetUtilizationRates", ctypes.byref(share)) else None

    def memory_bytes(self) -> tuple[int, int] | None:
        """Used and all."""
        memory = _Memory()
        told = self._call("nvmlDeviceGetMemoryInfo", ctypes.byref(memory))
        return (int(memory.used), int(memory.total)) if told else None

    def _number(self, function: str, *which: int, kind: Any = ctypes.c_uint) -> int | None:
        value = kind()
        told = self._call(function, *(ctypes.c_int(one) for one in which), ctypes.byref(value))
        return int(value.value) if told else None

    def _call(self, function: str, *arguments: Any) -> bool:
        call = getattr(self._nvml, function, None)
        status = 3 if call is None else call(self._handle, *arguments)
        if status in LOST:
            raise LostError(f"GPU {self.index} ({function}: {LOST[status]})")
        return bool(status == 0)


class Nvml:
    """The GPUs of this machine, none without NVIDIA's driver.

    Args:
        library: its name.
    """

    def __init__(self, library: str = NVML_LIBRARY) -> None:
        self._nvml: ctypes.CDLL | None = None
        self.gpus: tuple[Gpu, ...] = ()
        self.driver: str | None = None
        self.cuda: str | None = None
        try:
            nvml = ctypes.CDLL(library)
        except OSError:  # no driver of NVIDIA's
            return
        if nvml.nvmlInit_v2() == 0:
            self._nvml = nvml
            self.gpus = tuple(_gpus(nvml))
            self.driver, self.cuda = _driver_version(nvml), _cuda_version(nvml)

    def answering(self) -> tuple[tuple[Gpu, ...], list[str]]:
        """The GPUs that are still there, and of each other one what its driver says and what to do."""
        found, lost = [], []
        for gpu in self.gpus:
            try:
                gpu.temperature_c()
                found.append(gpu)
            except LostError as error:
                lost.append(f"{error}: {LOST_HELP}")
        return tuple(found), lost

    def close(self) -> None:
        """Let the library go, after which no GPU may be asked; safe to call twice."""
        nvml, self._nvml, self.gpus = self._nvml, None, ()
        if nvml is not None:
            nvml.nvmlShutdown()


def _gpus(nvml: ctypes.CDLL) -> list[Gpu]:
    count, found = ctypes.c_uint(), []
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0:
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) == 0:
                found.append(Gpu(nvml, handle, index))
    return found


def _driver_version(nvml: ctypes.CDLL) -> str | None:
    version = ctypes.create_string_buffer(80)  # nvml.h: NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE
    call = getattr(nvml, "nvmlSystemGetDriverVersion", None)
    told = call is not None and call(version, ctypes.c_uint(len(version))) == 0
    return version.value.decode(errors="replace") if told else None


def _cuda_version(nvml: ctypes.CDLL) -> str | None:
    """The newest CUDA that the driver runs, 12040 for 12.4."""
    version = ctypes.c_int()
    call = getattr(nvml, "nvmlSystemGetCudaDriverVersion", None)
    told = call is not None and call(ctypes.byref(version)) == 0
    return f"{version.value // 1000}.{version.value % 1000 // 10}" if told else None


def _scaled(value: int | None, factor: float) -> float | None:
    return None if value is None else value * factor
