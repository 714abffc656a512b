"""Own an engine that computes on the CPU what a plan for an absent card would give, for its masks. Time nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.packages import require
from edgeseg.runtime.engines.base import Engine
from edgeseg.spec import EngineSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["EmulatedEngine"]


class EmulatedEngine(Engine):
    """ONNX Runtime on a float32 graph that rounds and quantises as the plan would (``Master.emulated``).

    Its milliseconds say nothing of the card.

    Args:
        spec: what the plan's sidecar would say.
        model: the graph.
    """

    scope = "emulation on the CPU"

    def __init__(self, spec: EngineSpec, model: ir.Model) -> None:
        runtime = require("onnxruntime")
        self.spec, self.slots = spec, 1
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        # above that, 1.31 moves FP8 codes into poolings, which have no kernel for them, or gives wrong sums
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        data = require("onnx_ir").to_proto(model).SerializeToString()
        self._session: Any = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._took_ms = [0.0]
        self._inputs = [np.zeros(spec.model.input.shape, spec.model.input.dtype)]
        self._outputs = [np.zeros(spec.model.head.shape, spec.model.head.dtype)]

    def host_input(self, slot: int) -> NDArray[Any]:
        return self._inputs[slot]

    def host_output(self, slot: int) -> NDArray[Any]:
        return self._outputs[slot]

    def start(self, slot: int) -> None:
        """Runs at once; ``wait`` finds it done."""
        model = self.spec.model
        started_s = time.perf_counter()
        outputs = self._session.run([model.head.output], {model.input.name: self._inputs[slot]})
        self._outputs[slot][...] = outputs[0]
        self._took_ms[slot] = (time.perf_counter() - started_s) * 1e3

    def wait(self, slot: int) -> float:
        return self._took_ms[slot]

    def stages_ms(self, slot: int) -> dict[str, float]:
        return {"engine": self._took_ms[slot]}

    def close(self) -> None:
        self._session = None
