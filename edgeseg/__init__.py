"""Real-time semantic segmentation: PyTorch nets to TensorRT or OpenVINO engines, and camera frames to class masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.errors import EdgesegError
from edgeseg.packages import late_names

if TYPE_CHECKING:
    from edgeseg.export.backbones import load_backbone
    from edgeseg.latency import LatencyLog
    from edgeseg.runtime.session import Session, Wanted
    from edgeseg.spec import EngineSpec, ModelSpec

__all__ = ["EdgesegError", "EngineSpec", "LatencyLog", "ModelSpec", "Session", "Wanted", "__version__", "load_backbone"]
__version__ = "0.1.0"

_HOME = {
    "EngineSpec": "edgeseg.spec",
    "LatencyLog": "edgeseg.latency",
    "ModelSpec": "edgeseg.spec",
    "Session": "edgeseg.runtime.session",
    "Wanted": "edgeseg.runtime.session",
    "load_backbone": "edgeseg.export.backbones",
}

__getattr__ = late_names(__name__, _HOME)
