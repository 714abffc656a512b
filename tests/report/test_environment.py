from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

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


def test_the_commit_is_that_of_the_folder_with_its_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_environment().commit is None
    git("init", "-q")
    put(tmp_path, "file", "one")
    git("add", "file")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    assert read_environment().commit == commit
    put(tmp_path, "file", "two")
    assert read_environment().commit == f"{commit}-dirty"
    monkeypatch.setenv("PATH", "")
    assert read_environment().commit is None
