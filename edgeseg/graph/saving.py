"""Own the writing of a graph to ONNX files, with its weights beside it where one file cannot hold them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["save_graph", "weight_bytes"]

# protobuf ends at 2 GiB; the graph itself needs some of it
INSIDE_BYTES = 1_800_000_000


def weight_bytes(model: ir.Model) -> int:
    """Of all initializers."""
    values = [value for graph in model.graphs() for value in graph.initializers.values()]
    return sum(value.const_value.nbytes for value in values if value.const_value is not None)


def save_graph(model: ir.Model, path: Path, *, inside_bytes: int = INSIDE_BYTES) -> Path | None:
    """Write ``net.onnx``, and ``net.onnx.data`` where the weights take more than ``inside_bytes``.

    Returns:
        The file of the weights, if there is one.
    """
    onnx_ir = require("onnx_ir")
    if weight_bytes(model) <= inside_bytes:
        onnx_ir.external_data.load_to_model(model)
        onnx_ir.save(model, path)
        return None
    weights = path.with_name(path.name + ".data")
    onnx_ir.save(model, path, external_data=weights.name)
    return weights
