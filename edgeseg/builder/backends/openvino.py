"""Own building for the CPU with OpenVINO: one exported blob a net. Prepare no graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeseg.builder.backends.base import BuilderBackend, Built, Progress
from edgeseg.errors import BuildError
from edgeseg.packages import require
from edgeseg.runtime.engines.openvino import cpu_properties
from edgeseg.spec import BackendName, PrecisionKind

__all__ = ["OpenVINOBackend"]


class OpenVINOBackend(BuilderBackend):
    """Compiles for the CPU that it runs on."""

    name: BackendName = "openvino"
    int8_high_precision = "fp32"

    def __init__(self) -> None:
        self._openvino: Any = require("openvino")

    @property
    def version(self) -> str:
        return str(self._openvino.get_version())

    def refuse(self, precision: PrecisionKind) -> None:
        if precision == "fp16":
            raise BuildError("the CPU back end computes in fp32 and int8, not in fp16", "use --precision fp32 or int8")

    def build(self, onnx_path: Path, *, progress: Progress) -> Built:
        progress(0.0, "compile")
        core = self._openvino.Core()
        try:
            compiled = core.compile_model(core.read_model(str(onnx_path)), "CPU", cpu_properties(threads=None))
            plan = compiled.export_model()
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
            raise BuildError(
                f"OpenVINO cannot compile the graph ({last})", "run it again with --debug for all it says"
            ) from error
        progress(1.0, "compile")
        return Built(
            plan=plan.getvalue(),
            device=str(core.get_property("CPU", "FULL_DEVICE_NAME")),
            compute_capability=None,
            options={"inference_precision": "f32", "performance_hint": "LATENCY"},
        )
