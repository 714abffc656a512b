"""Own the Cast of a uint8 input. Leave alone what computes with uint8.

TensorRT takes UINT8 for inputs and outputs of a network only, with a Cast right behind the input ("UInt8 but must have
type Float, Half, ...", measured with TensorRT-RTX 1.7.1 for Transpose, Reshape, Slice, Gather, Split, Concat, Resize).
Nodes that only move elements give the same after the Cast as before it, and both float dtypes hold 0 to 255 exactly; so
the Cast moves up to the input, one for all. The result is equal to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.graph.access import attribute, described
from edgeseg.graph.rewrites.building import Rewritten, is_op, required
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["apply", "only_moves"]

RULE = "pixel_input"
SHUFFLING = ("DepthToSpace", "Flatten", "Identity", "Reshape", "SpaceToDepth", "Squeeze", "Transpose", "Unsqueeze")
PICKING = ("Expand", "Gather", "Slice", "Tile")


def only_moves(node: ir.Node) -> bool:
    """Whether a node hands on elements of its first input (Concat: of all), whatever their dtype."""
    is_nearest = is_op(node, "Resize") and attribute(node, "mode", "nearest") == "nearest"
    is_inside = attribute(node, "coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
    return is_op(node, *SHUFFLING, *PICKING, "Concat") or (is_nearest and is_inside)


def apply(model: ir.Model) -> list[Rewritten]:
    """Move the Casts of each uint8 input up to it, where nothing else needs the pixels as uint8."""
    uint8 = require("onnx_ir").DataType.UINT8
    done = []
    for image in [one for one in model.graph.inputs if one.dtype == uint8]:
        moved = _moved_pixels(model.graph, image)
        casts = [node for value in moved for node in value.consumers() if is_op(node, "Cast")]
        if len(moved) > 1 and casts:
            done.append(_cast_at_input(model.graph, moved, casts))
    return done


def _moved_pixels(graph: ir.Graph, image: ir.Value) -> list[ir.Value]:
    """The input and what moving its elements gives; nothing where one of them is computed with, or leaves the graph."""
    moved = [image]
    for node in graph:
        takes = [one in moved for one in node.inputs]
        if not any(takes) or is_op(node, "Cast"):
            continue
        is_data = all(takes) if is_op(node, "Concat") else takes[0] and not any(takes[1:])
        if not (is_op(node, "Split") or only_moves(node)) or not is_data:
            return []
        moved += node.outputs
    users = {node for value in moved for node in value.consumers()}
    leaves = any(one.is_graph_output() for one in moved) or any(node.graph is not graph for node in users)
    return [] if leaves else moved


def _cast_at_input(graph: ir.Graph, moved: list[ir.Value], casts: list[ir.Node]) -> Rewritten:
    onnx_ir, image = require("onnx_ir"), moved[0]
    dtype = _common_dtype(casts)
    users = image.uses()
    cast = onnx_ir.node("Cast", [image], {"to": dtype.value}, name=f"{image.name}_cast")
    cast.outputs[0].name = cast.name
    cast.metadata_props.update(casts[0].metadata_props)
    graph.insert_before(graph[0], cast)
    for node, index in users:
        node.replace_input_with(index, cast.outputs[0])
    for value in [*moved[1:], cast.outputs[0]]:
        value.type = onnx_ir.TensorType(dtype)
    for node in casts:
        if attribute(node, "to") == dtype.value and not node.outputs[0].is_graph_output():
            node.outputs[0].replace_all_uses_with(required(node, 0))
    return Rewritten(RULE, described(casts[0]), f"moved up to the input '{image.name}'")


def _common_dtype(casts: list[ir.Node]) -> ir.DataType:
    """What all Casts ask for, where that is a float; else float32, and the Casts stay behind it."""
    kinds = require("onnx_ir").DataType
    wanted = {kinds(attribute(node, "to")) for node in casts}
    common: ir.DataType = kinds.FLOAT16 if wanted == {kinds.FLOAT16} else kinds.FLOAT
    return common
