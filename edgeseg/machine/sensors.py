"""Own the base of what is read again and again, and power. Keep no samples."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeseg.machine.kernel_files import kernel_number, kernel_text, sensor_value
from edgeseg.machine.nvml import Gpu

__all__ = ["Column", "Kind", "Rule", "Sensor", "power_sensors", "told"]

#: how two samples become one where the table is full
Rule = Literal["last", "min", "mean", "max"]
Kind = Literal["joules", "watts", "mhz", "celsius", "events", "share", "total_s", "busy_s", "own_s"]
Read = Callable[[], float]
#: rails through which everything goes that a board takes; where a board has none of them, its rails add up
#: (VDD_IN: Orin NX, Orin Nano, Xavier NX, TX2. POM_5V_IN: Nano. VIN: Thor.)
WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VIN")
UNREADABLE = (
    "{path} can be read by root only, so the CPU's power is not known: run as root, or `sudo chmod a+r {path}`, which "
    "lasts until the next start (it lets every user spy on others' work, CVE-2020-8694)"
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One figure of a sensor, in the unit that its kind says."""

    kind: Kind
    rule: Rule
    name: str = ""
    limit: float | None = None
    is_total: bool = False


class Sensor(ABC):
    """Something that is read again and again."""

    columns: tuple[Column, ...]

    @abstractmethod
    def read(self) -> tuple[float, ...]:
        """One value a column, NaN for what is not told just now.

        Raises:
            LostError: the device has gone.
        """


class Power(Sensor):
    """Watts of one rail, and joules since the first reading: the area under the straight lines between readings."""

    def __init__(self, name: str, watts: Read, *, clock: Read, is_total: bool) -> None:
        self.columns = _power_columns(name, is_total=is_total)
        self._watts, self._clock, self._joules, self._before = watts, clock, 0.0, (math.nan, math.nan)

    def read(self) -> tuple[float, ...]:
        now_s, watts, (before_s, before_w) = self._clock(), self._watts(), self._before
        if math.isnan(watts):
            return math.nan, math.nan
        if not math.isnan(before_w):
            self._joules += (watts + before_w) / 2 * (now_s - before_s)
        self._before = now_s, watts
        return self._joules, watts


class Energy(Sensor):
    """A counter of joules that begins again at 0 when it has reached ``range_j``; watts are its rise over the time."""

    def __init__(self, name: str, counter: Read, *, clock: Read, range_j: float = 0.0, is_total: bool) -> None:
        self.columns = _power_columns(name, is_total=is_total)
        self._counter, self._clock, self._range_j = counter, clock, range_j
        self._joules, self._before = 0.0, (math.nan, math.nan)

    def read(self) -> tuple[float, ...]:
        now_s, count, (before_s, before) = self._clock(), self._counter(), self._before
        if math.isnan(count):
            return math.nan, math.nan
        rise = count - before + (self._range_j if count < before else 0.0)
        self._before = now_s, count
        if math.isnan(rise):
            return self._joules, math.nan
        self._joules += rise
        return self._joules, rise / (now_s - before_s) if now_s > before_s else math.nan


def power_sensors(
    root: Path, gpus: tuple[Gpu, ...], *, clock: Read = time.perf_counter
) -> tuple[list[Sensor], list[str]]:
    """All that tells power, and why the rest does not.

    On a Jetson the board's rails, which hold CPU and GPU; elsewhere the CPU packages with their memory, and each GPU.
    """
    board = _board_rails(root, clock)
    if board:
        return board, []
    cpu, untold = _cpu_packages(root, clock)
    return [*cpu, *(_gpu_power(gpu, clock) for gpu in gpus if gpu.power_w() is not None)], untold


def told(value: float | None) -> float:
    """NaN for None."""
    return math.nan if value is None else float(value)


def _power_columns(name: str, *, is_total: bool) -> tuple[Column, ...]:
    return (
        Column(kind="joules", rule="last", name=name, is_total=is_total),
        Column(kind="watts", rule="max", name=name, is_total=is_total),
    )


def _board_rails(root: Path, clock: Read) -> list[Sensor]:
    """INA3221 by hwmon (Documentation/hwmon/ina3221.rst): in[123]_input in mV, curr[123]_input in mA.

    ``NC`` is the label of a channel that is not connected.
    """
    labelled: dict[str, tuple[Path, int]] = {}
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if kernel_text(folder / "name") == "ina3221":
            for channel in (1, 2, 3):
                label = kernel_text(folder / f"in{channel}_label")
                if label and label != "NC" and (folder / f"curr{channel}_input").exists():
                    labelled[label] = folder, channel
    whole = next((name for name in WHOLE_BOARD if name in labelled), None)
    return [
        Power(name, _ina_watts(*place), clock=clock, is_total=whole in (None, name)) for name, place in labelled.items()
    ]


def _ina_watts(folder: Path, channel: int) -> Read:
    volts, amperes = folder / f"in{channel}_input", folder / f"curr{channel}_input"
    return lambda: sensor_value(volts) * sensor_value(amperes) * 1e-6


def _cpu_packages(root: Path, clock: Read) -> tuple[list[Sensor], list[str]]:
    """RAPL (Documentation/power/powercap/powercap.rst): zones ``intel-rapl:0`` and their parts ``intel-rapl:0:1``.

    A package holds its cores, not the memory beside it, which is the part ``dram``. ``psys`` holds them all and more,
    but not on every machine the GPU; it is told and not counted.
    """
    found: list[Sensor] = []
    untold = []
    for zone in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        name, energy = kernel_text(zone / "name"), zone / "energy_uj"
        parent = kernel_text(root / "sys/class/powercap" / zone.name.rpartition(":")[0] / "name")
        if not name or not energy.exists():
            continue
        if kernel_number(energy) is None:
            untold.append(UNREADABLE.format(path="/" + energy.relative_to(root).as_posix()))
            continue
        range_j = (kernel_number(zone / "max_energy_range_uj") or 0) * 1e-6
        is_total = name.startswith("package") or name == "dram"
        full = f"{parent} {name}" if parent else name
        found.append(Energy(full, _microjoules(energy), clock=clock, range_j=range_j, is_total=is_total))
    return found, untold[:1]


def _microjoules(path: Path) -> Read:
    return lambda: sensor_value(path) * 1e-6


def _gpu_power(gpu: Gpu, clock: Read) -> Sensor:
    """By the energy counter where the GPU has one: it sees what lies between two readings."""
    name = f"GPU {gpu.index}"
    if gpu.energy_j() is not None:
        return Energy(name, lambda: told(gpu.energy_j()), clock=clock, is_total=True)
    return Power(name, lambda: told(gpu.power_w()), clock=clock, is_total=True)
