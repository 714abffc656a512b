"""Own fixed shapes and the folding of what they make constant. Cut nothing, replace no operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.graph.access import infer_shapes
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["simplified", "with_input_shape"]

# a constant above this stays computed: torch's unpooling alone would put 134 MB of zeros into a plan at 512x1024
FOLDED_BYTES = 1 << 24


def with_input_shape(model: ir.Model, shape: tuple[int, ...]) -> ir.Model:
    """The graph with one shape of its image for good; what that makes of other shapes is yet to be inferred.

    Args:
        model: with one input; left as it is.
        shape: of the image, in the graph's own layout.
    """
    fixed: ir.Model = model.clone()
    for node in fixed.graph.all_nodes():
        for value in node.outputs:
            value.shape = None  # inferred again; a name of a free dimension would win over a number
    fixed.graph.inputs[0].shape = require("onnx_ir").Shape(shape)
    return fixed


def simplified(model: ir.Model) -> ir.Model:
    """The same graph after onnxslim: constants folded, batch norms in their convolutions, doubles and dead ends gone.

    Torch's notes on where a node came from are kept wherever the node is.
    """
    onnx_ir, onnxslim = require("onnx_ir"), require("onnxslim")
    notes = {node.name: dict(node.metadata_props) for node in model.graph}
    onnx_ir.external_data.load_to_model(model)  # onnxslim would look for them in the working directory
    slim: ir.Model = onnx_ir.from_proto(onnxslim.slim(onnx_ir.to_proto(model), size_threshold=FOLDED_BYTES))
    for node in slim.graph:
        node.metadata_props.update(notes.get(node.name, {}))
    infer_shapes(slim)
    return slim
