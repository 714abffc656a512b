"""Own the moving of the normalisation from the pre-processing into the graph. Fold no weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgeseg.errors import ModelError
from edgeseg.graph.access import infer_shapes
from edgeseg.graph.inserting import add_constant
from edgeseg.packages import require
from edgeseg.spec import InputSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["fold_normalisation"]


def fold_normalisation(model: ir.Model, image: InputSpec) -> InputSpec:
    """Let the graph take uint8 pixels and normalise them itself: a quarter of the bytes go to the device. In place.

    ``(pixel / 255 - mean) / std`` becomes a Cast, a Mul and an Add behind the input. They are not folded into the
    first convolution: where that pads with zeros the shift would be wrong along the border.

    Args:
        model: with a float32 image input.
        image: what the pre-processing does now.
    Returns:
        What it has to do from now on: resize, and round to pixels.
    Raises:
        ModelError: the input is uint8 already.
    """
    if image.dtype == "uint8":
        raise ModelError("the net takes uint8 pixels already", "leave --fold-normalisation out")
    onnx_ir = require("onnx_ir")
    old = model.graph.inputs[0]
    new = onnx_ir.Value(name=image.name, shape=old.shape, type=onnx_ir.TensorType(onnx_ir.DataType.UINT8))
    tape = onnx_ir.tape.Tape()
    pixels = tape.op("Cast", [new], {"to": onnx_ir.DataType.FLOAT.value})
    scaled = tape.op("Mul", [pixels, _per_channel(model, image, "scale", 1.0 / (255.0 * np.array(image.std)))])
    shift = -np.array(image.mean) / np.array(image.std)
    normalised = tape.op("Add", [scaled, _per_channel(model, image, "shift", shift)])
    for node, part in zip(tape.nodes, ("cast", "scale", "shift"), strict=True):
        node.name = f"normalise_{part}"
        node.outputs[0].name = f"normalise_{part}"
    onnx_ir.convenience.replace_all_uses_with(old, normalised)
    model.graph.inputs[0] = new
    model.graph.insert_before(model.graph[0], tape.nodes)
    infer_shapes(model)
    plain = (0.0,) * image.channels
    return msgspec.structs.replace(image, dtype="uint8", mean=plain, std=(1.0 / 255.0,) * image.channels)


def _per_channel(model: ir.Model, image: InputSpec, name: str, values: np.ndarray) -> ir.Value:
    sides = (1, image.channels, 1, 1) if image.layout == "NCHW" else (1, 1, 1, image.channels)
    return add_constant(model, f"normalise_{name}_values", values.astype(np.float32).reshape(sides))
