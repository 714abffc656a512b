"""Own the reading of a deconvolution that is bilinear interpolation, as FCN's begin. Know nothing of its neighbours.

With a kernel of 2f (f even) or 2f - 1 (f odd), stride f and FCN's weights it is Resize linear half_pixel, but for the
border: what lies beyond is 0 there, where Resize repeats the last row. The scores of all classes fade by one and the
same factor, from 1/2 to 1, so that neither the best class nor the sign of a score changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.access import attribute, constant_of

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["is_interpolation"]

ROUNDING = 1e-6  # of weights from 0 to 1; what training has touched differs by far more


def is_interpolation(node: ir.Node) -> bool:
    """Whether a ConvTranspose enlarges every channel by its strides, bilinearly, and mixes none."""
    weights = constant_of(node.inputs[1])
    if node.op_type != "ConvTranspose" or weights is None or weights.ndim != 4 or not _is_plain(node):
        return False
    strides, pads = attribute(node, "strides", (1, 1)), attribute(node, "pads", (0, 0, 0, 0))
    sides = [_taps(*one) for one in zip(weights.shape[2:], strides, pads[:2], strict=True)]
    # every pixel is an average: with less than all of its weight the kernel would have been cut short
    is_whole = all(np.allclose(_sums(side, stride), 1.0) for side, stride in zip(sides, strides, strict=True))
    return is_whole and _is_diagonal(weights, np.outer(*sides), attribute(node, "group", 1))


def _is_plain(node: ir.Node) -> bool:
    """Neither dilated nor padded by a rule, and without bias."""
    bias = constant_of(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(1)
    is_dilated = set(attribute(node, "dilations", (1, 1))) != {1}
    is_ruled = attribute(node, "auto_pad", "NOTSET") != "NOTSET" or attribute(node, "output_shape") is not None
    return bias is not None and not bias.any() and not is_dilated and not is_ruled


def _taps(kernel: int, stride: int, pad: int) -> NDArray[np.float64]:
    """How far half_pixel's position is from the row that a tap adds, as a share of the next row's distance."""
    distance = (np.arange(kernel) - pad + 0.5) / stride - 0.5
    return np.clip(1.0 - np.abs(distance), 0.0, None)


def _sums(taps: NDArray[np.float64], stride: int) -> NDArray[Any]:
    """Of the taps that meet in one pixel, for every pixel within a stride."""
    return np.bincount(np.arange(len(taps)) % stride, taps, stride)


def _is_diagonal(weights: NDArray[Any], kernel: NDArray[np.float64], groups: int) -> bool:
    """The kernel from every channel to itself, and exactly 0 from it to the others of its group."""
    inputs, outputs = weights.shape[:2]
    if inputs != outputs * groups:
        return False
    channels = np.arange(inputs)
    own = weights[channels, channels % outputs].astype(np.float64)
    elsewhere = np.count_nonzero(weights) - np.count_nonzero(own)
    return elsewhere == 0 and bool((np.abs(own - kernel) <= ROUNDING).all())
