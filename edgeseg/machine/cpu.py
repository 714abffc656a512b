"""Own what the kernel tells of the CPU: its name, clocks and governors, and where it runs. Change nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edgeseg.machine.kernel_files import kernel_number, kernel_text
from edgeseg.machine.records import CpuClocks

__all__ = ["clock_mhz", "container", "core_folders", "cpu_clocks", "cpu_name", "governor", "hypervisor"]

CPUS = "sys/devices/system/cpu"
#: words in the paths of /proc/1/cgroup, and what made them
CGROUPS = {"kubepods": "kubernetes", "docker": "docker", "containerd": "containerd", "libpod": "podman", "lxc": "lxc"}


def core_folders(root: Path) -> list[Path]:
    """sysfs' folders of the cores, in their order."""
    found = [path for path in (root / CPUS).glob("cpu[0-9]*") if path.name[3:].isdecimal()]
    return sorted(found, key=lambda path: int(path.name[3:]))


def cpu_name(root: Path) -> str | None:
    """The first core's model, as x86 kernels tell it."""
    return _cpuinfo(root).get("model name")


def governor(root: Path) -> str | None:
    """Who sets the clocks; each with its number of cores where they differ."""
    clocks = cpu_clocks(root)
    if clocks is None or not clocks.governors:
        return None
    if len(clocks.governors) == 1:
        return next(iter(clocks.governors))
    return ", ".join(f"{name} ({count} cores)" for name, count in clocks.governors.items())


def clock_mhz(root: Path) -> float | None:
    """The first core's clock now; in a virtual machine what it is told of it."""
    mhz = _mhz(root / CPUS / "cpu0" / "cpufreq" / "scaling_cur_freq")
    told = _cpuinfo(root).get("cpu MHz")
    return float(told) if mhz is None and told else mhz


def cpu_clocks(root: Path) -> CpuClocks | None:
    """Governors and limits of all cores (kernel's Documentation/admin-guide/pm/cpufreq.rst), None without them."""
    folders = [one / "cpufreq" for one in core_folders(root) if (one / "cpufreq").is_dir()]
    if not folders:
        return None
    lows, highs = ([_mhz(one / f"scaling_{end}_freq") for one in folders] for end in ("min", "max"))
    names = Counter(name for name in (kernel_text(one / "scaling_governor") for one in folders) if name)
    return CpuClocks(
        governors=dict(names),
        min_mhz=min((one for one in lows if one is not None), default=None),
        max_mhz=max((one for one in highs if one is not None), default=None),
        boost=_boost(root),
        is_held=None not in lows and lows == highs,
    )


def hypervisor(root: Path) -> str | None:
    """Whose virtual machine this is, None where nothing says that it is one.

    The CPU's flag ``hypervisor`` (x86) or the device tree's node (Arm) says that it is; the firmware says whose.
    """
    is_flagged = "hypervisor" in _cpuinfo(root).get("flags", "").split()
    node = kernel_text(root / "proc/device-tree/hypervisor/compatible")
    kind = kernel_text(root / "sys/hypervisor/type")
    if not (is_flagged or node or kind):
        return None
    dmi = [kernel_text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    return " ".join(one for one in dmi if one) or kind or node.split("\0")[0] or "unnamed"


def container(root: Path) -> str | None:
    """What kind of container this process is in, None where nothing says so."""
    named = kernel_text(root / "run/systemd/container")
    if named:
        return named
    for mark, name in ((".dockerenv", "docker"), ("run/.containerenv", "podman")):
        if (root / mark).exists():
            return name
    groups = kernel_text(root / "proc/1/cgroup")
    return next((name for word, name in CGROUPS.items() if word in groups), None)


def _boost(root: Path) -> bool | None:
    """Intel's driver tells it by its contrary."""
    no_turbo = kernel_number(root / CPUS / "intel_pstate" / "no_turbo")
    if no_turbo is not None:
        return no_turbo == 0
    boost = kernel_number(root / CPUS / "cpufreq" / "boost")
    return None if boost is None else boost == 1


def _mhz(path: Path) -> float | None:
    khz = kernel_number(path)
    return None if khz is None else khz / 1e3


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first core's entries."""
    first = kernel_text(root / "proc/cpuinfo").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
