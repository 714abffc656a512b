"""Own the engine inspector's JSON in the form of each release. Read no plan file.

The forms are those of NVIDIA's documentation ("Engine Inspector", and "Migrating IEngineInspector Usage from TensorRT
10.x to 11.x"): 10 lists the names of the IO tensors as ``Bindings`` and gives format and type of a layer's tensor in
one text; 11 describes the IO tensors as ``I/O Tensors`` and splits that text into ``Format`` and ``DataType``.
"""

from __future__ import annotations

import json
from typing import Any

from trt_standin.bound import Bound
from trt_standin.enums import LayerInformationFormat
from trt_standin.plan import IO, Layer, Plan
from trt_standin.releases import MAJOR

__all__ = ["EngineInspector"]

LAYER_TYPES = {
    "CONVOLUTION": "CaskConvolution",
    "DECONVOLUTION": "CaskDeconvolutionV2",
    "POOLING": "CaskPooling",
    "MATRIX_MULTIPLY": "gemm",
    "ELEMENTWISE": "PointWiseV2",
    "ACTIVATION": "PointWiseV2",
    "RESIZE": "Resize",
    "CONCATENATION": "NoOp",
    "SHUFFLE": "Shuffle",
    "SOFTMAX": "SoftMaxV2",
}
TYPES = {"FP32": "Float", "FP16": "Half", "INT8": "Int8", "BF16": "BFloat16", "FP8": "FP8", "UINT8": "UInt8"}
OF_DTYPE = {"FLOAT": "FP32", "HALF": "FP16", "INT8": "INT8", "UINT8": "UINT8", "INT32": "INT32", "BF16": "BF16"}
FORMATS = {
    "LINEAR": "Row major linear {0}",
    "HWC": "Channel major {0} format",
    "HWC8": "Channel major {0} format where channel % 8 == 0",
    "HWC16": "Channel major {0} format where channel % 16 == 0",
}


class EngineInspector(Bound):
    def __init__(self, plan: Plan) -> None:
        self._plan, self._context = plan, None

    @property
    def execution_context(self) -> Any:
        return self._context

    @execution_context.setter
    def execution_context(self, value: Any) -> None:
        self._context = value

    def get_layer_information(self, layer_index: int, format: Any) -> str:  # noqa: A002  the bindings' name
        layer = self._plan.layers[layer_index]
        found = _layer(self._plan, layer) if self._plan.verbosity == "DETAILED" else layer.name
        found = None if self._plan.verbosity == "NONE" else found
        return _text(found, format)

    def get_engine_information(self, format: Any) -> str:  # noqa: A002
        plan = self._plan
        is_detailed = plan.verbosity == "DETAILED"
        layers = [_layer(plan, one) if is_detailed else one.name for one in plan.layers]
        found: dict[str, Any] = {"Layers": [] if plan.verbosity == "NONE" else layers}
        if MAJOR >= 11:
            found["I/O Tensors"] = [_io_tensor(plan, one) for one in plan.io]
        else:
            found["Bindings"] = [one.name for one in plan.io]
        return _text(found, format)


def _text(value: Any, format_kind: Any) -> str:
    if format_kind == LayerInformationFormat.JSON:
        return json.dumps(value, indent=1)
    return str(value)


def _layer(plan: Plan, layer: Layer) -> dict[str, Any]:
    return {
        "Name": layer.name,
        "LayerType": LAYER_TYPES.get(layer.kind, "kgen"),
        "Inputs": [_tensor(plan, name, shape, layer.precision) for name, shape in layer.inputs],
        "Outputs": [_tensor(plan, name, shape, layer.precision) for name, shape in layer.outputs],
        "ParameterType": layer.kind.title(),
        "TacticName": f"standin_{layer.precision.lower()}_{layer.kind.lower()}",
        "TacticValue": "0x0000000000000001",
        "StreamId": 0,
        "Metadata": "\x1e".join(f"[ONNX Layer: {name}]" for name in layer.nodes),
    }


def _tensor(plan: Plan, name: str, shape: list[int], precision: str) -> dict[str, Any]:
    io = {one.name: one for one in plan.io}.get(name)
    precision = OF_DTYPE.get(io.dtype, "FP32") if io is not None else precision
    layout = FORMATS[io.format if io is not None else "LINEAR"].format(precision)
    found: dict[str, Any] = {"Name": name, "Location": "Device", "Dimensions": shape}
    if MAJOR >= 11:
        return found | {"Format": f"{layout} format (kLINEAR)", "DataType": TYPES.get(precision, precision.title())}
    return found | {"Format/Datatype": layout}


def _io_tensor(plan: Plan, io: IO) -> dict[str, Any]:
    precision = OF_DTYPE.get(io.dtype, "FP32")
    shapes = [one.get(io.name, [io.shape] * 3) for one in plan.profiles] or [[io.shape] * 3]
    return {
        "Name": io.name,
        "IOMode": io.mode.title(),
        "DataType": TYPES.get(precision, precision.title()),
        "Dimensions": io.shape,
        "Location": "Device",
        "IsShapeInferenceIO": False,
        "ProfileInfo": [
            {
                "MinShape": low,
                "OptShape": middle,
                "MaxShape": high,
                "Format": f"{FORMATS[io.format].format(precision)} format (k{io.format})",
            }
            for low, middle, high in shapes
        ],
    }
