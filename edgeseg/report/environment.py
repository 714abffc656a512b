"""Own what a report says of the machine and its software. Read files and versions only: run and change nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from edgeseg import __version__
from edgeseg.report.record import Environment

__all__ = ["read_environment"]

#: distributions whose version can move a latency
PACKAGES = (
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
    "pycuda",
    "cuda-bindings",
)
CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"


def read_environment(root: Path = Path("/")) -> Environment:
    """Describe this machine as it is now, before any load of our own.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    cpuinfo = _cpuinfo(root)
    return Environment(
        machine=_text(root, "proc/device-tree/model") or platform.machine() or "unknown",
        cpu=cpuinfo.get("model name") or platform.processor() or platform.machine() or "unknown",
        cores=os.cpu_count() or 1,
        usable_cores=_usable_cores(),
        memory_bytes=_memory_bytes(root),
        system=_system(),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=_packages(),
        governor=_text(root, f"{CPUFREQ}/scaling_governor"),
        clock_mhz=_clock_mhz(root, cpuinfo),
        load_1min=_load_1min(),
    )


def _text(root: Path, name: str) -> str | None:
    """A file of the kernel's as text; the device tree ends its strings with a NUL. None where there is no such file."""
    try:
        return (root / name).read_text(errors="replace").strip("\0 \n") or None
    except OSError:
        return None


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first core's entries."""
    first = (_text(root, "proc/cpuinfo") or "").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _clock_mhz(root: Path, cpuinfo: dict[str, str]) -> float | None:
    khz = _text(root, f"{CPUFREQ}/scaling_cur_freq")
    if khz is not None and khz.isdecimal():
        return int(khz) / 1e3
    mhz = cpuinfo.get("cpu MHz")
    return float(mhz) if mhz is not None else None


def _memory_bytes(root: Path) -> int | None:
    for line in (_text(root, "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _usable_cores() -> int:
    """Fewer than the machine has where a container or taskset says so; macOS and Windows cannot tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load_1min() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _packages() -> dict[str, str]:
    found = {"edgeseg": __version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
