from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgeseg.runtime.live.device import DeviceState

NVML = """
#include <string.h>
typedef struct { unsigned gpu, memory; } Share;
typedef struct { unsigned long long total, free, used; } Memory;
static int open_handles;
int nvmlInit_v2(void) { open_handles++; return 0; }
int nvmlShutdown(void) { open_handles--; return 0; }
int lab_open(void) { return open_handles; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    *handle = (void *)(0x700000000000 + index); return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, Share *share) {
    if (handle == (void *)0x700000000001) return 3; /* NVML_ERROR_NOT_SUPPORTED */
    share->gpu = 37; share->memory = 12; return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory) {
    memory->total = 8ULL << 30; memory->free = 6ULL << 30; memory->used = 2ULL << 30; return 0;
}
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    if (sensor != 0) return 2;
    *celsius = 51; return 0;
}
"""


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
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for a library in NVML's place")
    source, library = tmp_path / "nvml.c", tmp_path / "nvml.so"
    source.write_text(NVML)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    device = DeviceState(root=tmp_path, nvml=str(library))
    rest = {"memory_used_bytes": 2 << 30, "memory_total_bytes": 8 << 30, "temperature_c": 51}
    assert device.read()["gpus"] == [{"gpu_percent": 37, **rest}, rest]
    (tmp_path / "sys" / "devices" / "gpu.0").mkdir(parents=True)
    (tmp_path / "sys" / "devices" / "gpu.0" / "load").write_text("990")
    assert device.read()["gpus"][0]["gpu_percent"] == 37, "what NVML tells goes first"
    device.close()
    device.close()
    (tmp_path / "sys" / "devices" / "gpu.0" / "load").unlink()
    assert device.read() == {}
