"""Own the choice of a back end to build with. Each back end is one module; nothing above asks which one it has."""

from __future__ import annotations

from edgeseg.builder.backends.base import BuilderBackend
from edgeseg.spec import BackendName

__all__ = ["BuilderBackend", "best_backend", "open_backend"]


def best_backend() -> BackendName:
    """What ``--backend auto`` means here: TensorRT where a GPU and its driver work, else OpenVINO on the CPU."""
    from importlib.util import find_spec

    from edgeseg.trt_api import driver_state

    if driver_state().is_working:
        if find_spec("tensorrt"):
            return "tensorrt"
        if find_spec("tensorrt_rtx"):
            return "tensorrt-rtx"
    return "openvino"


def open_backend(name: BackendName) -> BuilderBackend:
    """The builder of that name.

    Raises:
        MissingPackageError: its package is not installed.
    """
    if name == "openvino":
        from edgeseg.builder.backends.openvino import OpenVINOBackend

        return OpenVINOBackend()
    from edgeseg.builder.backends.tensorrt import TensorRTBackend

    return TensorRTBackend(name)
