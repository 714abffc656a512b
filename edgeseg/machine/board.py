"""Own what a Jetson tells of itself: its name, its releases, power mode and GPU clock. Call no program of its."""

from __future__ import annotations

import re
from pathlib import Path

from edgeseg.machine.cpu import cpu_clocks
from edgeseg.machine.kernel_files import kernel_number, kernel_text
from edgeseg.machine.records import BoardFacts

__all__ = ["board_facts", "board_name", "gpu_clock_folders", "gpu_percent"]

#: where kernels of Jetson boards tell the GPU's load in tenths of a percent; NVML does not tell it there
GPU_LOADS = ("devices/gpu.0/load", "devices/platform/gpu.0/load", "class/devfreq/*gpu*/device/load")
#: /sys/class/devfreq: 57000000.gpu (Nano), 17000000.gv11b (Xavier), 17000000.ga10b or .gpu (Orin), gpu-gpc-0 (Thor)
GPU_NAMES = ("gpu", "gm20b", "gp10b", "gv11b", "ga10b")
#: ``# R36 (release), REVISION: 4.3, GCID: ..., BOARD: generic, EABI: aarch64, DATE: ...``
RELEASE = re.compile(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")
#: ``< POWER_MODEL ID=0 NAME=MAXN >`` in /etc/nvpmodel.conf, and which one a board starts with
MODE = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>")
DEFAULT_MODE = re.compile(r"<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>")
#: /var/lib/nvpmodel/status, as nvpmodel leaves it: ``pmode:0002``, in newer releases followed by ``fmode:quiet``
CURRENT_MODE = re.compile(r"pmode:(\d+)")


def board_name(root: Path) -> str | None:
    """As the device tree has it: ``NVIDIA Jetson Orin Nano Engineering Reference Developer Kit``."""
    return kernel_text(root / "proc/device-tree/model") or None


def board_facts(root: Path) -> BoardFacts | None:
    """What a Jetson tells; None where this is none. A container sees of it what is mounted into it."""
    l4t, folders = _l4t(root), gpu_clock_folders(root)
    if l4t is None and "jetson" not in (board_name(root) or "").lower():
        return None
    lows, highs = ([_mhz(one / f"{end}_freq") for one in folders] for end in ("min", "max"))
    return BoardFacts(
        l4t=l4t,
        jetpack=_package_version(root, "nvidia-jetpack"),
        power_mode=_power_mode(root),
        gpu_min_mhz=lows[0] if lows else None,
        gpu_max_mhz=highs[0] if highs else None,
        has_held_clocks=_has_held_clocks(root, lows, highs),
    )


def gpu_clock_folders(root: Path) -> list[Path]:
    """Where the kernel tells the clock of an integrated GPU: ``cur_freq``, ``min_freq``, ``max_freq`` in Hz."""
    folders = sorted((root / "sys/class/devfreq").glob("*"))
    return [one for one in folders if any(name in one.name for name in GPU_NAMES)]


def gpu_percent(root: Path) -> float | None:
    """The integrated GPU's load."""
    paths = (path for pattern in GPU_LOADS for path in sorted((root / "sys").glob(pattern)))
    return next((value / 10 for value in map(kernel_number, paths) if value is not None), None)


def _has_held_clocks(root: Path, lows: list[float | None], highs: list[float | None]) -> bool | None:
    """``jetson_clocks`` sets every lowest clock to the highest; it leaves no other trace that can be read."""
    cpu = cpu_clocks(root)
    if cpu is None or not highs or None in highs:
        return None
    return cpu.is_held and lows == highs


def _l4t(root: Path) -> str | None:
    found = RELEASE.search(kernel_text(root / "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else None


def _package_version(root: Path, name: str) -> str | None:
    """Out of dpkg's own list: paragraphs of ``Key: value``, see deb822(5)."""
    for paragraph in kernel_text(root / "var/lib/dpkg/status").split("\n\n"):
        if paragraph.startswith(f"Package: {name}\n") and "\nStatus: install ok installed" in paragraph:
            found = re.search(r"^Version: (\S+)$", paragraph, re.MULTILINE)
            return found[1] if found else None
    return None


def _power_mode(root: Path) -> str | None:
    """``2 (15W)``; the number alone where /etc/nvpmodel.conf does not name it."""
    modes = kernel_text(root / "etc/nvpmodel.conf")
    found = CURRENT_MODE.search(kernel_text(root / "var/lib/nvpmodel/status")) or DEFAULT_MODE.search(modes)
    if found is None:
        return None
    number = int(found[1])
    name = next((name for one, name in MODE.findall(modes) if int(one) == number), None)
    return f"{number} ({name})" if name else str(number)


def _mhz(path: Path) -> float | None:
    hertz = kernel_number(path)
    return None if hertz is None else hertz / 1e6
