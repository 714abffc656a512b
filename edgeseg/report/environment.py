"""Own what a report says of the machine and its software. Change nothing, and run nothing but git."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from edgeseg import __version__
from edgeseg.machine.board import board_name
from edgeseg.machine.cpu import clock_mhz, cpu_name, governor
from edgeseg.machine.describing import read_machine
from edgeseg.memory import host_memory
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
COMMIT = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
GIT_TIMEOUT_S = 10.0


def read_environment(root: Path = Path("/")) -> Environment:
    """Describe this machine as it is now, before any load of our own.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    memory = host_memory(meminfo=root / "proc/meminfo")
    return Environment(
        machine=board_name(root) or platform.machine() or "unknown",
        cpu=cpu_name(root) or platform.processor() or platform.machine() or "unknown",
        cores=os.cpu_count() or 1,
        usable_cores=_usable_cores(),
        memory_bytes=None if memory is None else memory.total_bytes,
        system=_system(),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=_packages(),
        governor=governor(root),
        clock_mhz=clock_mhz(root),
        load_1min=_load_1min(),
        hardware=read_machine(root),
        commit=_commit(),
    )


def _commit() -> str | None:
    """Of the project in whose folder the command runs; None outside of one, and without git."""
    try:
        done = subprocess.run(COMMIT, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


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
