"""The stand-ins go wrong where the real packages do."""

from __future__ import annotations

import ast
import importlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from device_lab import STANDIN, Device

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import (
    BoundLaunch,
    CudaContext,
    DeviceTensor,
    Module,
    PinnedRing,
    Stream,
    adopt,
    primary_context,
)
from edgeseg.runtime.cuda.graphs import CaptureRefused, capture
from edgeseg.runtime.cuda.marks import CapturedMarks
from edgeseg.runtime.kernels import postprocess
from edgeseg.runtime.kernels.compiling import compiled
from edgeseg.runtime.kernels.cubins import KERNELS

SECONDS = 30
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


class Counting:
    """Labels of a mask counted by our kernel, on memory of the device."""

    def __init__(self, cuda: CudaContext) -> None:
        self.stream, self.mask = Stream(cuda), np.random.default_rng(0).integers(0, 5, (33, 47), np.uint8)
        self.expected = np.bincount(self.mask.ravel(), minlength=256)
        self.labels = DeviceTensor.empty(cuda, self.mask.shape, "uint8")
        self.areas = DeviceTensor.empty(cuda, (256,), "int64")
        self._host, self.found = cuda.pinned(self.mask.shape, "uint8"), cuda.pinned((256,), "int64")
        self._host[:] = self.mask
        cubin = compiled(KERNELS / "labels.cu", compute_capability="8.7", driver_version="13.0")
        self.module = Module(cuda, cubin)

    def launch(self) -> BoundLaunch:
        params = np.zeros((), postprocess.PARAMS["areas"])
        values = (self.labels.ptr, 47, self.areas.ptr, 47, 33)
        for name, value in zip(("mask", "mask_pitch", "areas", "width", "height"), values, strict=True):
            params[name] = value
        kernel = self.module.kernel("edgeseg_areas", postprocess.PARAMS["areas"])
        return kernel.bound(params, grid=(1, 9, 1), block=(32, 4, 1))

    def enqueue(self) -> None:
        self.stream.copy_in(self.labels, self._host)
        self.stream.fill(self.areas)
        self.stream.launch(self.launch())
        self.stream.copy_out(self.found, self.areas)


def test_our_kernels_are_compiled_kept_and_run(device: Device) -> None:
    with device.inside(), primary_context().current():
        work = Counting(primary_context())
        work.enqueue()
        work.stream.synchronize()
        assert np.array_equal(work.found, work.expected)
        assert len(list((device.folder / "cache" / "edgeseg" / "kernels").glob("labels.sm_87.*.cubin"))) == 1
        with pytest.raises(EngineError, match="have no 'edgeseg_none'"):
            work.module.kernel("edgeseg_none", postprocess.PARAMS["areas"])
        with pytest.raises(EngineError, match="device kernel image is invalid"):
            Module(primary_context(), b"no image")


def test_captured_work_is_done_at_each_launch_and_not_before(device: Device) -> None:
    with device.inside(), primary_context().current():
        work, marks = Counting(primary_context()), CapturedMarks(primary_context(), 2)

        def marked() -> None:
            marks.reach(0, work.stream)
            work.enqueue()
            marks.reach(1, work.stream)

        graph = capture(work.stream, marked)
        for _ in range(2):
            work.found.fill(-1)
            work.stream.synchronize()
            assert (work.found == -1).all()
            graph.launch(work.stream)
            marks.synchronize()
            assert np.array_equal(work.found, work.expected) and marks.ms()[0] >= 0
        with pytest.raises(CaptureRefused):
            capture(work.stream, work.stream.synchronize)
        work.enqueue()  # the stream works on


def test_mapped_memory_is_the_devices_too_and_other_host_memory_is_not(device: Device) -> None:
    with device.inside(), primary_context().current():
        cuda, work = primary_context(), Counting(primary_context())
        ring = PinnedRing(cuda, slots=1, shape=(256,), dtype="int64", is_mapped=True)
        work.enqueue()
        work.stream.copy_across(ring.device(0), work.areas)
        work.stream.synchronize()
        assert np.array_equal(ring.host(0), work.expected)
        assert adopt(cuda, work.labels).ptr == work.labels.ptr
        array = {"shape": (3,), "typestr": "|u1", "data": (work.found.ctypes.data, False), "version": 3}
        with pytest.raises(EngineError, match="not in device memory"):
            adopt(cuda, type("Foreign", (), {"__cuda_array_interface__": array})())


def test_a_stream_waits_for_a_foreign_one(device: Device) -> None:
    with device.inside(), primary_context().current():
        first, second, gate = Counting(primary_context()), Stream(primary_context()), threading.Event()
        streams = importlib.import_module("standin_device").Stream.living
        streams[first.stream.handle].submit(lambda: gate.wait(SECONDS))
        first.enqueue()
        second.wait_for_foreign(first.stream.handle)
        copied = primary_context().pinned((256,), "int64")
        second.copy_out(copied, first.areas)
        gate.set()
        second.synchronize()
        assert np.array_equal(copied, first.expected)
        with pytest.raises(EngineError, match="cannot wait for the foreign stream"):
            second.wait_for_foreign(1)


@pytest.mark.parametrize("integrated", [0, 1])
def test_the_device_says_whether_its_memory_is_the_hosts(device: Device, integrated: int) -> None:
    with device.inside(integrated=integrated), primary_context().current():
        assert primary_context().is_integrated == bool(integrated)


def test_the_calls_of_cuda_bindings_are_the_real_ones() -> None:
    real = importlib.import_module("cuda.bindings.driver")
    source = ast.parse((STANDIN / "cuda" / "bindings" / "driver.py").read_text())
    calls = [one for one in source.body if isinstance(one, ast.FunctionDef) and one.name.startswith("cu")]
    assert len(calls) > 10
    for one in calls:
        line = (getattr(real, one.name).__doc__ or "").splitlines()[0]
        words = line.partition("(")[2].rstrip(")").split(",")
        found = [word.split(":")[0].split()[-1] for word in words if word.strip()]
        assert [argument.arg for argument in one.args.args] == found, one.name
    for one in source.body:
        if isinstance(one, ast.ClassDef) and any(ast.unparse(base) == "IntEnum" for base in one.bases):
            for member in one.body:
                assert isinstance(member, ast.Assign)
                name = ast.unparse(member.targets[0])
                assert int(getattr(getattr(real, one.name), name)) == int(ast.unparse(member.value)), name
