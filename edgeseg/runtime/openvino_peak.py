"""Own the most operations a second that OpenVINO reaches on this CPU: a large convolution, timed. Judge nothing."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np

from edgeseg.packages import require
from edgeseg.runtime.engines.openvino import InferencePrecision, cpu_properties
from edgeseg.runtime.openvino_layers import layers_of_graph

__all__ = ["PEAK_PRECISIONS", "Peak", "peak_operations_per_s"]

Peak = Literal["FP32", "BF16", "INT8"]
PEAK_PRECISIONS: tuple[Peak, ...] = ("FP32", "BF16", "INT8")
#: 3x3 over 128 channels of 64 x 64: 253 operations a byte in float32, far above what any memory feeds
CHANNELS, SIDE, KERNEL = 128, 64, 3
OPERATIONS = 2 * CHANNELS * CHANNELS * KERNEL * KERNEL * SIDE * SIDE
LEAST_RUNS = 5


def peak_operations_per_s(precision: Peak, *, threads: int | None = None, duration_s: float = 0.5) -> float | None:
    """The fastest run of a layer that is all arithmetic; a multiplication and an addition are two operations.

    Args:
        precision: that the layer computes in.
        threads: CPU threads; all cores without it.
        duration_s: least time spent.
    Returns:
        None where OpenVINO takes another type for it on this CPU.
    Raises:
        MissingPackageError: OpenVINO is not installed.
    """
    openvino = require("openvino")
    inference: InferencePrecision = "bf16" if precision == "BF16" else "f32"
    properties = cpu_properties(inference, threads=threads, profiled=True)
    compiled = openvino.Core().compile_model(_model(is_int8=precision == "INT8"), "CPU", properties)
    layers = layers_of_graph(compiled.get_runtime_model())[1]
    timed = {one.name for one in layers if one.kind == "Convolution" and one.precision == precision}
    return OPERATIONS / _fastest_s(compiled.create_infer_request(), timed, duration_s) if timed else None


def _model(*, is_int8: bool) -> Any:
    """Two convolutions, so that the first one's result stays in the type that it computes in."""
    openvino, ops = require("openvino"), require("openvino.opset13")
    image = ops.parameter([1, CHANNELS, SIDE, SIDE], np.float32, name="image")
    shape = (CHANNELS, CHANNELS, KERNEL, KERNEL)
    filters = ops.constant(np.random.default_rng(0).uniform(-0.1, 0.1, shape).astype(np.float32))
    value = image
    if is_int8:
        filters = _rounded(filters, -0.127, 0.127, 255)
    for _ in range(2):
        value = _rounded(value, 0.0, 2.55, 256) if is_int8 else value
        value = ops.relu(ops.convolution(value, filters, [1, 1], [1, 1], [1, 1], [1, 1]))
    return openvino.Model([ops.result(value)], [image])


def _rounded(value: Any, low: float, high: float, levels: int) -> Any:
    """To the codes of 8 bits, as a quantised net does."""
    bounds = [np.float32(low), np.float32(high)]
    return require("openvino.opset13").fake_quantize(value, *bounds, *bounds, levels)


def _fastest_s(request: Any, timed: set[str], duration_s: float) -> float:
    best_s, runs, end_s = float("inf"), 0, time.perf_counter() + duration_s
    while runs < LEAST_RUNS or time.perf_counter() < end_s:
        request.infer()
        told = [one.real_time.total_seconds() for one in request.profiling_info if one.node_name in timed]
        best_s, runs = min([best_s, *filter(None, told)]), runs + 1
    return best_s
