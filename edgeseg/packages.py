"""Own the import of optional packages, each with the extra that brings it. Import nothing by itself."""

from __future__ import annotations

import importlib
from types import ModuleType

from edgeseg.errors import MissingPackageError

__all__ = ["require"]

EXTRA_OF = {
    "torch": "export",
    "onnx": "export",
    "onnxscript": "export",
    "google.protobuf.message": "export",
    "onnxruntime": "export",
    "onnxruntime.quantization.calibrate": "quantize",
    "safetensors.torch": "export",
    "modelopt.onnx.quantization": "quantize",
    "modelopt.onnx.autocast": "quantize",
    "openvino": "cpu",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "rtx",
    "pycuda.driver": "cuda",
    "av": "video",
    "matplotlib": "report",
    "jinja2": "report",
}


def require(name: str) -> ModuleType:
    """Import ``name``, or say which extra of edgeseg brings it.

    Raises:
        MissingPackageError: the package is absent or fails to import.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library that the package loads is missing
        extra = EXTRA_OF[name]
        raise MissingPackageError(
            f"{name.split('.')[0]} cannot be imported ({error})", f"pip install 'edgeseg[{extra}]'"
        ) from error
