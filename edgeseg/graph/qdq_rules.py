"""Own the rules that quantisation in a graph must keep for every back end to take it as it was meant. Mend nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.errors import BuildError
from edgeseg.graph.access import attribute, constant_of, described
from edgeseg.graph.qdq import DEQUANTIZE, QUANTIZE, channel_axis

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["COPIES", "Violation", "check_qdq", "violations"]

#: operators that move numbers and compute none; quantisation moves across them by itself
COPIES = (
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Shape", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
BIAS_INDEX = 2
BIASED = ("Conv", "ConvTranspose", "Gemm")
#: the first opset whose QuantizeLinear takes scales in float16, and codes in 8-bit floating point
SMALL_FLOAT_OPSET = 19
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A node that breaks a rule, in the words of ``access.described``, and how."""

    node: str
    rule: str


def check_qdq(model: ir.Model) -> None:
    """Refuse a graph whose quantisation breaks a rule.

    Raises:
        BuildError: names the first nodes and rules.
    """
    found = list(violations(model))
    if found:
        told = "; ".join(f"{one.node}: {one.rule}" for one in found[:SHOWN])
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise BuildError(
            f"the graph is quantised as TensorRT does not take it: {told}{more}",
            "quantise the float32 net with 'edgeseg quantize'",
        )


def violations(model: ir.Model) -> Iterator[Violation]:
    """What breaks a rule, in the order of the graph.

    The rules are TensorRT's for explicit quantisation (developer guide, "Working with Quantized Types"): symmetric,
    zero point a constant 0, activations with one scale, weights with one scale or one an output channel, whole pairs;
    none on a bias, none in front of a copy, and opset 19 where scales are float16 or codes are FP8.
    """
    opset = model.opset_imports.get("", 0)
    for node in model.graph:
        if node.op_type in (QUANTIZE, DEQUANTIZE):
            rules = [*_scale_rules(node), *_pair_rules(node), *_opset_rules(node, opset)]
            if node.op_type == DEQUANTIZE:
                rules += _consumer_rules(node)
            yield from (Violation(node=described(node), rule=rule) for rule in rules)


def _scale_rules(node: ir.Node) -> Iterator[str]:
    scale = constant_of(node.inputs[1])
    if scale is None:
        yield "its scale is no constant"
        return
    numbers = scale.astype(np.float32)
    if not (np.isfinite(numbers).all() and (numbers > 0).all()):
        yield f"its scale must be above 0 and finite, it goes from {numbers.min():g} to {numbers.max():g}"
    zero_value = node.inputs[BIAS_INDEX] if len(node.inputs) > BIAS_INDEX else None
    zero = constant_of(zero_value)
    if zero_value is not None and zero is None:
        yield "its zero point is no constant"
    elif zero is None and node.op_type == QUANTIZE:
        yield "it has no zero point, so its codes are unsigned"
    elif zero is not None and zero.astype(np.float32).any():
        yield f"its zero point is {zero.astype(np.float32).flat[np.flatnonzero(zero)[0]]:g}, it must be 0"
    elif zero is not None and zero.dtype == np.uint8:
        yield "its codes are unsigned (uint8), they must be int8"


def _pair_rules(node: ir.Node) -> Iterator[str]:
    """A QuantizeLinear is followed by nothing but a DequantizeLinear of the same scale."""
    if node.op_type == DEQUANTIZE:
        before = node.inputs[0].producer() if node.inputs[0] is not None else None
        if (before is None or before.op_type != QUANTIZE) and constant_of(node.inputs[0]) is None:
            yield "what it takes is not quantised"
        return
    users = [user for user, _ in node.outputs[0].uses()]
    if not users or any(user.op_type != DEQUANTIZE for user in users):
        yield "its codes must go to a DequantizeLinear and nowhere else"
    scale = constant_of(node.inputs[1])
    for user in users:
        other = constant_of(user.inputs[1]) if user.op_type == DEQUANTIZE else None
        if scale is not None and other is not None and not np.array_equal(scale, other):
            yield f"its scale is not that of {described(user)}"


def _opset_rules(node: ir.Node, opset: int) -> Iterator[str]:
    small = [value for value in node.inputs[1:] if value is not None and _is_small_float(value)]
    if small and opset < SMALL_FLOAT_OPSET:
        yield f"opset {opset} has no {small[0].dtype.name} there, {SMALL_FLOAT_OPSET} has"  # type: ignore[union-attr]


def _is_small_float(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point() and value.dtype.itemsize < 4


def _consumer_rules(node: ir.Node) -> Iterator[str]:
    scale, axis = constant_of(node.inputs[1]), int(attribute(node, "axis", 1))
    output = node.outputs[0]
    if output.is_graph_output():
        yield "it is an output of the net"
    for user, index in output.uses():
        if user.op_type in COPIES:
            yield f"it stands in front of {described(user)}, which copies"
        if user.op_type in BIASED and index == BIAS_INDEX:
            yield f"it quantises the bias of {described(user)}"
        if scale is not None and scale.size > 1 and axis != channel_axis(user, index):
            yield f"it has {scale.size} scales along axis {axis} of input {index} of {described(user)}"
