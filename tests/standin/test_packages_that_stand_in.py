"""The stand-ins go wrong where the real packages do."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from device_lab import Device

LOGGER = """
class Logger(trt.ILogger):
    def __init__(self): trt.ILogger.__init__(self)
    def log(self, severity, msg): print(severity.name, msg)
"""
CUDA = """
import numpy as np, pycuda.driver as cuda
cuda.init(); context = cuda.Device(0).retain_primary_context()
"""


def python(device: Device, program: str, **settings: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    environment = device.environment(**settings)  # type: ignore[arg-type]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_lean_runtime_ends_the_process_without_a_driver(device: Device) -> None:
    program = f"import tensorrt_lean as trt{LOGGER}trt.Runtime(Logger()).deserialize_cuda_engine(b'plan')"
    assert python(device, program, has_driver=False).returncode == -signal.SIGSEGV
    found = python(device, program)
    assert found.returncode == 0 and "Serialization" in found.stdout


@pytest.mark.parametrize(
    ("work", "message"),
    [
        ("cuda.mem_alloc(64)", "no currently active context"),
        ("context.push(); cuda.memcpy_htod_async(cuda.mem_alloc(64), np.zeros(65, 'u1'))", "invalid argument"),
        ("context.pop()", "cannot pop"),
    ],
)
def test_a_wrong_use_of_cuda_is_an_error_of_pycuda(device: Device, work: str, message: str) -> None:
    program = f"{CUDA}\ntry:\n    {work}\nexcept cuda.LogicError as error:\n    print(error, flush=True)\n"
    assert message in python(device, program).stdout


def test_a_context_that_stays_on_the_stack_ends_the_process_with_pycuda_s_words(device: Device) -> None:
    found = python(device, f"{CUDA}context.push()")
    assert found.returncode == -signal.SIGABRT
    assert "context stack was not empty" in found.stderr
