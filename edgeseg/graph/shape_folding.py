"""Own the computing of what a graph makes of its own shapes, once its input has one. Fold no weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.access import attribute, constant_of, infer_shapes, shape_of
from edgeseg.graph.inserting import add_constant

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["fold_shapes"]

#: what the opening of a graph computes with; ONNX's own inference follows these into Resize and Reshape, not into Slice
NUMBERS: Mapping[str, Callable[..., NDArray[Any]]] = {
    "Add": np.add,
    "Div": np.floor_divide,
    "Gather": np.take,
    "Mul": np.multiply,
}
INT32 = 6  # ONNX's number of it


def fold_shapes(model: ir.Model) -> None:
    """Infer all shapes; what is computed of known shapes becomes constants, from which more shapes follow; in place."""
    infer_shapes(model)
    while _fold(model):
        infer_shapes(model)


def _fold(model: ir.Model) -> bool:
    """One pass over the graph; whether it found something."""
    found = False
    for node in list(model.graph):
        numbers = _computed(node) if node.outputs[0].uses() and not node.domain else None
        if numbers is not None:
            output = node.outputs[0]
            output.replace_all_uses_with(add_constant(model, f"{output.name}_folded", numbers))
            found = True
    return found


def _computed(node: ir.Node) -> NDArray[Any] | None:
    if node.op_type == "Shape" and not node.attributes:
        shape = shape_of(node.inputs[0])
        return None if shape is None else np.array(shape, np.int64)
    if node.op_type not in (*NUMBERS, "Concat", "Cast"):
        return None
    given = [constant_of(value) for value in node.inputs]
    known = [one for one in given if one is not None]
    if len(known) != len(given) or any(one.dtype.kind != "i" or one.ndim > 1 for one in known):
        return None
    if node.op_type == "Concat":
        return np.concatenate(known)
    if node.op_type == "Cast":
        return known[0].astype(np.int32) if attribute(node, "to") == INT32 else None
    return NUMBERS[node.op_type](*known)
