"""Own the ONNX operator set of an exported graph: going down to 17, and proof of what was asked. Trace nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.errors import ModelError
from edgeseg.graph.access import attribute, constant_of, described, shape_of
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["TORCH_OPSET", "check_opset", "lower_to_17"]

#: the lowest that torch's exporter has operators for
TORCH_OPSET = 18
REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")


class _NotIn17(Exception):  # noqa: N818  # no error: it carries the reason
    """What of a node opset 17 has no word for."""


def lower_to_17(model: ir.Model) -> None:
    """Turn a graph of opset 18 into one of opset 17; in place.

    Each operator that changed in 18 is written as 17 has it (onnx/docs/Changelog.md); ONNX's own converter knows no
    way down for Resize, Pad and Split (1.21).

    Raises:
        ModelError: an operator, or what is asked of it, came with opset 18.
    """
    for node in list(model.graph.all_nodes()):
        if not _changed_in_18(node):
            continue
        try:
            LOWERED.get(node.op_type, _refuse)(node)
        except _NotIn17 as reason:
            raise ModelError(f"opset 17 has no {described(node)} ({reason})", "export with --opset 18") from reason
        node.version = None
    model.graph.opset_imports[""] = 17


def check_opset(model: ir.Model, opset: int) -> None:
    """Raise ModelError unless the graph is of that opset, with ONNX's own operators alone."""
    found = model.graph.opset_imports.get("")
    if found != opset:
        raise ModelError(f"torch's exporter made opset {found} where {opset} was asked", "choose another --opset")
    strange = next((node for node in model.graph.all_nodes() if node.domain not in ("", "ai.onnx")), None)
    if strange is not None:
        raise ModelError(
            f"{described(strange)} is of the operator set '{strange.domain}', which back ends do not know",
            "write it with other operators",
        )


def _changed_in_18(node: ir.Node) -> bool:
    defs = require("onnx").defs
    return bool(defs.has(node.op_type) and defs.get_schema(node.op_type, 18).since_version == 18)


def _refuse(node: ir.Node) -> None:
    raise _NotIn17(f"{node.op_type} is new or another there")


def _drop(node: ir.Node, name: str, neutral: object) -> None:
    """Take off an attribute that 17 has not, where it does nothing."""
    value = attribute(node, name, neutral)
    if value != neutral:
        raise _NotIn17(f"{name} {value}")
    node.attributes.pop(name, None)


def _resize(node: ir.Node) -> None:
    _drop(node, "antialias", 0)
    _drop(node, "keep_aspect_ratio_policy", "stretch")
    _drop(node, "axes", None)


def _reduction(node: ir.Node) -> None:
    """Axes were an attribute; without them everything is reduced."""
    onnx_ir = require("onnx_ir")
    given = node.inputs[1] if len(node.inputs) > 1 else None
    axes = constant_of(given)
    if given is not None and axes is None:
        raise _NotIn17("axes that the graph computes")
    if axes is None or not axes.size:
        _drop(node, "noop_with_empty_axes", 0)
    else:
        node.attributes["axes"] = onnx_ir.AttrInt64s("axes", [int(axis) for axis in axes.ravel()])
    node.attributes.pop("noop_with_empty_axes", None)
    node.resize_inputs(1)


def _split(node: ir.Node) -> None:
    """Without sizes, all parts were equal."""
    count = attribute(node, "num_outputs")
    node.attributes.pop("num_outputs", None)
    if count is None or (len(node.inputs) > 1 and node.inputs[1] is not None):
        return
    axis, shape = attribute(node, "axis", 0), shape_of(node.inputs[0])
    if shape is None or shape[axis] % count:
        raise _NotIn17("parts that are not equal")


def _pad(node: ir.Node) -> None:
    """There were no axes: what they leave out is padded by 0."""
    if len(node.inputs) < 4 or node.inputs[3] is None:
        node.resize_inputs(min(len(node.inputs), 3))
        return
    onnx_ir = require("onnx_ir")
    data, pads, axes = node.inputs[0], constant_of(node.inputs[1]), constant_of(node.inputs[3])
    if data is None or data.shape is None or pads is None or axes is None:
        raise _NotIn17("axes or pads that the graph computes")
    rank = len(data.shape)
    full = np.zeros((2, rank), np.int64)
    full[:, axes.ravel() % rank] = pads.reshape(2, -1)
    tape = onnx_ir.tape.Tape(node.graph)
    node.replace_input_with(1, tape.initializer(onnx_ir.tensor(full.ravel(), name=f"{node.name}_pads")))
    node.resize_inputs(3)


def _scatter(node: ir.Node) -> None:
    if attribute(node, "reduction", "none") not in ("none", "add", "mul"):
        raise _NotIn17(f"reduction {attribute(node, 'reduction')}")


def _mish(node: ir.Node) -> None:
    """x * tanh(softplus(x))."""
    onnx_ir = require("onnx_ir")
    (data,), (made,) = node.inputs, node.outputs
    tape = onnx_ir.tape.Tape()
    soft = tape.op("Softplus", [data])
    new = tape.op("Mul", [data, tape.op("Tanh", [soft])])
    new.dtype, new.shape = made.dtype, made.shape
    for one in tape.nodes:
        one.name = f"{node.name}_{one.op_type.lower()}"
        one.metadata_props.update(node.metadata_props)
    onnx_ir.convenience.replace_nodes_and_values(node.graph, node, [node], list(tape.nodes), [made], [new])


LOWERED: dict[str, Callable[[ir.Node], None]] = {
    "Mish": _mish,
    "Pad": _pad,
    "Resize": _resize,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "Split": _split,
    **{f"Reduce{kind}": _reduction for kind in REDUCTIONS},
}
