"""Own linear maps of an image that work on rows and columns one after the other. Choose no weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.rewrites.building import Patch, numpy_type

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Weights", "separable"]

#: float64 (output side, input side)
Weights = NDArray[np.float64]


def separable(patch: Patch, image: ir.Value, rows: Weights, columns: Weights) -> ir.Value:
    """``rows @ image @ columns.T`` by two MatMuls with constants, in the image's own dtype.

    The columns come first: there the constant stands on the right, where back ends take it for a layer's weights.

    Args:
        patch: takes the new nodes.
        image: (..., H, W).
        rows: (new H, H); columns: (new W, W).
    """
    dtype: Any = numpy_type(image)
    narrow = patch.op("MatMul", [image, patch.constant(columns.T, dtype)])
    return patch.op("MatMul", [patch.constant(rows, dtype), narrow])
