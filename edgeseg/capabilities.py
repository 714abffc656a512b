"""Own the question what this machine can do: which back ends work here, and what is missing. Install nothing."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from edgeseg.errors import EngineError, MissingPackageError
from edgeseg.packages import require
from edgeseg.runtime.kernels.compiling import way_to_kernels
from edgeseg.trt_api import TensorRTName, TrtApi, driver_state, load_api

__all__ = ["Capability", "capabilities"]

TOOLS = {
    "export": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "int8 calibration": ("modelopt.onnx.quantization",),
    "overlay video": ("av",),
    "html reports": ("matplotlib", "jinja2"),
}


@dataclass(frozen=True, kw_only=True)
class Capability:
    """One thing that edgeseg does: whether it does it here, with what, and what it lacks if not."""

    name: str
    is_backend: bool
    works: bool
    detail: str


def capabilities() -> list[Capability]:
    """Every back end's building and running, then the tools around them."""
    found = [_openvino()]
    found += [check(name) for name in ("tensorrt", "tensorrt-rtx") for check in (_trt_build, _trt_run)]
    return [*found, _kernels(), *(_tool(name, packages) for name, packages in TOOLS.items())]


def _openvino() -> Capability:
    try:
        openvino = require("openvino")
        core = openvino.Core()
        if "CPU" not in core.available_devices:
            return _backend(
                "openvino: build and run", works=False, detail="OpenVINO sees no CPU device: reinstall openvino"
            )
    except MissingPackageError as error:
        return _backend("openvino: build and run", works=False, detail=str(error))
    kinds = [kind for kind in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") if kind in ("FP32", "INT8", "BF16")]
    device = core.get_property("CPU", "FULL_DEVICE_NAME")
    return _backend(
        "openvino: build and run", works=True, detail=f"{openvino.get_version()}, {device}, {' '.join(sorted(kinds))}"
    )


def _trt_build(name: TensorRTName) -> Capability:
    title = f"{name}: build"
    try:
        version = load_api(name).version
    except MissingPackageError as error:
        return _backend(title, works=False, detail=str(error))
    driver = driver_state()
    if name == "tensorrt" and not driver.is_working:
        return _backend(
            title, works=False, detail=f"{version} is installed, but it builds for a GPU that is there; {driver.reason}"
        )
    return _backend(
        title, works=True, detail=f"{version}, for {driver.device_name or 'RTX GPUs, none of which is here'}"
    )


def _trt_run(name: TensorRTName) -> Capability:
    title = f"{name}: run"
    driver = driver_state()
    if not driver.is_working:
        return _backend(
            title, works=False, detail=f"{driver.reason}: a machine with an NVIDIA GPU and its driver runs it"
        )
    try:
        api = _runtime(name)
        require("pycuda.driver")
    except MissingPackageError as error:
        return _backend(title, works=False, detail=str(error))
    only = ", version-compatible engines only" if api.name == "tensorrt-lean" else ""
    return _backend(
        title,
        works=True,
        detail=f"{api.name} {api.version} on {driver.device_name}, driver {driver.driver_version}{only}",
    )


def _runtime(name: TensorRTName) -> TrtApi:
    """The package that runs engines of a back end; the lean one where TensorRT itself is absent."""
    try:
        return load_api(name)
    except MissingPackageError:
        if name == "tensorrt":
            with contextlib.suppress(MissingPackageError):
                return load_api("tensorrt-lean")
        raise


def _kernels() -> Capability:
    """Whether the CUDA kernels can be had for the first device, or compiled at all where there is none."""
    driver = driver_state()
    try:
        detail, works = way_to_kernels(driver.compute_capability, driver.driver_version), True
    except EngineError as error:
        detail, works = str(error), False
    return Capability(name="cuda kernels", is_backend=False, works=works, detail=detail)


def _backend(name: str, *, works: bool, detail: str) -> Capability:
    return Capability(name=name, is_backend=True, works=works, detail=detail)


def _tool(name: str, packages: tuple[str, ...]) -> Capability:
    try:
        modules = [require(package) for package in packages]
    except MissingPackageError as error:
        return Capability(name=name, is_backend=False, works=False, detail=str(error))
    versions = ", ".join(f"{module.__name__} {getattr(module, '__version__', '')}".strip() for module in modules)
    return Capability(name=name, is_backend=False, works=True, detail=versions)
