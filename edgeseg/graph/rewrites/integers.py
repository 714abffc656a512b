"""Own the dtype of integers inside a graph: class ids and what is computed of them become int32. Touch no float.

TensorRT knows INT64, and takes an ArgMax with an int64 result wherever it stands; each id then costs eight bytes. It
refuses UINT8 and INT16 anywhere inside a network, and Resize of every integer ("Int64 but must have type Float, ...",
measured with TensorRT-RTX 1.7.1). So where the numbers are known to fit (an ArgMax counts up to the number of classes,
constants are what they are) int32 takes their place, and a nearest Resize works on float32, which holds whole numbers
up to 2**24. The numbers stay what they were, and so do the dtypes of the graph's outputs. Numbers of unknown size,
shapes, bounds of slices and constant indices are left alone: TensorRT takes them as int64, and ONNX wants most so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeseg.graph.access import constant_of
from edgeseg.graph.rewrites.bounds import bounds_of, fits
from edgeseg.graph.rewrites.building import Patch, Rewritten, is_op, numpy_type, required
from edgeseg.graph.rewrites.pixel_input import only_moves
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["apply"]

RULE = "integers"
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
ARITHMETIC = ("Add", "Sub", "Mul", "Concat")
REFUSED = tuple(np.dtype(one) for one in ("uint8", "int8", "uint16", "int16", "uint32", "uint64"))
INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)
EXACT_IN_FLOAT32 = 2**24
#: these take indices of either dtype, and Cast takes any
EITHER = {"Cast": 0, "Gather": 1, "GatherElements": 1}


def apply(model: ir.Model) -> list[Rewritten]:
    """Let nodes work on int32 (a Resize on float32) that take bounded integers of another dtype."""
    return _Narrowing(model).run()


class _Narrowing:
    """One walk down a graph; it remembers which int32 value holds the same numbers as a value of another dtype."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._bounds = bounds_of(model.graph)
        self._twins: dict[ir.Value, ir.Value] = {}

    def run(self) -> list[Rewritten]:
        done = []
        for node in list(self._model.graph):
            if is_op(node, *EITHER):
                done += self._offer_twin(node, EITHER[node.op_type])
            if self._is_narrowable(node):
                done.append(self._narrow(node))
        return done

    def _offer_twin(self, node: ir.Node, index: int) -> list[Rewritten]:
        value, patch = required(node, index), Patch(self._model, node, RULE)
        is_refused = _is_refused(value) and value in self._bounds and constant_of(value) is None
        if value not in self._twins and not is_refused:
            return []
        node.replace_input_with(index, self._twin(patch, value))
        return [patch.report("takes int32")]

    def _is_narrowable(self, node: ir.Node) -> bool:
        numbers = _numbers_of(node)
        results = [] if is_op(node, *COMPARISONS) else node.outputs
        bounds = [self._bounds.get(one) for one in (*numbers, *results)]
        is_weight = all(constant_of(one) is not None for one in numbers)  # or there are none
        if is_weight or not all(one is not None and fits(one, INT32) for one in bounds):
            return False
        if is_op(node, "Resize"):
            return all(one is not None and max(map(abs, one)) <= EXACT_IN_FLOAT32 for one in bounds)
        is_worth_it = not only_moves(node) or any(one in self._twins for one in numbers)
        return _is_refused(numbers[0]) or (numpy_type(numbers[0]) == INT64 and is_worth_it)

    def _narrow(self, node: ir.Node) -> Rewritten:
        patch, numbers, old = Patch(self._model, node, RULE), _numbers_of(node), node.outputs[0]
        inputs = [self._twin(patch, one) if one in numbers else one for one in node.inputs]
        if is_op(node, *COMPARISONS):
            return patch.replace(old, patch.like(node, inputs), "compares int32")
        new = _resized(patch, node, inputs) if is_op(node, "Resize") else patch.like(node, inputs)
        new.shape, new.type = old.shape, require("onnx_ir").TensorType(require("onnx_ir").DataType.INT32)
        back = patch.cast(new, old.dtype)
        self._twins[back], self._bounds[back] = new, self._bounds[old]
        return patch.replace(old, back, f"works on {'float32' if is_op(node, 'Resize') else 'int32'}")

    def _twin(self, patch: Patch, value: ir.Value) -> ir.Value:
        if value not in self._twins:
            self._twins[value] = _as_int32(patch, value)
        return self._twins[value]


def _numbers_of(node: ir.Node) -> list[ir.Value]:
    """The inputs of a node that share their dtype with its result, or with each other where it compares."""
    if is_op(node, "Where"):
        numbers = node.inputs[1:]
    elif is_op(node, *ARITHMETIC, *COMPARISONS):
        numbers = node.inputs
    else:
        numbers = node.inputs[:1] if only_moves(node) else ()
    return [one for one in numbers if one is not None]


def _is_refused(value: ir.Value | None) -> bool:
    return numpy_type(value) in REFUSED


def _as_int32(patch: Patch, value: ir.Value) -> ir.Value:
    """The same numbers; a Cast to a dtype that TensorRT refuses is passed over."""
    constant, producer = constant_of(value), value.producer()
    if numpy_type(value) == INT32:
        return value
    if constant is not None:
        return patch.constant(constant, INT32)
    if producer is not None and is_op(producer, "Cast") and _is_refused(value):
        value = required(producer, 0)
    return patch.cast(value, require("onnx_ir").DataType.INT32)


def _resized(patch: Patch, node: ir.Node, inputs: list[ir.Value | None]) -> ir.Value:
    """Nearest neighbours of whole numbers, taken in float32, as int32."""
    kinds, old = require("onnx_ir").DataType, node.outputs[0]
    resized = patch.like(node, [patch.cast(inputs[0], kinds.FLOAT), *inputs[1:]])
    resized.shape = old.shape
    return patch.cast(resized, kinds.INT32)
