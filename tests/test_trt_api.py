"""The choice of TensorRT's package, its log, and the question for a driver."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgeseg.trt_api import DriverState, LogTail, driver_state, load_api

WORKING_DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strcpy(name, "Orin"); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : 7; return 0; }
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
"""
FAILING_DRIVER = """
int cuInit(unsigned flags) { return 100; }
int cuGetErrorName(int status, const char **name) { *name = "CUDA_ERROR_NO_DEVICE"; return 0; }
"""


def compile_library(folder: Path, source: str) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for a stand-in of the CUDA driver")
    library = folder / "libdriver.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)], input=source.encode(), check=True
    )
    return str(library)


def test_driver_state_reads_name_capability_and_version_of_the_first_device(tmp_path: Path) -> None:
    assert driver_state(compile_library(tmp_path, WORKING_DRIVER)) == DriverState(
        is_working=True, device_name="Orin", compute_capability="8.7", driver_version="12.6"
    )


def test_driver_state_names_the_call_that_failed_and_the_drivers_own_word(tmp_path: Path) -> None:
    state = driver_state(compile_library(tmp_path, FAILING_DRIVER))
    assert not state.is_working
    assert "cuInit" in state.reason and "CUDA_ERROR_NO_DEVICE" in state.reason


def test_driver_state_says_that_no_driver_is_installed() -> None:
    state = driver_state("libno-such-driver.so.1")
    assert not state.is_working
    assert "libno-such-driver.so.1" in state.reason


def test_driver_state_says_that_a_library_is_no_driver(tmp_path: Path) -> None:
    state = driver_state(compile_library(tmp_path, "int other;"))
    assert not state.is_working
    assert "is not CUDA's driver" in state.reason


def test_a_log_tail_shows_errors_before_warnings_and_counts_every_warning() -> None:
    tail = LogTail(keep=2)
    for number in range(5):
        tail.add(f"warning {number}", is_error=False)
    assert (str(tail), tail.warnings) == ("warning 3 | warning 4", 5)
    tail.add("error\n", is_error=True)
    assert (str(tail), tail.warnings) == ("error", 5)


def test_a_cleared_log_tail_is_silent() -> None:
    tail = LogTail()
    tail.add("old", is_error=True)
    tail.clear()
    assert (str(tail), tail.warnings) == ("its log is silent", 0)


def test_an_api_is_loaded_once_since_tensorrt_keeps_its_first_logger() -> None:
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    assert load_api("tensorrt-rtx") is load_api("tensorrt-rtx")


def test_the_logger_keeps_what_tensorrt_itself_reports() -> None:
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    api = load_api("tensorrt-rtx")
    api.log.clear()
    network = api.module.Builder(api.logger).create_network(0)
    assert not api.module.OnnxParser(network, api.logger).parse(b"garbage" * 10)
    assert "MODEL_DESERIALIZE_FAILED" in str(api.log)
