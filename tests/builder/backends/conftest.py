"""Small nets whose precision stands in the graph, as the builder's back ends take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

WIDTH = 16
SIZE_HW = (32, 32)
OPSET = 19  # the first with FP16 scales


class Graph:
    """Nodes and weights of a net in the making."""

    def __init__(self, half: bool) -> None:
        self.float_type = np.float16 if half else np.float32
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, value: object, dtype: type) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"make_{output}", **attributes))
        return output

    def convolution(self, tensor: str, channels: int, index: int, *, quantised: bool) -> str:
        values = np.random.default_rng(index).normal(size=(WIDTH, channels, 3, 3)) * 0.1
        kernel = self._quantised(values, index) if quantised else self.weight(f"kernel{index}", values, self.float_type)
        if quantised:
            tensor = self._quantise_activation(tensor, index)
        return self.node("Conv", [tensor, kernel], f"conv{index}", pads=[1, 1, 1, 1])

    def _quantise_activation(self, tensor: str, index: int) -> str:
        scale = self.weight(f"scale{index}", 0.02, self.float_type)
        zero = self.weight(f"zero{index}", 0, np.int8)
        return self.node(
            "DequantizeLinear",
            [self.node("QuantizeLinear", [tensor, scale, zero], f"q{index}"), scale, zero],
            f"dq{index}",
        )

    def _quantised(self, values: np.ndarray, index: int) -> str:
        scales = np.abs(values).max((1, 2, 3)) / 127
        stored = self.weight(f"kernel{index}", np.round(values / scales[:, None, None, None]), np.int8)
        scale = self.weight(f"kernel_scale{index}", scales, self.float_type)
        zero = self.weight(f"kernel_zero{index}", np.zeros(WIDTH), np.int8)
        return self.node("DequantizeLinear", [stored, scale, zero], f"kernel_dq{index}", axis=0)

    def model(self, output: str, shape: tuple[int, ...]) -> bytes:
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, *SIZE_HW))
        logits = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "net", [image], [logits], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        return bytes(model.SerializeToString())


def small_net(precision: str) -> bytes:
    """Three convolutions: plain FP32, between FP16 casts, or behind Q/DQ pairs with FP16 scales."""
    graph = Graph(half=precision != "fp32")
    tensor = "image"
    if precision != "fp32":
        tensor = graph.node("Cast", [tensor], "half", to=TensorProto.FLOAT16)
    for index in range(3):
        tensor = graph.convolution(tensor, 3 if index == 0 else WIDTH, index, quantised=precision == "int8")
        tensor = graph.node("Relu", [tensor], f"relu{index}")
    graph.node("Cast", [tensor], "logits", to=TensorProto.FLOAT)
    data = graph.model("logits", (1, WIDTH, *SIZE_HW))
    onnx.checker.check_model(data)
    return data


@pytest.fixture(scope="session")
def make_net(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The small net of a precision, fp32, fp16 or int8, as an ONNX file."""
    folder = tmp_path_factory.mktemp("nets")

    def make(precision: str) -> Path:
        path = folder / f"{precision}.onnx"
        path.write_bytes(small_net(precision))
        return path

    return make


@pytest.fixture(scope="session")
def open_net(make_net: Callable[[str], Path]) -> Path:
    """The FP32 net with batch, height and width left open."""
    model = onnx.load(make_net("fp32"))
    for value in (*model.graph.input, *model.graph.output):
        for index, name in ((0, "batch"), (2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[index].dim_param = name
    path = make_net("fp32").with_name("open.onnx")
    onnx.save(model, path)
    return path


@pytest.fixture
def unsupported_net(tmp_path: Path) -> Path:
    """A net whose one node, 'make_determinant', TensorRT has no layer for."""
    graph = Graph(half=False)
    graph.node("Det", ["image"], "determinant")
    path = tmp_path / "unsupported.onnx"
    path.write_bytes(graph.model("determinant", (1, 3)))
    return path


@pytest.fixture
def other_net(make_net: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the FP32 net, so that its engine lies beside it."""
    path = tmp_path / "other.onnx"
    path.write_bytes(make_net("fp32").read_bytes())
    return path
