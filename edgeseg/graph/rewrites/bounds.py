"""Own what is known of the size of integers in a graph: class ids are small. Change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeseg.graph.access import attribute, constant_of, shape_of
from edgeseg.graph.rewrites.building import is_op, numpy_type
from edgeseg.graph.rewrites.pixel_input import only_moves

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Bounds", "bounds_of", "fits"]

#: the smallest and the largest number that a value can hold
Bounds = tuple[int, int]

_ARITHMETIC: dict[str, Callable[[Bounds, Bounds], Bounds]] = {
    "Add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "Sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "Mul": lambda a, b: (min(products := [x * y for x in a for y in b]), max(products)),
}


def bounds_of(graph: ir.Graph) -> dict[ir.Value, Bounds]:
    """The bounds of integers and booleans that go back to constants, comparisons, ArgMax and 8-bit values.

    Where a sum or a product might wrap around in its dtype, nothing is said of it.
    """
    found: dict[ir.Value, Bounds] = {}
    for node in graph:
        for value in node.inputs:
            _note(found, value, _at_sight(value))
        _note(found, node.outputs[0], _after(node, [found.get(one) for one in node.inputs if one is not None]))
    return found


def fits(bounds: Bounds, dtype: np.dtype[Any] | None) -> bool:
    """Whether an integer or boolean dtype holds all numbers within bounds."""
    if dtype is None or dtype.kind not in "biu":
        return False
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return bool(low <= bounds[0] and bounds[1] <= high)


def _note(found: dict[ir.Value, Bounds], value: ir.Value | None, bounds: Bounds | None) -> None:
    if value is not None and bounds is not None and fits(bounds, numpy_type(value)):
        found[value] = bounds


def _at_sight(value: ir.Value | None) -> Bounds | None:
    """Of a boolean, or of a constant of integers."""
    dtype = None if value is None else numpy_type(value)
    if dtype is None or dtype.kind not in "biu":
        return None
    if dtype.kind == "b":
        return 0, 1
    numbers = constant_of(value)
    return None if numbers is None or not numbers.size else (int(numbers.min()), int(numbers.max()))


def _after(node: ir.Node, inputs: list[Bounds | None]) -> Bounds | None:
    """Of a node's first output."""
    if is_op(node, "ArgMax", "ArgMin"):
        return _of_index(node)
    if is_op(node, "Cast"):
        return inputs[0] or _of_8_bits(node.inputs[0])
    parts = inputs[1:] if is_op(node, "Where") else inputs if is_op(node, "Concat") else inputs[:1]
    if is_op(node, "Where") or only_moves(node):
        return _union(parts)
    if is_op(node, *_ARITHMETIC) and inputs[0] is not None and inputs[1] is not None:
        return _ARITHMETIC[node.op_type](inputs[0], inputs[1])
    return None


def _of_index(node: ir.Node) -> Bounds | None:
    shape = shape_of(node.inputs[0])
    return None if not shape else (0, shape[attribute(node, "axis", 0)] - 1)


def _of_8_bits(value: ir.Value | None) -> Bounds | None:
    dtype = None if value is None else numpy_type(value)
    if dtype not in (np.uint8, np.int8):
        return None
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def _union(parts: list[Bounds | None]) -> Bounds | None:
    known = [one for one in parts if one is not None]
    return (min(a for a, _ in known), max(b for _, b in known)) if known and len(known) == len(parts) else None
