"""Own imports that wait: of optional packages, each with the extra that brings it, and of our own public names."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

from edgeseg.errors import MissingPackageError

__all__ = ["late_names", "require"]

EXTRA_OF = {
    "onnx": "graph",
    "onnx.reference": "graph",
    "onnx_ir": "graph",
    "onnx_ir.passes.common": "graph",
    "onnxslim": "graph",
    "google.protobuf.message": "graph",
    "torch": "export",
    "onnxscript": "export",
    "onnxruntime": "measure",
    "onnxruntime.quantization.calibrate": "quantize",
    "safetensors.torch": "export",
    "modelopt.onnx.quantization": "quantize",
    "polygraphy.logger": "quantize",
    "openvino": "cpu",
    "tensorrt": "tensorrt",
    "tensorrt_lean": "lean",
    "tensorrt_rtx": "rtx",
    "pycuda.driver": "cuda",
    "cuda.bindings.driver": "cuda",
    "nvtx": "cuda",
    "av": "video",
    "aiohttp": "web",
    "aiohttp.web": "web",
    "matplotlib": "report",
    "jinja2": "report",
}

#: what a package must not find while it is imported.
#: ``import openvino`` starts a process that sends a usage event over the network (2026.4.1, openvino/tools/ovc); with
#: its telemetry package out of sight it takes its own stub instead. A device's loop must neither fork nor call home.
#: Model Optimizer (0.47, onnx/trt_utils) has TensorRT's builder read every graph where it finds that package: without a
#: driver it fails, and TensorRT keeps Model Optimizer's logger in place of ours.
UNSEEN_BY = {"openvino": ("openvino_telemetry",), "modelopt": ("openvino_telemetry", "tensorrt")}
IMPORTING = threading.RLock()  # what is hidden is so from all threads


def require(name: str) -> ModuleType:
    """Import ``name``, or say which extra of edgeseg brings it.

    Raises:
        MissingPackageError: the package is absent or fails to import.
    """
    try:
        with _hidden(*UNSEEN_BY.get(name.split(".")[0], ())):
            return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library that the package loads is missing
        extra = EXTRA_OF[name]
        raise MissingPackageError(
            f"{name.split('.')[0]} cannot be imported ({error})", f"pip install 'edgeseg[{extra}]'"
        ) from error


def late_names(package: str, home: Mapping[str, str]) -> Callable[[str], object]:
    """A package's ``__getattr__`` that loads a public name when it is first asked for: importing it stays light.

    Args:
        package: its name, for the error.
        home: the module of each name.
    """

    def load(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home[name]), name)

    return load


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Keep packages out of the sight of what is imported meanwhile; what was imported before comes back."""
    with IMPORTING:
        before = {name: sys.modules.get(name) for name in names}
        sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None tells importlib that there is none
        try:
            yield
        finally:
            for name, module in before.items():
                del sys.modules[name]
                if module is not None:
                    sys.modules[name] = module
