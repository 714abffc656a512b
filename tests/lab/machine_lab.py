"""Own made-up machines: trees of files as kernels write them, and a library in NVML's place. Judge nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CORES = "sys/devices/system/cpu"
OVER_CURRENT = "sys/devices/platform/soctherm-oc-event/hwmon/hwmon3"

NVML = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef struct { unsigned gpu, memory; } Share;
typedef struct { unsigned long long total, free, used; } Memory;
static int open_handles;
/* what the test wrote last: lost reasons mhz watts joules celsius */
static int lost, mhz, watts, joules, celsius; static unsigned long long reasons;
static void look(void) {
    FILE *file = fopen(STATE, "r");
    if (!file || fscanf(file, "%d %llx %d %d %d %d", &lost, &reasons, &mhz, &watts, &joules, &celsius) != 6) abort();
    fclose(file);
}
static int is_old(void *handle) { return handle == (void *)0x700000000001; } /* NVML_ERROR_NOT_SUPPORTED */
#define ANSWER(value) look(); if (lost) return 15; if (is_old(handle)) return 3; *out = (value); return 0
int nvmlInit_v2(void) { open_handles++; return 0; }
int nvmlShutdown(void) { open_handles--; return 0; }
int lab_open(void) { return open_handles; }
int nvmlSystemGetDriverVersion(char *out, unsigned size) { strncpy(out, "570.86.10", size); return 0; }
int nvmlSystemGetCudaDriverVersion(int *out) { *out = 12080; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = GPUS; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    *handle = (void *)(0x700000000000 + index); return 0;
}
int nvmlDeviceGetName(void *handle, char *out, unsigned size) {
    look(); if (lost) return 15; strncpy(out, "NVIDIA Made-Up 4000", size); return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, Share *out) {
    look(); if (lost) return 15; if (is_old(handle)) return 3; out->gpu = 37; out->memory = 12; return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, Memory *out) {
    out->total = 8ULL << 30; out->free = 6ULL << 30; out->used = 2ULL << 30; return 0;
}
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *out) {
    look(); if (lost) return 15; if (sensor != 0) return 2; *out = celsius; return 0;
}
int nvmlDeviceGetTemperatureThreshold(void *handle, int which, unsigned *out) { ANSWER(which == 1 ? 92 : 0); }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *out) { ANSWER(watts * 1000); }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *out) { ANSWER(150000); }
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *out) { ANSWER(joules * 1000ULL); }
int nvmlDeviceGetClockInfo(void *handle, int kind, unsigned *out) { ANSWER(kind == 1 ? mhz : 9001); }
int nvmlDeviceGetMaxClockInfo(void *handle, int kind, unsigned *out) { ANSWER(kind == 1 ? 2100 : 9001); }
int nvmlDeviceGetPersistenceMode(void *handle, unsigned *out) { ANSWER(1); }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *out) { ANSWER(reasons); }
"""


class MadeUpGpus:
    """NVIDIA's library of a machine with GPUs that say what the test wants; the second one says little."""

    def __init__(self, folder: Path, *, gpus: int = 1) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler for a library in NVML's place")
        self._state, source, library = folder / "nvml.state", folder / "nvml.c", folder / "nvml.so"
        source.write_text(NVML)
        words = [f'-DSTATE="{self._state}"', f"-DGPUS={gpus}"]
        subprocess.run([compiler, "-shared", "-fPIC", *words, "-o", library, source], check=True)
        self.library = str(library)
        self.say()

    def say(self, *, mhz: int = 2000, watts: int = 90, joules: int = 0, celsius: int = 51, reasons: int = 0,
            lost: bool = False) -> None:  # fmt: skip
        self._state.write_text(f"{int(lost)} {reasons:x} {mhz} {watts} {joules} {celsius}")


def put(root: Path, name: str, content: object) -> None:
    """One file of the kernel's, with its line's end."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(f"{content}\n")


def cores(root: Path, *, count: int = 4, mhz: int = 1728, governor: str = "schedutil", low_mhz: int = 729) -> None:
    """cpufreq of an Arm board: policies of their cores, and each core's link to its own."""
    for core in range(count):
        for folder in (f"{CORES}/cpu{core}/cpufreq", f"{CORES}/cpufreq/policy{core}"):
            put(root, f"{folder}/scaling_governor", governor)
            put(root, f"{folder}/scaling_cur_freq", mhz * 1000)
            put(root, f"{folder}/scaling_min_freq", low_mhz * 1000)
            put(root, f"{folder}/scaling_max_freq", 1728 * 1000)


def zone(root: Path, number: int, name: str, celsius: float | None, **trips: int) -> None:
    """A thermal zone; one that sleeps has nothing in ``temp``."""
    folder = f"sys/class/thermal/thermal_zone{number}"
    put(root, f"{folder}/type", name)
    put(root, f"{folder}/temp", "" if celsius is None else int(celsius * 1000))
    for index, (kind, at_c) in enumerate(trips.items()):
        put(root, f"{folder}/trip_point_{index}_type", kind)
        put(root, f"{folder}/trip_point_{index}_temp", at_c * 1000)


def rails(root: Path, **amperes: float) -> None:
    """An INA3221 at 5 V, as hwmon shows it in Jetson Linux 36."""
    folder = "sys/class/hwmon/hwmon1"
    put(root, f"{folder}/name", "ina3221")
    put(root, f"{folder}/in7_label", "sum of shunt voltages")
    for channel, (name, value) in enumerate(amperes.items(), start=1):
        put(root, f"{folder}/in{channel}_label", name)
        put(root, f"{folder}/in{channel}_input", 5000)
        put(root, f"{folder}/curr{channel}_input", int(value * 1000))


def jetson(root: Path) -> Path:
    """A Jetson Orin Nano of Jetson Linux 36.4.3 at 2.4 A of 5 V, its clocks free."""
    put(root, "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    put(root, "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
        "DATE: Wed Jan  8 01:49:37 UTC 2025")  # fmt: skip
    packages = (("nvidia-jetpack-dev", "9.9"), ("nvidia-jetpack", "6.2+b77"))
    told = (f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n" for name, version in packages)
    put(root, "var/lib/dpkg/status", "\n".join(told))
    put(root, "etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 "
        "NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=0 >")  # fmt: skip
    put(root, "var/lib/nvpmodel/status", "pmode:0002 fmode:quiet")
    cores(root)
    rails(root, VDD_IN=2.4, VDD_CPU_GPU_CV=0.8, VDD_SOC=0.4)
    for end, hertz in (("cur", 612_000_000), ("min", 306_000_000), ("max", 1_020_000_000)):
        put(root, f"sys/class/devfreq/17000000.gpu/{end}_freq", hertz)
    zone(root, 0, "cpu-thermal", 48.5, active=44, passive=99, critical=104)
    zone(root, 1, "cv0-thermal", None, passive=99)
    for code in (1, 2, 3):
        put(root, f"{OVER_CURRENT}/oc{code}_event_cnt", 7)
        put(root, f"{OVER_CURRENT}/oc{code}_throt_en", 1)
    put(root, "sys/class/thermal/cooling_device0/type", "pwm-fan")
    put(root, "sys/class/thermal/cooling_device0/cur_state", 2)
    put(root, "sys/class/thermal/cooling_device1/type", "cpu-throttle-alert")
    put(root, "sys/class/thermal/cooling_device1/cur_state", 0)
    return root


def desktop(root: Path) -> Path:
    """An Intel machine of two cores, its package's energy counter near its end."""
    put(root, "proc/cpuinfo", "model name\t: A CPU\nflags\t\t: fpu vme\n\nmodel name\t: A CPU")
    cores(root, count=2, governor="powersave")
    put(root, f"{CORES}/intel_pstate/no_turbo", 0)
    for core in range(2):
        put(root, f"{CORES}/cpu{core}/topology/physical_package_id", 0)
        put(root, f"{CORES}/cpu{core}/thermal_throttle/core_throttle_count", 3)
        put(root, f"{CORES}/cpu{core}/thermal_throttle/package_throttle_count", 5)
    zones = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:1": "psys"}
    for folder, name in zones.items():
        put(root, f"sys/class/powercap/{folder}/name", name)
        put(root, f"sys/class/powercap/{folder}/energy_uj", 90_000_000)
        put(root, f"sys/class/powercap/{folder}/max_energy_range_uj", 100_000_000)
    zone(root, 0, "x86_pkg_temp", 61.0, passive=0)
    return root
