"""Own Col2Im of blocks that lie side by side. Leave overlapping blocks alone.

TensorRT has no Col2Im (onnx-tensorrt, operators.md); torch's exporter makes it of nn.Fold. Where the stride is the
block's size, without padding and dilation, no two blocks add up: it only moves elements, which Reshape, Transpose and
Reshape do as well. The result is equal to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgeseg.graph.access import attribute, constant_of, shape_of
from edgeseg.graph.rewrites.building import Patch, Rewritten, is_op, required

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["apply"]

RULE = "folding"


class _Tiles(NamedTuple):
    """The columns, and the sides of the image and of its blocks."""

    columns: ir.Value
    image: tuple[int, int]
    block: tuple[int, int]


def apply(model: ir.Model) -> list[Rewritten]:
    """Replace every Col2Im whose blocks tile the image."""
    found = [(node, _tiles_of(node)) for node in model.graph if is_op(node, "Col2Im")]
    return [_as_transpose(model, node, tiles) for node, tiles in found if tiles is not None]


def _tiles_of(node: ir.Node) -> _Tiles | None:
    image, block = constant_of(node.inputs[1]), constant_of(node.inputs[2])
    columns = required(node, 0)
    if image is None or block is None or len(image) != 2 or (image % block).any() or len(shape_of(columns) or ()) != 3:
        return None
    is_tight = tuple(attribute(node, "strides", (1, 1))) == tuple(block) and not any(attribute(node, "pads", ()))
    is_dense = set(attribute(node, "dilations", (1,))) == {1}
    (height, width), (block_h, block_w) = image.tolist(), block.tolist()
    return _Tiles(columns, (height, width), (block_h, block_w)) if is_tight and is_dense else None


def _as_transpose(model: ir.Model, node: ir.Node, tiles: _Tiles) -> Rewritten:
    patch = Patch(model, node, RULE)
    (height, width), (block_h, block_w) = tiles.image, tiles.block
    batch, rows, _ = shape_of(tiles.columns) or ()
    channels = rows // (block_h * block_w)
    apart = (batch, channels, block_h, block_w, height // block_h, width // block_w)
    moved = patch.op("Transpose", [patch.reshape(tiles.columns, apart)], {"perm": [0, 1, 4, 2, 5, 3]})
    image = patch.reshape(moved, (batch, channels, height, width))
    return patch.replace(node.outputs[0], image, f"blocks of {block_h}x{block_w} put side by side by a Transpose")
