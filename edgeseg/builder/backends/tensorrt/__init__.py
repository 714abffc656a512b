"""Own the building of plans by TensorRT and TensorRT-RTX; run none."""

from __future__ import annotations

from edgeseg.builder.backends.tensorrt.backend import TensorRTBackend
from edgeseg.builder.backends.tensorrt.options import PoolName, TensorRTOptions

__all__ = ["PoolName", "TensorRTBackend", "TensorRTOptions"]
