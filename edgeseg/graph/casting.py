"""Own the casts that put a graph into float16 or bfloat16. Say not which nodes stay in float32."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.access import infer_shapes
from edgeseg.graph.inserting import add_constant, insert_behind
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["LowPrecision", "in_dtype", "low_dtype", "lowered"]

LowPrecision = Literal["fp16", "bf16"]
CAST = "Cast"
FLOAT16 = "tensor(float16)"


def lowered(model: ir.Model, kind: LowPrecision, *, wide: Collection[str] = ()) -> ir.Model:
    """A copy of the graph that computes in 16 bits, with casts around what stays in float32.

    Inputs and outputs of the graph keep their dtype. What ONNX does not let an operator take or give in float16 stays
    in float32 (the scales of a Resize, the boxes of a NonMaxSuppression), as do operators of other domains and nodes
    that hold a graph of their own.

    Args:
        model: in float32, without quantisation, shapes inferred; left as it is.
        kind: what to compute in.
        wide: names of nodes that stay in float32.
    """
    done: ir.Model = model.clone()
    _Lowering(done, kind, frozenset(wide)).run()
    require("onnx_ir.passes.common").RemoveUnusedNodesPass()(done)
    infer_shapes(done)
    return done


def low_dtype(kind: LowPrecision) -> ir.DataType:
    """What ONNX calls it."""
    dtypes = require("onnx_ir").DataType
    low: ir.DataType = {"fp16": dtypes.FLOAT16, "bf16": dtypes.BFLOAT16}[kind]
    return low


def in_dtype(constant: ir.Value, dtype: ir.DataType) -> NDArray[Any]:
    """The numbers of a constant; what the dtype does not reach is infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(constant.const_value.numpy()).astype(dtype.numpy())  # type: ignore[union-attr]


class _Lowering:
    """One pass in the order of the graph: every value has one home dtype, and is cast once where another is needed."""

    def __init__(self, model: ir.Model, kind: LowPrecision, wide: frozenset[str]) -> None:
        onnx_ir = require("onnx_ir")
        self._model, self._graph, self._wide = model, model.graph, wide
        self._float = onnx_ir.DataType.FLOAT
        self._low = low_dtype(kind)
        self._graph_kinds = (onnx_ir.AttributeType.GRAPH, onnx_ir.AttributeType.GRAPHS)
        self._homes = {value: value.dtype for value in self._floats()}
        self._casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def _floats(self) -> list[ir.Value]:
        values = [*self._graph.inputs, *self._graph.initializers.values()]
        values += [value for node in self._graph for value in node.outputs]
        return [value for value in values if value.dtype == self._float]

    def run(self) -> None:
        for node in list(self._graph):
            self._lower(node)
        for index, value in enumerate(self._graph.outputs):
            if value in self._homes and self._homes[value] != self._float:
                self._restore_output(index, value)

    def _lower(self, node: ir.Node) -> None:
        opset = self._graph.opset_imports.get("", 0)
        inputs, outputs = _narrow_places(node.op_type, node.domain, opset)
        is_wide = self._is_wide(node) or (node.op_type != CAST and not self._takes_low(node, inputs))
        for index, value in enumerate(node.inputs):
            if value is not None and value in self._homes:
                is_low = not is_wide and _among(index, inputs)
                node.replace_input_with(index, self._as(value, self._low if is_low else self._float))
        if is_wide:
            return
        if node.op_type == CAST:
            self._lower_cast(node)
            return
        for index, value in enumerate(node.outputs):
            if value in self._homes and _among(index, outputs):
                self._set(value, self._low)

    def _is_wide(self, node: ir.Node) -> bool:
        return node.name in self._wide or any(one.type in self._graph_kinds for one in node.attributes.values())

    def _takes_low(self, node: ir.Node, places: tuple[bool, ...]) -> bool:
        """What takes no number in 16 bits gives none: its output's dtype is an attribute's."""
        return any(value in self._homes and _among(index, places) for index, value in enumerate(node.inputs) if value)

    def _lower_cast(self, node: ir.Node) -> None:
        """A Cast to float32 from something else goes to 16 bits at once."""
        output = node.outputs[0]
        if output in self._homes:
            node.attributes["to"] = require("onnx_ir").AttrInt64("to", self._low.value)
            self._set(output, self._low)

    def _set(self, value: ir.Value, dtype: ir.DataType) -> None:
        self._homes[value] = dtype
        value.type = require("onnx_ir").TensorType(dtype)

    def _as(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        if self._homes[value] == dtype:
            return value
        key = (value, dtype)
        if key not in self._casts:
            is_constant = value.const_value is not None
            self._casts[key] = self._converted(value, dtype) if is_constant else self._cast(value, dtype)
        return self._casts[key]

    def _converted(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """A constant in another dtype beside the old one, which goes if nothing needs it."""
        return add_constant(self._model, f"{value.name}_{dtype.name.lower()}", in_dtype(value, dtype), dtype)

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        onnx_ir = require("onnx_ir")
        name = f"{value.name}_to_{dtype.name.lower()}"
        node = onnx_ir.node(CAST, [value], {"to": dtype.value}, name=name)
        new: ir.Value = node.outputs[0]
        new.name, new.shape, new.type = name, value.shape, onnx_ir.TensorType(dtype)
        insert_behind(self._model, value, [node])
        return new

    def _restore_output(self, index: int, value: ir.Value) -> None:
        """The graph's output keeps its name and dtype; what computes it takes another name."""
        name = value.name
        value.name = f"{name}_{self._low.name.lower()}"
        wide = self._cast(value, self._float)
        wide.name = name
        self._graph.outputs[index] = wide


def _among(index: int, places: tuple[bool, ...]) -> bool:
    """The last place of a schema stands for all that follow: Concat has one for any number of inputs."""
    return bool(places) and places[min(index, len(places) - 1)]


@functools.cache
def _narrow_places(op_type: str, domain: str, opset: int) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Which inputs and which outputs of an operator may be float16; none where ONNX does not know it.

    Asked for bfloat16 too: TensorRT takes both in the same places, ONNX got there operator by operator, up to opset 22.
    """
    defs = require("onnx").defs
    if domain or not defs.has(op_type):
        return (), ()
    schema = defs.get_schema(op_type, opset)
    return tuple(FLOAT16 in one.types for one in schema.inputs), tuple(FLOAT16 in one.types for one in schema.outputs)
