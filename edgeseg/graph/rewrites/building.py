"""Own how a rule puts new nodes in an old one's place: their names, notes and constants. Know no rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from edgeseg.errors import ModelError
from edgeseg.graph.access import described
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Patch", "Rewritten", "is_op", "numpy_type", "required", "through"]


@dataclass(frozen=True)
class Rewritten:
    """One change: the rule that made it, the node (words of ``access.described``), and what the rule did."""

    rule: str
    node: str
    detail: str


class Patch:
    """New nodes in front of an old one, with its notes on where it came from and names made of its name.

    Args:
        model: changed in place; the old node stays until ``rewrite`` removes what nothing uses.
        node: the old one.
        rule: the rule that makes them, for names and for the report.
    """

    def __init__(self, model: ir.Model, node: ir.Node, rule: str) -> None:
        self._graph = model.graph
        self._node = node
        self._rule = rule
        self._described = described(node)
        self._count = 0

    def op(
        self, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Any] | None = None
    ) -> ir.Value:
        """Add a node and return its one output, whose shape is inferred later."""
        name = self._new_name(op_type.lower())
        node = require("onnx_ir").node(
            op_type, inputs, attributes, name=name, metadata_props=dict(self._node.metadata_props)
        )
        output: ir.Value = node.outputs[0]
        output.name = name
        self._graph.insert_before(self._node, node)
        return output

    def constant(self, values: ArrayLike, dtype: Any) -> ir.Value:
        """A new initializer of a NumPy dtype."""
        onnx_ir = require("onnx_ir")
        tensor = onnx_ir.tensor(np.asarray(values).astype(dtype), name=self._new_name("constant"))
        kind = onnx_ir.TensorType(tensor.dtype)
        value: ir.Value = onnx_ir.Value(name=tensor.name, const_value=tensor, shape=tensor.shape, type=kind)
        self._graph.register_initializer(value)
        return value

    def like(self, node: ir.Node, inputs: Sequence[ir.Value | None]) -> ir.Value:
        """The same operator as ``node``, with the same attributes, on other inputs."""
        return self.op(node.op_type, inputs, dict(node.attributes))

    def reshape(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        """``value`` in another shape of as many elements."""
        return self.op("Reshape", [value, self.constant(shape, np.int64)])

    def cast(self, value: ir.Value | None, dtype: ir.DataType | None) -> ir.Value:
        """``value`` in another dtype, which is noted on the result; both are known.

        Raises:
            ModelError: the dtype could not be inferred.
        """
        if value is None or dtype is None:
            raise ModelError(f"{self._described} has values of unknown dtype", "export the net again")
        result = self.op("Cast", [value], {"to": dtype.value})
        result.type, result.shape = require("onnx_ir").TensorType(dtype), value.shape
        return result

    def replace(self, old: ir.Value, new: ir.Value, detail: str) -> Rewritten:
        """Let whatever used ``old``, graph outputs too, use ``new`` under the old name, and say so."""
        new.shape, new.type = old.shape, old.type
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name, new.name = new.name, old.name
        return self.report(detail)

    def report(self, detail: str) -> Rewritten:
        """What is said of the change."""
        return Rewritten(self._rule, self._described, detail)

    def _new_name(self, part: str) -> str:
        self._count += 1
        return f"{self._node.name or self._node.outputs[0].name}_{self._rule}_{part}_{self._count}"


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """Whether a node is one of those operators of ONNX itself, not of a domain that only shares the name."""
    return node is not None and node.op_type in op_types and node.domain in ("", "ai.onnx")


def numpy_type(value: ir.Value | None) -> np.dtype[Any] | None:
    """The NumPy dtype of a value's elements, where it is known."""
    return None if value is None or value.dtype is None else np.dtype(value.dtype.numpy())


def required(node: ir.Node, index: int) -> ir.Value:
    """An input that ONNX demands of a node.

    Raises:
        ModelError: it is left out.
    """
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        raise ModelError(f"{described(node)} lacks its input {index}", "export the net again; onnx.checker says more")
    return value


def through(value: ir.Value | None, *op_types: str) -> ir.Value | None:
    """The value before a chain of those operators, which each hand on their first input."""
    while value is not None and (node := value.producer()) is not None and is_op(node, *op_types):
        value = node.inputs[0]
    return value
