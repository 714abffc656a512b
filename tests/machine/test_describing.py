"""What a machine tells of itself, read of trees in the layouts that the kernel and Jetson Linux have."""

from __future__ import annotations

import ctypes
import itertools
import os
import tempfile
from pathlib import Path

import pytest
from machine_lab import CORES, MadeUpGpus, cores, desktop, jetson, put

from edgeseg.machine.describing import read_machine
from edgeseg.machine.records import BoardFacts, CpuClocks, MachineFacts

NONE = "none.so"


def test_a_jetson_tells_its_releases_its_power_mode_and_its_rails(tmp_path: Path) -> None:
    facts = read_machine(jetson(tmp_path), nvml=NONE)
    assert facts.board == BoardFacts(
        l4t="36.4.3",
        jetpack="6.2+b77",
        power_mode="2 (MAXN_SUPER)",
        gpu_min_mhz=306,
        gpu_max_mhz=1020,
        has_held_clocks=False,
    )
    assert facts.rails == ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), "in7 is a sum of shunt voltages, no rail"
    assert facts.cpu == CpuClocks(governors={"schedutil": 4}, min_mhz=729, max_mhz=1728, boost=None, is_held=False)


def test_jetson_clocks_is_told_by_clocks_that_cannot_move(tmp_path: Path) -> None:
    cores(jetson(tmp_path), low_mhz=1728)
    put(tmp_path, "sys/class/devfreq/17000000.gpu/min_freq", 1_020_000_000)
    board = read_machine(tmp_path, nvml=NONE).board
    assert board is not None and board.has_held_clocks is True


def test_a_jetson_that_never_changed_its_mode_has_its_default_one(tmp_path: Path) -> None:
    jetson(tmp_path)
    (tmp_path / "var/lib/nvpmodel/status").unlink()
    board = read_machine(tmp_path, nvml=NONE).board
    assert board is not None and board.power_mode == "0 (15W)"


def test_a_container_on_a_jetson_tells_what_is_mounted_and_no_more(tmp_path: Path) -> None:
    put(tmp_path, "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    put(tmp_path, ".dockerenv", "")
    facts = read_machine(tmp_path, nvml=NONE)
    assert facts.container == "docker"
    assert facts.board == BoardFacts(
        l4t=None, jetpack=None, power_mode=None, gpu_min_mhz=None, gpu_max_mhz=None, has_held_clocks=None
    )


def test_a_pc_tells_its_boost_and_the_governor_of_every_core(tmp_path: Path) -> None:
    desktop(tmp_path)
    put(tmp_path, f"{CORES}/cpu1/cpufreq/scaling_governor", "performance")
    facts = read_machine(tmp_path, nvml=NONE)
    assert facts.cpu is not None and facts.board is None
    assert (facts.cpu.governors, facts.cpu.boost) == ({"powersave": 1, "performance": 1}, True)
    assert facts.rails == ("package-0", "package-0 core", "package-0 dram", "psys")
    (tmp_path / CORES / "intel_pstate/no_turbo").unlink()
    put(tmp_path, f"{CORES}/cpufreq/boost", 0)
    cpu = read_machine(tmp_path, nvml=NONE).cpu
    assert cpu is not None and cpu.boost is False


def test_energy_that_only_root_may_read_is_said_with_what_to_do(tmp_path: Path) -> None:
    desktop(tmp_path)
    for path in (tmp_path / "sys/class/powercap").glob("*/energy_uj"):
        path.chmod(0o400 if os.geteuid() == 0 else 0)
    tmp_path.chmod(0o755)
    facts = as_nobody(tmp_path)
    assert facts.rails == ()
    (why,) = facts.untold
    assert "sudo chmod a+r /sys/class/powercap/intel-rapl:0/energy_uj" in why


def as_nobody(root: Path) -> MachineFacts:
    """Read by a user that is not root; whoever runs the tests, if that is one."""
    if os.geteuid() != 0:
        return read_machine(root, nvml=NONE)
    temporary = Path(tempfile.gettempdir())
    for folder in itertools.takewhile(lambda one: one != temporary, root.parents):
        folder.chmod(0o755)  # pytest's own are for their owner alone
    os.seteuid(65534)
    try:
        return read_machine(root, nvml=NONE)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"proc/cpuinfo": "flags\t: fpu hypervisor"}, "unnamed"),
        (
            {
                "proc/cpuinfo": "flags\t: fpu hypervisor",
                "sys/class/dmi/id/sys_vendor": "QEMU",
                "sys/class/dmi/id/product_name": "Standard PC (Q35)",
            },
            "QEMU Standard PC (Q35)",
        ),
        ({"proc/device-tree/hypervisor/compatible": "linux,kvm\0"}, "linux,kvm"),
        ({"proc/cpuinfo": "flags\t: fpu", "sys/class/dmi/id/sys_vendor": "Dell Inc."}, None),
    ],
)
def test_a_virtual_machine_is_told_from_a_real_one(tmp_path: Path, files: dict[str, str], told: str | None) -> None:
    for name, content in files.items():
        put(tmp_path, name, content)
    assert read_machine(tmp_path, nvml=NONE).hypervisor == told


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("run/.containerenv", "", "podman"),
        ("run/systemd/container", "systemd-nspawn", "systemd-nspawn"),
        ("proc/1/cgroup", "0::/kubepods/burstable/pod1", "kubernetes"),
        ("proc/1/cgroup", "0::/init.scope", None),
    ],
)
def test_a_container_is_named(tmp_path: Path, name: str, content: str, told: str | None) -> None:
    put(tmp_path, name, content)
    assert read_machine(tmp_path, nvml=NONE).container == told


def test_a_gpu_tells_clocks_power_and_what_slows_it(tmp_path: Path) -> None:
    gpus = MadeUpGpus(tmp_path, gpus=2)
    gpus.say(mhz=1400, reasons=0x1 | 0x4 | 0x40)
    first, second = read_machine(tmp_path, nvml=gpus.library).gpus
    assert (first.name, first.driver, first.cuda) == ("NVIDIA Made-Up 4000", "570.86.10", "12.8")
    assert (first.sm_mhz, first.sm_max_mhz, first.memory_mhz) == (1400, 2100, 9001)
    assert (first.power_w, first.power_limit_w, first.slowdown_c) == (90.0, 150.0, 92)
    assert first.throttled_by == ("power cap (software)", "thermal slowdown (hardware)"), (
        "idling (0x1) is no throttling"
    )
    assert (first.has_asked_clocks, first.is_persistent) == (False, True)
    assert (second.sm_mhz, second.power_w, second.throttled_by) == (None, None, ())


def test_a_gpu_that_is_lost_is_said_and_the_library_let_go(tmp_path: Path) -> None:
    gpus = MadeUpGpus(tmp_path)
    gpus.say(lost=True)
    facts = read_machine(tmp_path, nvml=gpus.library)
    assert facts.gpus == ()
    (why,) = facts.untold
    assert "GPU 0" in why and "GPU is lost" in why and "dmesg" in why
    assert ctypes.CDLL(gpus.library).lab_open() == 0


def test_a_machine_that_says_nothing_has_no_facts(tmp_path: Path) -> None:
    assert read_machine(tmp_path, nvml=NONE) == MachineFacts()


def test_this_machine_is_read_without_an_error() -> None:
    facts = read_machine()
    assert facts.cpu is None or facts.cpu.governors
