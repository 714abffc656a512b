"""Counts held against torch's own counter, and against figures worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.graph.access import infer_shapes
from edgeseg.graph.counting import GraphCounts, count

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

IMAGE = (1, 3, 24, 32)


class Convolutions(nn.Module):
    """Plain, strided, dilated, grouped, depthwise and transposed ones, with and without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.Conv2d(8, 8, 3, padding=2, dilation=2, bias=False),
            nn.Conv2d(8, 16, 3, padding=1, groups=4),
            nn.Conv2d(16, 16, (1, 5), groups=16),
        )
        self.up = nn.Sequential(
            nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1),
            nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
        )

    def forward(self, image: Any) -> Any:
        return self.up(self.down(image))


class Attends(nn.Module):
    """Tokens of an image that attend to fewer ones, by the operator and by hand, as SegFormer does."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Conv2d(3, 16, 4, stride=4)
        self.fewer = nn.Conv2d(16, 16, 2, stride=2)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, image: Any) -> Any:
        tokens = self.tokens(image)
        full, few = (one.flatten(2).transpose(1, 2) for one in (tokens, self.fewer(tokens)))
        query, key, value = (
            layer(one).unflatten(-1, (2, 8)).transpose(1, 2)
            for layer, one in ((self.query, full), (self.key, few), (self.value, few))
        )
        one = nn.functional.scaled_dot_product_attention(query, key, value)
        scores = torch.einsum("bhqc,bhkc->bhqk", query, key).softmax(-1)
        return (one + scores @ value).transpose(1, 2).flatten(2)


def demo_net() -> nn.Module:
    from edgeseg.export.nets.demo_unet import demo_unet

    return demo_unet()


def exported(net: nn.Module, shape: tuple[int, ...], folder: Path, opset: int = 19) -> ir.Model:
    path = folder / "net.onnx"
    torch.onnx.export(net.eval(), (torch.zeros(shape),), path, dynamo=True, opset_version=opset, verbose=False)
    model = ir.load(path)
    infer_shapes(model)
    return model


def torch_macs(net: nn.Module, shape: tuple[int, ...]) -> int:
    """What FlopCounterMode counts, halved; attention as the two products that it is."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net.eval()(torch.zeros(shape))
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize(
    ("make", "shape", "opset"),
    [(demo_net, (1, 3, 64, 96), 19), (Convolutions, IMAGE, 17), (Attends, IMAGE, 19), (Attends, IMAGE, 23)],
    ids=["demo net", "convolutions", "attention taken apart", "attention as an operator"],
)
def test_macs_are_half_the_operations_that_torch_counts(
    tmp_path: Path, make: Any, shape: tuple[int, ...], opset: int
) -> None:
    net = make()
    counts = count(exported(net, shape, tmp_path, opset))
    assert counts.macs == torch_macs(net, shape) > 0
    assert any(one.op == "Attention" for one in counts.nodes) == (opset == 23)


def test_parameters_are_the_modules_own(tmp_path: Path) -> None:
    net = Convolutions()
    counts = count(exported(net, IMAGE, tmp_path))
    assert counts.parameters == sum(one.numel() for one in net.parameters())
    assert counts.parameter_bytes == 4 * counts.parameters
    assert counts.layers == 6


def test_a_node_says_the_module_that_it_came_from(tmp_path: Path) -> None:
    counts = count(exported(Convolutions(), IMAGE, tmp_path))
    places = [one.place for one in counts.nodes if one.op == "ConvTranspose"]
    assert places == ["up.0 (ConvTranspose2d)", "up.1 (ConvTranspose2d)"]


def graph(
    nodes: list[Any],
    outputs: dict[str, tuple[int | str, ...]],
    weights: dict[str, Any] | None = None,
    *,
    shape: tuple[int | str, ...] = (1, 2, 4, 4),
) -> GraphCounts:
    """Counts of a hand-made graph whose input is ``x``."""
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)
        for name, sides in ({"x": shape} | outputs).items()
    }
    made = helper.make_graph(
        nodes,
        "g",
        [values["x"]],
        [values[name] for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("somebody", 1)]
    model = ir.from_proto(helper.make_model(made, opset_imports=opsets, ir_version=9))
    infer_shapes(model)
    return count(model)


def test_the_peak_is_what_lives_at_once_and_the_total_is_everything() -> None:
    """x (128 bytes) lives until the sum; a, b, c of as many bytes each; the pool's 32 are the output."""
    counts = graph(
        [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Add", ["x", "b"], ["c"]),
            helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
        ],
        {"y": (1, 2, 2, 2)},
    )
    assert counts.peak_bytes == 3 * 128
    assert counts.activation_bytes == 4 * 128 + 32


def test_an_output_lives_to_the_end() -> None:
    nodes = [helper.make_node("Relu", [before], [after]) for before, after in ("xa", "ab", "bc")]
    assert graph(nodes, {"a": (1, 2, 4, 4), "c": (1, 2, 4, 4)}).peak_bytes == 3 * 128
    assert graph(nodes, {"c": (1, 2, 4, 4)}).peak_bytes == 2 * 128


def test_constants_and_what_follows_from_them_are_no_activations() -> None:
    counts = graph(
        [
            helper.make_node("DequantizeLinear", ["w8", "scale"], ["w"]),
            helper.make_node("Conv", ["x", "w"], ["y"]),
        ],
        {"y": (1, 5, 4, 4)},
        {"w8": np.ones((5, 2, 1, 1), np.int8), "scale": np.float32(0.1)},
    )
    assert counts.activation_bytes == 4 * 16 * (2 + 5)
    assert counts.parameters == 5 * 2 + 1 and counts.parameter_bytes == 5 * 2 + 4
    assert counts.layers == 1
    assert counts.macs == 5 * 2 * 16


def test_a_shared_constant_counts_once() -> None:
    counts = graph(
        [helper.make_node("Mul", ["x", "w"], ["a"]), helper.make_node("Mul", ["a", "w"], ["y"])],
        {"y": (1, 2, 4, 4)},
        {"w": np.ones((2, 1, 1), np.float32)},
    )
    assert counts.parameters == 2


def test_scales_and_limits_are_no_parameters() -> None:
    counts = graph(
        [helper.make_node("Resize", ["x", "", "s"], ["a"]), helper.make_node("Clip", ["a", "low"], ["y"])],
        {"y": (1, 2, 8, 8)},
        {"s": np.array([1, 1, 2, 2], np.float32), "low": np.float32(0)},
    )
    assert counts.parameters == 0


def test_shapes_and_indices_are_no_parameters() -> None:
    counts = graph([helper.make_node("Reshape", ["x", "shape"], ["y"])], {"y": (1, 32)}, {"shape": np.array([1, 32])})
    assert counts.parameters == 0


@pytest.mark.parametrize(
    ("equation", "right", "output", "macs"),
    [
        ("bchw,dc->bdhw", (5, 2), (1, 5, 4, 4), 2 * 5 * 16),
        ("...hw,kw->...hk", (3, 4), (1, 2, 4, 3), 2 * 4 * 4 * 3),
        ("bchw,dc", (5, 2), (1, 5, 4, 4), 2 * 5 * 16),
        ("bchw,bchw->bchw", (1, 2, 4, 4), (1, 2, 4, 4), 0),
    ],
)
def test_an_einsum_counts_one_product_a_combination_of_indices(
    equation: str, right: tuple[int, ...], output: tuple[int, ...], macs: int
) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation=equation)
    assert graph([node], {"y": output}, {"w": np.ones(right, np.float32)}).macs == macs


def test_a_gemm_counts_by_the_side_that_is_summed() -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)
    counts = graph([node], {"y": (7, 3)}, {"w": np.ones((5, 3), np.float32)}, shape=(5, 7))
    assert counts.macs == 7 * 3 * 5


def test_free_sizes_leave_macs_and_memory_open() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    weights = {"w": np.ones((5, 2, 1, 1), np.float32)}
    counts = graph([node], {"y": (1, 5, "h", "w")}, weights, shape=(1, 2, "h", "w"))
    assert counts.macs is None and counts.peak_bytes is None and counts.activation_bytes is None
    assert [one.op for one in counts.uncounted] == ["Conv"]
    assert counts.parameters == 10


def test_an_operator_of_somebodys_own_leaves_macs_open() -> None:
    node = helper.make_node("Fused", ["x"], ["y"], domain="somebody", name="own")
    counts = graph([node], {"y": (1, 2, 4, 4)})
    assert counts.macs is None
    assert [(one.op, one.name) for one in counts.uncounted] == [("somebody.Fused", "own")]


def test_operators_are_listed_costliest_first() -> None:
    counts = graph(
        [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "w"], ["y"]),
        ],
        {"y": (1, 5, 4, 4)},
        {"w": np.ones((5, 2, 1, 1), np.float32)},
    )
    listed = [(one.op, one.nodes, one.parameters, one.macs) for one in counts.by_op()]
    assert listed == [("Conv", 1, 10, 160), ("Relu", 2, 0, 0)]
