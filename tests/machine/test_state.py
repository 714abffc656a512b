from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from machine_lab import MadeUpGpus, jetson, put

from edgeseg.machine.state import DeviceState


def machine(root: Path, *, ticks: str) -> Path:
    """A machine's files, as the kernel writes them."""
    zones = root / "sys" / "class" / "thermal"
    for name, kind, temperature in (("thermal_zone0", "cpu-thermal", "48500"), ("thermal_zone1", "off", "")):
        (zones / name).mkdir(parents=True, exist_ok=True)
        (zones / name / "type").write_text(f"{kind}\n")
        (zones / name / "temp").write_text(temperature)
    (root / "proc" / "self").mkdir(parents=True, exist_ok=True)
    (root / "proc" / "stat").write_text(f"cpu  {ticks}\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    (root / "proc" / "meminfo").write_text("MemTotal:  4000 kB\nMemFree:  1 kB\nMemAvailable:  1000 kB\n")
    (root / "proc" / "loadavg").write_text("1.25 0.5 0.4 2/300 999\n")
    return root


def test_the_kernels_files_are_read_as_their_manual_says(tmp_path: Path) -> None:
    device = DeviceState(root=machine(tmp_path, ticks="10 0 10 70 10 0 0 0 0 0"), nvml="none.so")
    assert device.read()["cpu_percent"] == pytest.approx(20)
    machine(tmp_path, ticks="40 0 40 90 30 0 0 0 99 99")  # 60 of 100 ticks were work; guests are counted in user
    assert device.read() == {
        "cpu_percent": pytest.approx(60),
        "memory_used_bytes": 3000 * 1024,
        "memory_total_bytes": 4000 * 1024,
        "load_1min": 1.25,
        "temperatures_c": {"cpu-thermal": 48.5},
    }


def test_a_machine_that_says_nothing_is_an_empty_state(tmp_path: Path) -> None:
    assert DeviceState(root=tmp_path, nvml="none.so").read() == {}


@pytest.mark.parametrize("place", ["devices/gpu.0", "devices/platform/gpu.0", "class/devfreq/17000000.gpu/device"])
def test_the_gpu_load_of_a_jetson_is_read_wherever_its_kernel_tells_it(tmp_path: Path, place: str) -> None:
    load = tmp_path / "sys" / place / "load"
    load.parent.mkdir(parents=True)
    load.write_text("375\n")
    assert DeviceState(root=tmp_path, nvml="none.so").read() == {"gpus": [{"gpu_percent": 37.5}]}
    load.write_text("")  # a GPU that is suspended
    assert DeviceState(root=tmp_path, nvml="none.so").read() == {}


def test_gpus_tell_what_they_can_through_nvml(tmp_path: Path) -> None:
    gpus = MadeUpGpus(tmp_path, gpus=2)
    device = DeviceState(root=tmp_path, nvml=gpus.library)
    rest = {"memory_used_bytes": 2 << 30, "memory_total_bytes": 8 << 30, "temperature_c": 51}
    assert states(device) == [{"gpu_percent": 37, **rest}, rest]
    put(tmp_path, "sys/devices/gpu.0/load", 990)
    assert states(device)[0]["gpu_percent"] == 37, "what NVML tells goes first"
    device.close()
    device.close()
    (tmp_path / "sys/devices/gpu.0/load").unlink()
    assert device.read() == {}
    assert ctypes.CDLL(gpus.library).lab_open() == 0


def states(device: DeviceState) -> list[dict[str, object]]:
    """Of the GPUs."""
    found = device.read()["gpus"]
    assert isinstance(found, list)
    return found


def test_what_slows_a_gpu_is_told_while_it_does(tmp_path: Path) -> None:
    gpus = MadeUpGpus(tmp_path)
    device = DeviceState(root=tmp_path, nvml=gpus.library)
    gpus.say(reasons=0x8)
    assert states(device)[0]["throttled_by"] == ["slowdown (hardware)"]
    gpus.say()
    assert "throttled_by" not in states(device)[0]


def test_a_gpu_that_is_lost_says_so_and_the_rest_goes_on(tmp_path: Path) -> None:
    gpus = MadeUpGpus(tmp_path)
    device = DeviceState(root=jetson(tmp_path), nvml=gpus.library)
    gpus.say(lost=True)
    assert "GPU is lost" in str(states(device)[0]["lost"])
    assert device.read()["temperatures_c"] == {"cpu-thermal": 48.5}


def test_watts_of_every_rail_are_told(tmp_path: Path) -> None:
    device = DeviceState(root=jetson(tmp_path), nvml="none.so")
    assert device.read()["power_w"] == {"VDD_IN": 12.0, "VDD_CPU_GPU_CV": 4.0, "VDD_SOC": 2.0}
    (tmp_path / "sys/class/hwmon/hwmon1/curr1_input").unlink()
    assert device.read()["power_w"] == {"VDD_CPU_GPU_CV": 4.0, "VDD_SOC": 2.0}
