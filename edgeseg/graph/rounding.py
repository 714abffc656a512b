"""Own the emulation of 16 bits in a float32 graph, for machines that have no products in them. Cast no graph."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.graph.access import infer_shapes
from edgeseg.graph.casting import LowPrecision, in_dtype, low_dtype, lowered
from edgeseg.graph.inserting import add_constant, insert_behind
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["rounded"]


def rounded(model: ir.Model, kind: LowPrecision, *, wide: Collection[str] = ()) -> ir.Model:
    """A copy of the graph that computes in float32 and rounds to 16 bits whatever ``lowered`` would hold in them.

    A runtime that has no kernel in 16 bits takes the casts of ``lowered`` out again, and infinity with them; a pair of
    casts that loses something is left alone (ONNX Runtime 1.31; OpenVINO 2026.4 removes these too). Sums inside a node
    are float32, as TensorRT's accumulators mostly are.

    Args:
        model: in float32, without quantisation, shapes inferred; left as it is.
        kind: what to round to.
        wide: names of nodes that stay in float32.
    """
    low, dtype = lowered(model, kind, wide=wide), low_dtype(kind)
    narrow_nodes = {
        node.name for node in low.graph if any(value is not None and value.dtype == dtype for value in node.inputs)
    }
    done: ir.Model = model.clone()
    pairs: dict[ir.Value, ir.Value] = {}
    for node in list(done.graph):
        if node.name in narrow_nodes:
            _round_inputs(done, node, dtype, pairs)
    infer_shapes(done)
    return done


def _round_inputs(model: ir.Model, node: ir.Node, dtype: ir.DataType, pairs: dict[ir.Value, ir.Value]) -> None:
    float32 = require("onnx_ir").DataType.FLOAT
    for index, value in enumerate(node.inputs):
        if value is None or value.dtype != float32:
            continue
        if value not in pairs:
            pairs[value] = _rounded(model, value, dtype)
        node.replace_input_with(index, pairs[value])


def _rounded(model: ir.Model, value: ir.Value, dtype: ir.DataType) -> ir.Value:
    onnx_ir = require("onnx_ir")
    name = f"{value.name}_rounded"
    if value.const_value is not None:
        return add_constant(model, name, in_dtype(value, dtype).astype(np.float32))
    tape = onnx_ir.tape.Tape()
    narrow = tape.op("Cast", [value], {"to": dtype.value})
    back: ir.Value = tape.op("Cast", [narrow], {"to": onnx_ir.DataType.FLOAT.value})
    narrow.name, back.name = f"{name}_narrow", name
    narrow.shape = back.shape = value.shape
    narrow.type, back.type = onnx_ir.TensorType(dtype), value.type
    for node in tape.nodes:
        node.name = node.outputs[0].name
    insert_behind(model, value, tape.nodes)
    return back
