from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from edgeseg import __version__
from edgeseg.report.environment import read_environment

CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"


def put(root: Path, name: str, content: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content)


def test_this_machine_is_described() -> None:
    environment = read_environment()
    assert environment.python.endswith(platform.python_version())
    assert 1 <= environment.usable_cores <= environment.cores
    assert environment.packages["edgeseg"] == __version__
    assert environment.packages["numpy"] == version("numpy")
    assert environment.packages["openvino"] == version("openvino")


def test_governor_and_clock_are_read_where_the_kernel_tells_them(tmp_path: Path) -> None:
    put(tmp_path, f"{CPUFREQ}/scaling_governor", "powersave\n")
    put(tmp_path, f"{CPUFREQ}/scaling_cur_freq", "1400000\n")
    environment = read_environment(tmp_path)
    assert (environment.governor, environment.clock_mhz) == ("powersave", 1400.0)


def test_the_cpu_is_that_of_the_first_core(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", "model name\t: One: a CPU\ncpu MHz\t\t: 2596.1\n\nmodel name\t: Other\n")
    environment = read_environment(tmp_path)
    assert (environment.cpu, environment.clock_mhz) == ("One: a CPU", 2596.1)


def test_a_board_is_named_by_its_device_tree(tmp_path: Path) -> None:
    put(tmp_path, "proc/device-tree/model", "NVIDIA Jetson Orin Nano\0")
    assert read_environment(tmp_path).machine == "NVIDIA Jetson Orin Nano"


def test_the_memory_is_given_in_bytes(tmp_path: Path) -> None:
    put(tmp_path, "proc/meminfo", "MemTotal:        2048 kB\nMemAvailable: 1 kB\n")
    assert read_environment(tmp_path).memory_bytes == 2048 * 1024


def test_what_the_machine_does_not_tell_is_none(tmp_path: Path) -> None:
    environment = read_environment(tmp_path)
    assert (environment.governor, environment.clock_mhz, environment.memory_bytes) == (None, None, None)
    assert environment.cpu and environment.machine
