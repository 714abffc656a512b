"""Own ArgMax and ArgMin of a vector. Leave those of more axes alone.

TensorRT takes ArgMax anywhere in a graph, whatever becomes of its int64 result, but not of a tensor with one axis ("at
least 2 dimensions are required for input", TensorRT-RTX 1.7.1). Another axis of length 1 changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.graph.access import attribute, shape_of
from edgeseg.graph.rewrites.building import Patch, Rewritten, is_op, required

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["apply"]

RULE = "ranking"


def apply(model: ir.Model) -> list[Rewritten]:
    """Give every ArgMax and ArgMin of a vector a second axis."""
    vectors = [node for node in model.graph if is_op(node, "ArgMax", "ArgMin") and _has_one_axis(node)]
    return [_with_second_axis(model, node) for node in vectors]


def _has_one_axis(node: ir.Node) -> bool:
    shape = shape_of(node.inputs[0])
    return shape is not None and len(shape) == 1


def _with_second_axis(model: ir.Model, node: ir.Node) -> Rewritten:
    patch = Patch(model, node, RULE)
    last = attribute(node, "select_last_index", 0)
    best = patch.op(
        node.op_type,
        [patch.reshape(required(node, 0), (1, -1))],
        {"axis": 1, "keepdims": 0, "select_last_index": last},
    )
    old = node.outputs[0]
    return patch.replace(old, best if attribute(node, "keepdims", 1) else patch.reshape(best, ()), "of a row instead")
