"""Own the static knowledge of what TensorRT refuses although it is sound ONNX. Change nothing, ask no parser.

A parser says only what its own version knows, in its own words; here stands why, where in the module tree, and what to
do. All of it was measured with the parser and builder of TensorRT-RTX 1.7.1, and is so in onnx-tensorrt's checks since
10.0. Resize cubic is not here: TensorRT has it since 8.5, and the parser takes every form of it but an antialiased one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.graph.access import attribute, described
from edgeseg.graph.rewrites.building import is_op, numpy_type

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Unsupported", "unsupported"]

#: why, and what to do
Words = tuple[str, str]

OPENVINO = "or take --backend openvino"
COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
NARROW = tuple(np.dtype(one) for one in ("uint8", "uint16", "int16", "uint32", "uint64"))
# onnx-tensorrt's own list of operators without a layer, as far as a segmentation net may have one
WITHOUT_LAYER = (
    *("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"),
    *("CenterCropPad", "Compress", "DFT", "Det", "MaxRoiPool", "Unique", "Bernoulli", "Multinomial"),
    *("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"),
)


@dataclass(frozen=True)
class Unsupported:
    """A node that TensorRT refuses (words of ``access.described``), why, and what the user can do."""

    node: str
    reason: str
    hint: str


def unsupported(model: ir.Model) -> list[Unsupported]:
    """What TensorRT is known to refuse in a graph; ask after ``rewrite``, which takes care of much of it.

    Shapes and dtypes have to be inferred. An empty list is no promise: the parser has the last word.
    """
    found = [(node, _judge(node)) for node in model.graph]
    return [Unsupported(described(node), *words) for node, words in found if words is not None]


def _judge(node: ir.Node) -> Words | None:
    if not is_op(node, node.op_type):
        return None
    if node.op_type in WITHOUT_LAYER:
        return f"TensorRT has no layer for {node.op_type}", f"build it of other operators in the net, {OPENVINO}"
    judge = _JUDGES.get(node.op_type)
    return (None if judge is None else judge(node)) or _of_input(node)


def _of_resize(node: ir.Node) -> Words | None:
    coordinates = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if attribute(node, "antialias", 0):
        return "TensorRT does not antialias", f"set antialias=False and shrink by average pooling, {OPENVINO}"
    if coordinates not in COORDINATES:
        return f"TensorRT has no {coordinates} coordinates", f"use align_corners=False or True, {OPENVINO}"
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return "TensorRT stretches only", f"give both sides of the new size, {OPENVINO}"
    if _kind(node.inputs[0]) in "biu":
        return f"TensorRT resizes no {numpy_type(node.inputs[0])}", f"cast to float32 before it, {OPENVINO}"
    return None


def _of_pool(node: ir.Node) -> Words | None:
    if set(attribute(node, "dilations", (1,))) != {1}:
        return "TensorRT pools without dilation only", f"use dilation=1, {OPENVINO}"
    if len(node.outputs) > 1 and node.outputs[1].name:
        return (
            "TensorRT gives no indices of maxima",
            f"unpool windows that lie side by side, to the pool's input size, {OPENVINO}",
        )
    return None


def _of_max_unpool(_: ir.Node) -> Words:
    return (
        "TensorRT has no MaxUnpool, and its windows overlap, pad or do not tile the pool's input",
        f"use kernel_size=2, stride=2 and sides that 2 divides, {OPENVINO}",
    )


def _of_col2im(_: ir.Node) -> Words:
    return (
        "TensorRT has no Col2Im, and its blocks do not lie side by side",
        f"use a stride as large as the block, without padding and dilation, {OPENVINO}",
    )


def _of_transposed(node: ir.Node) -> Words | None:
    if max(attribute(node, "strides", (1,))) == 1 or max(attribute(node, "dilations", (1,))) == 1:
        return None
    return "TensorRT has no transposed convolution with stride and dilation", f"use one of the two, {OPENVINO}"


def _of_scatter(node: ir.Node) -> Words | None:
    reduction = attribute(node, "reduction", "none")
    if reduction == "none":
        return None
    return f"TensorRT scatters without reduction, this one is {reduction}", f"sum over a one-hot mask, {OPENVINO}"


def _of_attention(_: ir.Node) -> Words:
    return "TensorRT-RTX ends the process where it builds an Attention without a GPU", f"use --opset 19, {OPENVINO}"


def _of_product(node: ir.Node) -> Words | None:
    if _kind(node.inputs[0]) not in "iu":
        return None
    return f"TensorRT multiplies no matrices of {numpy_type(node.inputs[0])}", f"cast to float32 before it, {OPENVINO}"


def _of_cast(node: ir.Node) -> Words | None:
    """Narrow integers live at inputs and outputs only."""
    made = node.outputs[0]
    if not _is_narrow(made) or not made.uses():
        return None
    return f"TensorRT has no {numpy_type(made)} inside a network", f"compute with int32 or float32, {OPENVINO}"


def _of_input(node: ir.Node) -> Words | None:
    taken = [one for one in node.inputs if one is not None and one.is_graph_input() and _is_narrow(one)]
    if not taken or is_op(node, "Cast"):
        return None
    return f"TensorRT lets only a Cast take a {numpy_type(taken[0])} input", f"cast to float32 first, {OPENVINO}"


_JUDGES: dict[str, Callable[[ir.Node], Words | None]] = {
    "Attention": _of_attention,
    "AveragePool": _of_pool,
    "Cast": _of_cast,
    "Col2Im": _of_col2im,
    "ConvTranspose": _of_transposed,
    "MatMul": _of_product,
    "MaxPool": _of_pool,
    "MaxUnpool": _of_max_unpool,
    "Resize": _of_resize,
    "ScatterND": _of_scatter,
}


def _kind(value: ir.Value | None) -> str:
    dtype = numpy_type(value)
    return "?" if dtype is None else dtype.kind


def _is_narrow(value: ir.Value) -> bool:
    return numpy_type(value) in NARROW
