"""Own Resize with antialiasing. Leave every other Resize alone.

TensorRT refuses ``antialias=1`` (its parser: "Antialiasing is not supported currently"). With fixed sizes such a
Resize is a constant linear map of rows and columns, so two MatMuls with constants compute it. The weights are those of
ONNX's Resize-18 and of torch's ``interpolate(antialias=True)``: the filter widened by the factor that an axis shrinks
by, cut at the border (``exclude_outside=1``, which torch's exporter says) and made to sum up to 1. The results differ
by rounding only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeseg.graph.access import attribute, constant_of, shape_of
from edgeseg.graph.rewrites.building import Patch, Rewritten, is_op, required
from edgeseg.graph.rewrites.separable import Weights, separable

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["apply"]

RULE = "antialiasing"


def apply(model: ir.Model) -> list[Rewritten]:
    """Replace every antialiased Resize of rows and columns that torch's exporter can have made."""
    return [_as_products(model, node) for node in list(model.graph) if _is_known(node)]


def _is_known(node: ir.Node) -> bool:
    if not is_op(node, "Resize") or not attribute(node, "antialias", 0) or not attribute(node, "exclude_outside", 0):
        return False
    old, new = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    is_plane = old is not None and new is not None and len(old) == 4 and old[:2] == new[:2]
    is_centred = attribute(node, "coordinate_transformation_mode", "half_pixel") == "half_pixel"
    has_sizes = len(node.inputs) > 3 and constant_of(node.inputs[3]) is not None
    is_stretched = attribute(node, "keep_aspect_ratio_policy", "stretch") == "stretch"
    return is_plane and is_centred and has_sizes and is_stretched and attribute(node, "mode") in ("linear", "cubic")


def _as_products(model: ir.Model, node: ir.Node) -> Rewritten:
    patch = Patch(model, node, RULE)
    (*_, height, width), (*_, new_height, new_width) = shape_of(node.inputs[0]) or (), shape_of(node.outputs[0]) or ()
    resized = separable(patch, required(node, 0), _weights(node, height, new_height), _weights(node, width, new_width))
    return patch.replace(node.outputs[0], resized, f"{height}x{width} to {new_height}x{new_width} by two MatMuls")


def _weights(node: ir.Node, old: int, new: int) -> Weights:
    """(new, old): how much each old element counts in each new one."""
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    distances = np.abs(np.arange(old) - centres[:, None]) / max(old / new, 1.0)
    weights = _triangle(distances) if attribute(node, "mode") == "linear" else _cubic(distances, _coefficient(node))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _coefficient(node: ir.Node) -> float:
    return float(attribute(node, "cubic_coeff_a", -0.75))


def _triangle(distances: Weights) -> Weights:
    return np.maximum(0.0, 1.0 - distances)


def _cubic(distances: Weights, a: float) -> Weights:
    """Keys' kernel, "Cubic convolution interpolation for digital image processing", 1981, equation 15."""
    near = ((a + 2) * distances - (a + 3)) * distances**2 + 1
    far = ((a * distances - 5 * a) * distances + 8 * a) * distances - 4 * a
    return np.where(distances <= 1, near, np.where(distances < 2, far, 0.0))
