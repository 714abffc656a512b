"""Own what tests on a real device share: why there is none, its context, kernels on it, nets, the engines."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_launchers import CudaLauncher

from edgeseg.runtime.cuda import CudaContext, primary_context
from edgeseg.trt_api import driver_state

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
#: built-in nets beside the small one, and what they are exported with
NETS = {"unet-mini": "64x128", "fcn2s-slim": "64x128", "mobilenet-unet": "64x128"}
#: what the builder says where a release or a device has not what is asked for; no other failure is passed over
NOT_HERE = ("does not take", "is not there: this device has", "needs 8.")
Build = Callable[..., Path]


def why_no_device(*modules: str) -> str:
    """What keeps a device, PyCUDA or other modules from working here; empty where nothing does."""
    driver = driver_state()
    if not driver.is_working:
        return f"no GPU: {driver.reason}"
    missing = [name for name in (*modules, "pycuda") if importlib.util.find_spec(name) is None]
    return f"{missing[0]} is not installed" if missing else ""


def why_not(backend: str) -> str:
    """What keeps a back end from running here; empty where nothing does."""
    return why_no_device(MODULES[backend])


@pytest.fixture(scope="session")
def cuda() -> CudaContext:
    """The first device's context."""
    reason = why_no_device()
    if reason:
        pytest.skip(reason)
    return primary_context()


@pytest.fixture(scope="session")
def device_launcher(cuda: CudaContext) -> CudaLauncher:
    """The kernels on that device, each source compiled once."""
    return CudaLauncher(cuda)


@pytest.fixture
def launcher(device_launcher: CudaLauncher) -> Iterator[CudaLauncher]:
    """The same for one test, whose inputs are freed behind it."""
    yield device_launcher
    device_launcher.forget()


@pytest.fixture(scope="session", params=list(MODULES))
def backend(request: pytest.FixtureRequest) -> str:
    """A back end that runs here."""
    if why_not(request.param):
        pytest.skip(why_not(request.param))
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def onnx_of(backend: str, chain: Any, call_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``onnx_of(net)``: the chain's small net, or a built-in one, exported once."""
    folder = tmp_path_factory.mktemp("nets")

    def onnx_of(net: str) -> Path:
        path: Path = chain.onnx if net == "small" else folder / f"{net}.onnx"
        if not path.exists():
            done = call_in(["export", net, "-o", path, "--input-size", NETS[net], "--classes", 3], folder)
            assert done.returncode == 0, done.stderr
        return path

    return onnx_of


@pytest.fixture(scope="session")
def build(backend: str, onnx_of: Any, chain: Any, call_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build(net, precision, *words)``: an engine file, built once; skips what this release or device has not."""
    folder = tmp_path_factory.mktemp("engines")
    known: dict[tuple[object, ...], Path] = {}

    def build(net: str, precision: str, *words: object) -> Path:
        key = (net, precision, *words)
        if key not in known:
            path = folder / f"{len(known)}.engine"
            given: list[object] = ["build-engine", onnx_of(net), "-o", path, "--backend", backend, *words]
            data = ["--calib-data", chain.images] if precision in ("int8", "fp8") or "int8" in words else []
            done = call_in([*given, "--precision", precision, *data], folder)
            if done.returncode and any(one in done.stderr for one in NOT_HERE):
                pytest.skip(done.stderr.strip().splitlines()[-1])
            assert done.returncode == 0, done.stderr
            known[key] = path
        return known[key]

    return build
