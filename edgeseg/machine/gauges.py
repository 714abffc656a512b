"""Own the sensors beside power: clocks, temperatures, what slows the machine, who else uses it. Keep no samples."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

from edgeseg.machine.board import gpu_clock_folders
from edgeseg.machine.cpu import core_folders
from edgeseg.machine.kernel_files import kernel_number, kernel_text, sensor_value
from edgeseg.machine.nvml import THROTTLE_REASONS, Gpu
from edgeseg.machine.sensors import Column, Rule, Sensor, told

__all__ = ["cpu_ticks", "gauges", "temperature_places"]

#: trips at which the kernel slows down or ends (Documentation/driver-api/thermal/sysfs-api.rst); ``active`` is a fan
LIMITS = ("passive", "hot", "critical")
COOLEST_LIMIT_C = 45.0  # firmware fills places that it does not use with 0 or with nonsense
#: sensors of CPUs that have no thermal zone
CPU_CHIPS = ("k10temp", "zenpower")
#: types of /sys/class/thermal/cooling_device* that take speed away; Jetson's are named ``cpu-throttle-alert`` and so on
SLOWING = ("thermal-cpufreq", "thermal-devfreq", "cpufreq-", "devfreq-")
JETSON_SLOWING = "throttle-alert"
#: /sys/devices/platform/soctherm-oc-event of Orin, see "Over-current Throttling" in NVIDIA's Jetson Linux guide
OVER_CURRENT = {1: "under-voltage (OC1)", 2: "average over-current (OC2)", 3: "over-current (OC3)"}
CLOCK_RULES: tuple[Rule, ...] = ("min", "mean", "max")


def gauges(root: Path, gpus: tuple[Gpu, ...]) -> list[Sensor]:
    """All that this machine tells beside its power."""
    found: list[Sensor] = [Load(root)] if cpu_ticks(root) else []
    policies = sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
    cores = [one / "scaling_cur_freq" for one in policies]
    found += [Clock("CPU", cores, per_mhz=1e3)] if any(one.exists() for one in cores) else []
    integrated = [one / "cur_freq" for one in gpu_clock_folders(root) if (one / "cur_freq").exists()]
    found += [Clock("GPU", integrated, per_mhz=1e6)] if integrated else []
    found += [Temperature(name, path, limit_c) for name, (path, limit_c) in temperature_places(root).items()]
    found += _throttle_counters(root) + _slowing_devices(root)
    return found + [GpuGauge(gpu) for gpu in gpus]


def temperature_places(root: Path) -> dict[str, tuple[Path, float | None]]:
    """By name: the file in thousandths of a degree, and where the machine slows down or ends.

    A zone whose part sleeps is told by the kernel with an error; it may tell its temperature later.
    """
    found: dict[str, tuple[Path, float | None]] = {}
    for zone in sorted(
        (root / "sys/class/thermal").glob("thermal_zone*"), key=lambda path: (len(path.name), path.name)
    ):
        name = kernel_text(zone / "type") or zone.name
        found[name if name not in found else zone.name] = zone / "temp", _limit_c(zone)
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if kernel_text(chip / "name") in CPU_CHIPS:
            found[kernel_text(chip / "temp1_label") or "CPU"] = chip / "temp1_input", None
    return found


def cpu_ticks(root: Path) -> tuple[int, int] | None:
    """All and busy, of all cores since the start (proc_stat(5)); None where the kernel does not count.

    The first line is user nice system idle iowait irq softirq steal ...; guests are counted in user.
    """
    words = kernel_text(root / "proc/stat").partition("\n")[0].split()
    ticks = [int(word) for word in words[1:9]]
    total = sum(ticks)
    return (total, total - ticks[3] - ticks[4]) if len(ticks) > 4 and total > 0 else None


class Load(Sensor):
    """Seconds of all cores, of those that worked, and of our own process."""

    columns = (
        Column(kind="total_s", rule="last"),
        Column(kind="busy_s", rule="last"),
        Column(kind="own_s", rule="last"),
    )

    def __init__(self, root: Path) -> None:
        self._root, self._hz = root, os.sysconf("SC_CLK_TCK")

    def read(self) -> tuple[float, ...]:
        ticks = cpu_ticks(self._root)
        total, busy = ticks or (math.nan, math.nan)
        return total / self._hz, busy / self._hz, time.process_time()


class Clock(Sensor):
    """The fastest of several clocks: a core without work may rest."""

    def __init__(self, name: str, paths: list[Path], *, per_mhz: float) -> None:
        self.columns = tuple(Column(kind="mhz", rule=rule, name=name) for rule in CLOCK_RULES)
        self._paths, self._per_mhz = paths, per_mhz

    def read(self) -> tuple[float, ...]:
        values = [one for one in map(sensor_value, self._paths) if not math.isnan(one)]
        mhz = max(values) / self._per_mhz if values else math.nan
        return mhz, mhz, mhz


class Temperature(Sensor):
    """One place."""

    def __init__(self, name: str, path: Path, limit_c: float | None) -> None:
        self.columns = (Column(kind="celsius", rule="max", name=name, limit=limit_c),)
        self._path = path

    def read(self) -> tuple[float, ...]:
        return (sensor_value(self._path) / 1e3,)


class Counter(Sensor):
    """How often something slowed the machine down since its start: the sum of several files."""

    def __init__(self, reason: str, paths: list[Path]) -> None:
        self.columns = (Column(kind="events", rule="last", name=reason),)
        self._paths = paths

    def read(self) -> tuple[float, ...]:
        return (sum(map(sensor_value, self._paths)),)


class Slowing(Sensor):
    """Whether one of several cooling devices takes speed away at this moment."""

    def __init__(self, name: str, paths: list[Path]) -> None:
        self.columns = (Column(kind="share", rule="mean", name=name),)
        self._paths = paths

    def read(self) -> tuple[float, ...]:
        return (float(any(sensor_value(one) > 0 for one in self._paths)),)


class GpuGauge(Sensor):
    """Clock, temperature and reasons of one GPU through NVML."""

    def __init__(self, gpu: Gpu) -> None:
        name = f"GPU {gpu.index}"
        self._gpu = gpu
        self.columns = (
            *(Column(kind="mhz", rule=rule, name=f"{name} SM") for rule in CLOCK_RULES),
            Column(kind="celsius", rule="max", name=name, limit=gpu.slowdown_c()),
            *(Column(kind="share", rule="mean", name=f"{name} {one}") for one in THROTTLE_REASONS.values()),
        )

    def read(self) -> tuple[float, ...]:
        mhz, bits = told(self._gpu.sm_mhz()), self._gpu.event_reasons()
        shares = (math.nan if bits is None else float(bool(bits & bit)) for bit in THROTTLE_REASONS)
        return mhz, mhz, mhz, told(self._gpu.temperature_c()), *shares


def _limit_c(zone: Path) -> float | None:
    """The lowest trip that costs speed."""
    kinds = sorted(zone.glob("trip_point_*_type"))
    trips = [zone / one.name.replace("_type", "_temp") for one in kinds if kernel_text(one) in LIMITS]
    celsius = [value / 1e3 for value in map(kernel_number, trips) if value is not None]
    return min((one for one in celsius if one >= COOLEST_LIMIT_C), default=None)


def _throttle_counters(root: Path) -> list[Sensor]:
    """x86: sys/devices/system/cpu/cpu*/thermal_throttle; Orin: soctherm-oc-event/hwmon/hwmon*/oc?_event_cnt."""
    cores = core_folders(root)
    packages = {kernel_text(one / "topology/physical_package_id"): one for one in reversed(cores)}
    groups = {
        "CPU cores too hot": [one / "thermal_throttle/core_throttle_count" for one in cores],
        "CPU package too hot": [one / "thermal_throttle/package_throttle_count" for one in packages.values()],
    }
    events = root / "sys/devices/platform/soctherm-oc-event/hwmon"
    groups |= {reason: sorted(events.glob(f"hwmon*/oc{code}_event_cnt")) for code, reason in OVER_CURRENT.items()}
    there = {reason: [one for one in paths if one.exists()] for reason, paths in groups.items()}
    return [Counter(reason, paths) for reason, paths in there.items() if paths]


def _slowing_devices(root: Path) -> list[Sensor]:
    by_kind: dict[str, list[Path]] = {}
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        kind = kernel_text(device / "type")
        if (kind.startswith(SLOWING) or JETSON_SLOWING in kind) and (device / "cur_state").exists():
            by_kind.setdefault(kind, []).append(device / "cur_state")
    return [Slowing(f"cooling by {kind}", paths) for kind, paths in by_kind.items()]
