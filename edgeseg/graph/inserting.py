"""Own the putting of constants and nodes into a graph, where no rule of rewriting does it. Decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["add_constant", "insert_behind"]


def add_constant(model: ir.Model, name: str, numbers: NDArray[Any], dtype: ir.DataType | None = None) -> ir.Value:
    """A new initializer, under the name or, where that is taken, under one that begins with it.

    Args:
        model: changed in place.
        name: of the initializer.
        numbers: of a dtype that has the size of ``dtype``.
        dtype: where NumPy's own does not tell it.
    """
    onnx_ir, taken, base, count = require("onnx_ir"), model.graph.initializers, name, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    tensor = onnx_ir.Tensor(numbers, dtype=dtype, name=name) if dtype else onnx_ir.tensor(numbers, name=name)
    kind = onnx_ir.TensorType(tensor.dtype)
    value: ir.Value = onnx_ir.Value(name=name, const_value=tensor, shape=tensor.shape, type=kind)
    model.graph.register_initializer(value)
    return value


def insert_behind(model: ir.Model, value: ir.Value, nodes: Sequence[ir.Node]) -> None:
    """Put nodes behind what makes a value; in front of the graph, if that is an input or a constant."""
    producer = value.producer()
    if producer is None:
        model.graph.insert_before(model.graph[0], nodes)
    else:
        model.graph.insert_after(producer, nodes)
