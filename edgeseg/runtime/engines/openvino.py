"""Own the OpenVINO engine on the CPU: a compiled blob, its requests and their host buffers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.packages import require
from edgeseg.runtime.engines.base import Engine
from edgeseg.spec import EngineSpec

__all__ = ["InferencePrecision", "OpenVINOEngine", "cpu_properties", "import_plan"]

REBUILD = "build it here with 'edgeseg build-engine NET.onnx --backend openvino'"


InferencePrecision = Literal["f32", "bf16"]


def cpu_properties(
    inference: InferencePrecision, *, threads: int | None = None, profiled: bool = False
) -> dict[str, Any]:
    """What a net is compiled and loaded with; float32 is said aloud, since CPUs with BF16 would take that instead."""
    properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": inference, "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    if profiled:
        properties["PERF_COUNT"] = True
    return properties


def import_plan(spec: EngineSpec, plan: bytes, *, threads: int | None = None, profiled: bool = False) -> Any:
    """OpenVINO's CompiledModel of an exported blob; where it is to be profiled, its requests time their layers.

    Raises:
        EngineError: another OpenVINO built it, or the blob does not load.
    """
    openvino = require("openvino")
    if openvino.get_version() != spec.backend_version:
        raise EngineError(
            f"engine was built by OpenVINO {spec.backend_version}, installed is {openvino.get_version()}", REBUILD
        )
    inference: InferencePrecision = "bf16" if spec.precision.kind == "bf16" else "f32"
    try:
        return openvino.Core().import_model(plan, "CPU", cpu_properties(inference, threads=threads, profiled=profiled))
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot load the engine ({_last_line(error)})", REBUILD) from error


class OpenVINOEngine(Engine):
    """One compiled model; a slot is an infer request bound to two NumPy buffers, so nothing is copied.

    Args:
        spec: the engine's sidecar.
        plan: the exported blob; its hash has been checked.
        slots: infer requests.
        threads: CPU threads; all cores without it.
        profiled: time every layer, see ``layer_times_ms``; runs take longer by that.
    Raises:
        EngineError: another OpenVINO built it, or the blob does not load.
    """

    scope = "engine"

    def __init__(
        self, spec: EngineSpec, plan: bytes, *, slots: int = 1, threads: int | None = None, profiled: bool = False
    ) -> None:
        openvino = require("openvino")
        compiled = import_plan(spec, plan, threads=threads, profiled=profiled)
        self._is_profiled = profiled
        self.spec, self.slots = spec, slots
        model = spec.model
        self._inputs = [np.zeros(model.input.shape, model.input.dtype) for _ in range(slots)]
        self._outputs = [np.zeros(model.head.shape, model.head.dtype) for _ in range(slots)]
        self._requests: list[Any] = []
        for host_input, host_output in zip(self._inputs, self._outputs, strict=True):
            request = compiled.create_infer_request()
            request.set_tensor(model.input.name, openvino.Tensor(host_input, shared_memory=True))
            request.set_tensor(model.head.output, openvino.Tensor(host_output, shared_memory=True))
            self._requests.append(request)

    def host_input(self, slot: int) -> NDArray[Any]:
        return self._inputs[slot]

    def host_output(self, slot: int) -> NDArray[Any]:
        return self._outputs[slot]

    def start(self, slot: int) -> None:
        if not self._requests:
            raise EngineError("the engine is closed", "open it again")
        self._requests[slot].start_async()

    def wait(self, slot: int) -> float:
        self._requests[slot].wait()
        return float(self._requests[slot].latency)

    def stages_ms(self, slot: int) -> dict[str, float]:
        return {"engine": float(self._requests[slot].latency)}

    def layer_times_ms(self, slot: int) -> dict[str, float]:
        if not self._is_profiled:
            return super().layer_times_ms(slot)
        told = self._requests[slot].profiling_info
        return {one.node_name: one.real_time.total_seconds() * 1e3 for one in told if one.status == one.Status.EXECUTED}

    def close(self) -> None:
        for request in self._requests:
            request.wait()
        self._requests.clear()


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()
