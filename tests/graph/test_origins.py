"""The nodes behind the names that back ends give their layers' parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.graph.access import CLASS_HIERARCHY, NAME_SCOPES, infer_shapes
from edgeseg.graph.origins import Origin, origins_of

MACS = 8 * 8 * 4 * 3  # a 1x1 convolution 3 -> 4 at 8x8
STEM = ("Net", "stem (Block)", "stem.conv (Conv2d)")


@pytest.fixture(scope="module")
def model() -> ir.Model:
    """Conv 'conv' -> Relu 'act' in stem, and a Conv without a module that makes the output 'logits'."""
    kernels = [np.zeros((4, 3, 1, 1), np.float32), np.zeros((2, 4, 1, 1), np.float32)]
    nodes = [
        helper.make_node("Conv", ["image", "k0"], ["convolved"], name="conv"),
        helper.make_node("Relu", ["convolved"], ["active"], name="act"),
        helper.make_node("Conv", ["active", "k1"], ["logits"], name="head"),
    ]
    ends = [helper.make_tensor_value_info(*one) for one in (
        ("image", TensorProto.FLOAT, (1, 3, 8, 8)), ("logits", TensorProto.FLOAT, (1, 2, 8, 8)),
    )]  # fmt: skip
    weights = [numpy_helper.from_array(one, f"k{index}") for index, one in enumerate(kernels)]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    made: ir.Model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9))
    infer_shapes(made)
    for node, leaf, kind in zip(list(made.graph)[:2], ("stem.conv", "stem.act"), ("Conv2d", "ReLU"), strict=True):
        node.metadata_props[NAME_SCOPES] = repr(["", "stem", leaf, "operator"])
        node.metadata_props[CLASS_HIERARCHY] = repr(["nets.Net", "Block", kind, "aten.operator"])
    return made


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["conv"], Origin(nodes=("conv",), modules=STEM, macs=MACS)),
        (["conv/WithoutBiases", "Multiply_7", "act"], Origin(nodes=("conv", "act"), modules=STEM, macs=MACS)),
        (["act", "conv"], Origin(nodes=("act", "conv"), modules=STEM, macs=MACS)),
        (["logits"], Origin(nodes=("head",), macs=8 * 8 * 2 * 4)),
        (["active_QuantizeLinear"], Origin(nodes=("act",), modules=(*STEM[:2], "stem.act (ReLU)"), macs=0)),
        (["image_QuantizeLinear"], Origin(macs=0)),
        (["Reorder_of_the_back_end"], Origin()),
        ([], Origin()),
    ],
)
def test_a_layer_is_of_the_nodes_that_its_names_tell(model: ir.Model, names: Sequence[str], expected: Origin) -> None:
    assert origins_of([names], model) == (expected,)


def test_a_nodes_operations_are_counted_once(model: ir.Model) -> None:
    first, again = origins_of([["conv"], ["conv", "act"]], model)
    assert (first.macs, again.macs) == (MACS, 0)


def test_rounding_to_codes_takes_no_operations_from_the_layer_that_multiplies(model: ir.Model) -> None:
    rounding, convolution = origins_of([["convolved_QuantizeLinear"], ["conv"]], model)
    assert (rounding.nodes, rounding.macs, convolution.macs) == (("conv",), 0, MACS)
