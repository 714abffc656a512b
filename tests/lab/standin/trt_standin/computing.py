"""Own the computing: a plan's net through OpenVINO in float32. Know no memory and no stream."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.packages import require

__all__ = ["Net", "output_shapes"]

THREADS = 2
TURNS = threading.RLock()  # streams compute in threads of their own; OpenVINO sees one of them at a time


class Net:
    """A net compiled for one shape."""

    def __init__(self, onnx_bytes: bytes, shapes: dict[str, tuple[int, ...]]) -> None:
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": THREADS}
        with TURNS:
            core = require("openvino").Core()
            model = core.read_model(onnx_bytes)
            model.reshape({name: list(shape) for name, shape in shapes.items()})
            self._request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with TURNS:
            found = self._request.infer(inputs)
            return {name: np.array(value) for port, value in found.items() for name in port.get_names()}


def output_shapes(onnx_bytes: bytes, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes of the outputs, -1 where the inputs leave them open."""
    with TURNS:
        model = require("openvino").Core().read_model(onnx_bytes)
        model.reshape({name: list(shape) for name, shape in shapes.items()})
        found = {}
        for port in model.outputs:
            sides = tuple(int(side.get_length()) if side.is_static else -1 for side in port.get_partial_shape())
            found |= dict.fromkeys(port.get_names(), sides)
        return found
