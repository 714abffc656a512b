"""Own Slice with int32 bounds. Leave int64 bounds alone.

The parser of TensorRT-RTX 1.7.1 refuses a Slice with axes but no steps where the bounds are int32 ("Slice steps length
4 does not equal starts length 1", measured); with steps it takes it. Steps of 1 are ONNX's default, so saying them
changes nothing. PyTorch's graphs have int64 bounds, other converters' often int32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeseg.graph.access import constant_of
from edgeseg.graph.rewrites.building import Patch, Rewritten, is_op, numpy_type

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["apply"]

RULE = "slicing"


def apply(model: ir.Model) -> list[Rewritten]:
    """Say the steps of every Slice that has int32 bounds and axes."""
    return [_with_steps(model, node) for node in model.graph if is_op(node, "Slice") and _lacks_steps(node)]


def _lacks_steps(node: ir.Node) -> bool:
    has_axes = len(node.inputs) > 3 and node.inputs[3] is not None
    has_steps = len(node.inputs) > 4 and node.inputs[4] is not None
    starts = node.inputs[1]
    return has_axes and not has_steps and constant_of(starts) is not None and numpy_type(starts) == np.int32


def _with_steps(model: ir.Model, node: ir.Node) -> Rewritten:
    patch = Patch(model, node, RULE)
    node.resize_inputs(5)
    node.replace_input_with(4, patch.constant(np.ones_like(constant_of(node.inputs[1])), np.int32))
    return patch.report("steps of 1 written down")
