"""Own the choice of a back end to build with. Each back end is one module; nothing above asks which one it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.builder.backends.base import BuilderBackend
from edgeseg.errors import OptionsError
from edgeseg.spec import BackendName

if TYPE_CHECKING:
    from edgeseg.builder.backends.tensorrt import TensorRTOptions

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


def open_backend(name: BackendName, options: TensorRTOptions | None = None) -> BuilderBackend:
    """The builder of that name.

    Args:
        name: which.
        options: for TensorRT and TensorRT-RTX.
    Raises:
        MissingPackageError: its package is not installed.
        OptionsError: the options are not for that back end.
        BuildError: the installed version has not what the options ask for.
    """
    if name == "openvino":
        if options is not None:
            raise OptionsError("the options of TensorRT's builder mean nothing to openvino", "leave them out")
        from edgeseg.builder.backends.openvino import OpenVINOBackend

        return OpenVINOBackend()
    from edgeseg.builder.backends.tensorrt import TensorRTBackend

    return TensorRTBackend(name, options)
