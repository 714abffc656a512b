"""Own the network as the parser leaves it: tensors and layers of an ONNX graph. Parse no file, build no plan."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto

from trt_standin.bound import Bound, Dims
from trt_standin.enums import DataType, LayerType, NetworkDefinitionCreationFlag, TensorLocation
from trt_standin.releases import MAJOR

__all__ = ["ALL_FORMATS", "ILayer", "INetworkDefinition", "ITensor", "fill"]

ALL_FORMATS = 0x1FFF  # a new tensor allows all 13 formats: measured, 8191
DTYPES = {
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.INT8: "INT8",
    TensorProto.UINT8: "UINT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.BOOL: "BOOL",
    TensorProto.FLOAT8E4M3FN: "FP8",
}
LAYERS = {
    "Conv": "CONVOLUTION",
    "ConvTranspose": "DECONVOLUTION",
    "Cast": "CAST",
    "Concat": "CONCATENATION",
    "Softmax": "SOFTMAX",
    "Gemm": "MATRIX_MULTIPLY",
    "MatMul": "MATRIX_MULTIPLY",
    "Resize": "RESIZE",
    "Upsample": "RESIZE",
    "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE",
    "BatchNormalization": "SCALE",
    "InstanceNormalization": "NORMALIZATION",
    "LayerNormalization": "NORMALIZATION",
    "Identity": "IDENTITY",
    "Shape": "SHAPE",
    "Slice": "SLICE",
    "Pad": "SLICE",
    "Gather": "GATHER",
    "Where": "SELECT",
    "LRN": "LRN",
    "NonZero": "NON_ZERO",
    "NonMaxSuppression": "NMS",
    "PRelu": "PARAMETRIC_RELU",
    "Constant": "CONSTANT",
} | dict.fromkeys(("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "Elu", "HardSigmoid", "Selu"), "ACTIVATION")
LAYERS |= dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"), "POOLING")
LAYERS |= dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Equal", "Greater", "Less"), "ELEMENTWISE")
LAYERS |= dict.fromkeys(("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze"), "SHUFFLE")
LAYERS |= dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceSum", "ReduceMin"), "REDUCE")
LAYERS |= dict.fromkeys(("ArgMax", "ArgMin", "TopK"), "TOPK")
LAYERS |= dict.fromkeys(("ConstantOfShape", "Range"), "FILL")
NO_LAYER = {"Constant"}


class ITensor(Bound):
    def __init__(self, name: str, dtype: str, shape: list[int], *, mode: str = "") -> None:
        self._name, self._dtype, self._parsed, self._shape = name, DataType[dtype], dtype, shape
        self._mode, self._formats = mode, ALL_FORMATS

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def dtype(self) -> Any:
        return self._dtype

    @dtype.setter
    def dtype(self, value: Any) -> None:
        self._dtype = value

    @property
    def shape(self) -> Dims:
        return Dims(self._shape)

    @shape.setter
    def shape(self, value: Any) -> None:
        self._shape = list(value)

    @property
    def allowed_formats(self) -> int:
        return self._formats

    @allowed_formats.setter
    def allowed_formats(self, value: int) -> None:
        self._formats = int(value)

    @property
    def dynamic_range(self) -> Any:
        return None

    @property
    def location(self) -> Any:
        return TensorLocation.DEVICE

    @property
    def is_network_input(self) -> bool:
        return self._mode == "INPUT"

    @property
    def is_network_output(self) -> bool:
        return self._mode == "OUTPUT"

    @property
    def is_shape_tensor(self) -> bool:
        return False

    @property
    def is_execution_tensor(self) -> bool:
        return True


class ILayer(Bound):
    def __init__(self, node: Any, inputs: list[ITensor], outputs: list[ITensor]) -> None:
        self._node, self._inputs, self._outputs = node, inputs, outputs
        self._name = node.name

    @property
    def name(self) -> str:
        return str(self._name)

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def type(self) -> Any:
        return LayerType[LAYERS.get(self._node.op_type, "ELEMENTWISE")]

    @property
    def metadata(self) -> str:
        return f"[ONNX Layer: {self._node.name}]"

    @property
    def precision(self) -> Any:
        return self._outputs[0].dtype

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_input(self, index: int) -> ITensor | None:
        return self._inputs[index] if index < len(self._inputs) else None

    def get_output(self, index: int) -> ITensor | None:
        return self._outputs[index] if index < len(self._outputs) else None

    def get_output_type(self, index: int) -> Any:
        return self._outputs[index].dtype


class INetworkDefinition(Bound):
    def __init__(self, builder: Any, flags: int) -> None:
        self._builder, self._flags, self._name = builder, flags, ""
        self._model: Any = None
        self._inputs: list[ITensor] = []
        self._outputs: list[ITensor] = []
        self._layers: list[ILayer] = []
        self._tensors: dict[str, ITensor] = {}

    @property
    def builder(self) -> Any:
        return self._builder

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def flags(self) -> int:
        return self._flags

    def get_flag(self, flag: Any) -> bool:
        is_always = MAJOR >= 11 and flag == NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return is_always or bool(self._flags >> int(flag) & 1)

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, arg0: int) -> ILayer:
        return self._layers[arg0]

    def get_input(self, index: int) -> ITensor | None:
        return self._inputs[index] if index < len(self._inputs) else None

    def get_output(self, index: int) -> ITensor | None:
        return self._outputs[index] if index < len(self._outputs) else None

    def get_layer(self, index: int) -> ILayer | None:
        return self._layers[index] if index < len(self._layers) else None


def fill(network: INetworkDefinition, model: onnx.ModelProto) -> None:
    """Make a network's tensors and layers from a checked graph."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    weights = {one.name for one in graph.initializer}
    found = {one.name: one for one in [*graph.value_info, *graph.input, *graph.output]}
    network._model, network._name = model, graph.name
    network._tensors = {name: _tensor(info) for name, info in found.items()}
    network._inputs = [network._tensors[one.name] for one in graph.input if one.name not in weights]
    network._outputs = [network._tensors[one.name] for one in graph.output]
    for tensors, mode in ((network._inputs, "INPUT"), (network._outputs, "OUTPUT")):
        for tensor in tensors:
            tensor._mode = mode
    for node in graph.node:
        if node.op_type not in NO_LAYER:
            network._layers.append(ILayer(node, _known(network, node.input), _known(network, node.output)))


def _known(network: INetworkDefinition, names: Any) -> list[ITensor]:
    return [network._tensors[name] for name in names if name in network._tensors]


def _tensor(info: Any) -> ITensor:
    kind = info.type.tensor_type
    shape = [side.dim_value if side.HasField("dim_value") else -1 for side in kind.shape.dim]
    return ITensor(info.name, DTYPES.get(kind.elem_type, "FLOAT"), shape)
