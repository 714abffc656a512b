"""Own the dtype that a graph's scores leave in. Choose no scale, decide no precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeseg.graph.inserting import add_constant
from edgeseg.packages import require
from edgeseg.spec import HeadSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["with_scores"]


def with_scores(model: ir.Model, head: HeadSpec) -> ir.Model:
    """A copy of a graph whose output has the dtype that its head says, under the same name.

    float16 takes a Cast at the end, or leaves one out that leads to float32; int8 takes a QuantizeLinear by the
    head's scale, with a zero point of 0: codes are -128 to 127, and larger scores stay at the ends.

    Args:
        model: its output is ``head.output``, float32; static or open; left as it is.
        head: what the output shall be; of finished ids nothing changes.
    """
    done: ir.Model = model.clone()
    if head.decision == "ids" or head.scores_dtype == "float32":
        return done
    dtypes = require("onnx_ir").DataType
    (value,) = done.graph.outputs
    producer = value.producer()
    if head.scores_dtype == "int8":
        scale = add_constant(done, f"{head.output}_scale", np.float32(head.scale).reshape(()))
        zero = add_constant(done, f"{head.output}_zero", np.zeros((), np.int8))
        _end_with(done, "QuantizeLinear", [value, scale, zero], {}, dtypes.INT8)
    elif (
        producer is not None and producer.op_type == "Cast" and _is_half(producer.inputs[0]) and len(value.uses()) == 0
    ):
        _end_before(done, producer)
    else:
        _end_with(done, "Cast", [value], {"to": dtypes.FLOAT16.value}, dtypes.FLOAT16)
    return done


def _is_half(value: ir.Value | None) -> bool:
    """Whether a node gives it in float16, for this use alone; an image that is float16 is another matter."""
    half = require("onnx_ir").DataType.FLOAT16
    return value is not None and value.dtype == half and value.producer() is not None and len(value.uses()) == 1


def _end_before(model: ir.Model, cast: ir.Node) -> None:
    """Let the graph end with what its last Cast is made of."""
    (old,), new = cast.outputs, cast.inputs[0]
    if new is None:
        return
    name = old.name
    model.graph.outputs[:] = [new]
    model.graph.remove(cast, safe=True)
    new.name, new.shape = name, old.shape


def _end_with(model: ir.Model, op: str, inputs: list[ir.Value], attributes: dict[str, int], dtype: ir.DataType) -> None:
    onnx_ir, old = require("onnx_ir"), inputs[0]
    name = str(old.name)
    node = onnx_ir.node(op, inputs, attributes, name=f"{name}_{dtype.name.lower()}")
    new = node.outputs[0]
    new.type, new.shape = onnx_ir.TensorType(dtype), old.shape
    model.graph.outputs[:] = [new]
    old.name, new.name = f"{name}_wide", name
    model.graph.append(node)
