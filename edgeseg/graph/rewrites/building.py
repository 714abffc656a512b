"""Own how a rule puts new nodes in an old one's place: their names, notes and constants. Know no rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from edgeseg.graph.access import described
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Patch", "Rewritten", "is_standard", "new_constant"]


@dataclass(frozen=True)
class Rewritten:
    """One change that a rule made: which rule, on which node (words of ``access.described``), and what it did."""

    rule: str
    node: str
    detail: str


class Patch:
    """New nodes in front of an old one, with its notes on where it came from and names made of its name.

    Args:
        model: changed in place.
        node: the old one; it stays until nothing uses it and ``rewrite`` removes what is unused.
        rule: the last word of the new names.
    """

    def __init__(self, model: ir.Model, node: ir.Node, rule: str) -> None:
        self._graph = model.graph
        self._node = node
        self._prefix = f"{node.name or node.outputs[0].name}_{rule}"
        self._count = 0

    def op(self, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Any] | None = None) -> Any:
        """Add a node with one output (an ``ir.Value``) and return that; its shape is inferred later."""
        self._count += 1
        name = f"{self._prefix}_{op_type}_{self._count}"
        node = require("onnx_ir").node(
            op_type, inputs, attributes, name=name, metadata_props=dict(self._node.metadata_props)
        )
        node.outputs[0].name = name
        self._graph.insert_before(self._node, node)
        return node.outputs[0]

    def constant(self, values: ArrayLike, dtype: Any) -> Any:
        """A new initializer (an ``ir.Value``) of a NumPy dtype."""
        self._count += 1
        return new_constant(self._graph, f"{self._prefix}_{self._count}", np.asarray(values, dtype))

    def reshape(self, value: ir.Value, shape: Sequence[int]) -> Any:
        """``value`` in another shape of as many elements."""
        return self.op("Reshape", [value, self.constant(list(shape), np.int64)])

    def replace(self, old: ir.Value, new: ir.Value, detail: str) -> Rewritten:
        """Let everything that used ``old``, graph outputs too, use ``new`` under the old name, and say so."""
        new.shape, new.type = old.shape, old.type
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        if old.name:
            old.name, new.name = f"{old.name}_old", old.name
        return Rewritten(self._prefix.rpartition("_")[2], described(self._node), detail)


def new_constant(graph: ir.Graph, name: str, array: np.ndarray[Any, Any]) -> Any:
    """A new initializer (an ``ir.Value``) of a graph, under that name or one close to it."""
    onnx_ir = require("onnx_ir")
    while name in graph.initializers:
        name += "_"
    tensor = onnx_ir.tensor(array, name=name)
    value = onnx_ir.Value(name=name, const_value=tensor, shape=tensor.shape, type=onnx_ir.TensorType(tensor.dtype))
    graph.register_initializer(value)
    return value


def is_standard(node: ir.Node, *op_types: str) -> bool:
    """Whether a node is one of those operators of ONNX itself, not of a domain that only has the name."""
    return node.op_type in op_types and node.domain in ("", "ai.onnx")
