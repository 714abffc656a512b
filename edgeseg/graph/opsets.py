"""Own the raising of a graph to the opset that a precision needs. Lower none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.errors import ModelError
from edgeseg.graph.access import infer_shapes
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["at_least"]


def at_least(model: ir.Model, opset: int) -> ir.Model:
    """The same graph in ``opset``, or as it is where it is as new; torch's notes on its nodes are kept.

    Raises:
        ModelError: an operator cannot be converted.
    """
    if model.opset_imports.get("", 0) >= opset:
        return model
    onnx, onnx_ir = require("onnx"), require("onnx_ir")
    notes = {node.name: dict(node.metadata_props) for node in model.graph}
    onnx_ir.external_data.load_to_model(model)
    try:
        converted = onnx.version_converter.convert_version(onnx_ir.to_proto(model), opset)
    except RuntimeError as error:
        raise ModelError(
            f"opset {model.opset_imports.get('', 0)} cannot be raised to {opset} ({str(error).splitlines()[0]})",
            f"export the net with opset {opset} or newer",
        ) from error
    raised: ir.Model = onnx_ir.from_proto(converted)
    for node in raised.graph:
        node.metadata_props.update(notes.get(node.name, {}))
    infer_shapes(raised)
    return raised
