"""Own the meaning of post-processing in plain NumPy float32: what the native plans compute, to the bit. Be slow."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Rule", "blend", "boundaries", "clean", "confidence_of", "enlarged", "mask_of", "positions"]

Rule = Literal["half_pixel", "align_corners", "nearest"]
#: x, y, width, height
Box = tuple[float, float, float, float]

LOGIT_LIMIT = np.float32(2.0**127)
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def clean(logits: NDArray[np.generic], scale: float = 1.0) -> Floats:
    """Logits as finite float32: int8 times ``scale``, at most 2^127 in magnitude, NaN as -2^127."""
    values = logits.astype(np.float32)
    if logits.dtype == np.int8:
        values = values * np.float32(scale)
    limited = np.clip(values, -LOGIT_LIMIT, LOGIT_LIMIT)
    return np.where(np.isnan(values), -LOGIT_LIMIT, limited)


def positions(rule: Rule, logits: int, pixels: int, begin: float, extent: float) -> tuple[NDArray[np.intp], Floats]:
    """Of every pixel along one axis: the logit at or before it, and the weight of the one after.

    ``begin`` and ``extent``, in logits, say which part of them the pixels show.
    """
    one, half, extent32 = np.float32(1), np.float32(0.5), np.float32(extent)
    index = np.arange(pixels, dtype=np.float32)
    if rule == "align_corners":
        scale = (extent32 - one) / np.float32(pixels - 1) if pixels > 1 else np.float32(0)
    else:
        scale = extent32 / np.float32(pixels)
    position = scale * (index + half) - half if rule == "half_pixel" else scale * index
    position = np.maximum(position + np.float32(begin), np.float32(0))
    here = np.minimum(position, np.float32(logits - 1)).astype(np.intp)
    weight = np.minimum(position - here.astype(np.float32), one)
    return here, np.zeros_like(weight) if rule == "nearest" else weight


def enlarged(planes: Floats, *, size_hw: tuple[int, int], rule: Rule, region: Box | None = None) -> Floats:
    """Clean logits (C, h, w) at ``size_hw``, in PyTorch's order of operations: along the row, then between rows."""
    channels, height, width = planes.shape
    x, y, region_width, region_height = region or (0.0, 0.0, float(width), float(height))
    row, row_weight = positions(rule, height, size_hw[0], y, region_height)
    column, weight = positions(rule, width, size_hw[1], x, region_width)
    after = np.minimum(column + 1, width - 1)
    rest, weight_down = np.float32(1) - weight, row_weight[:, None]
    result = np.empty((channels, *size_hw), np.float32)
    for plane, out in zip(planes, result, strict=True):
        along = rest * plane[:, column] + weight * plane[:, after]
        out[:] = (np.float32(1) - weight_down) * along[row] + weight_down * along[np.minimum(row + 1, height - 1)]
    return result


def mask_of(values: Floats, *, ignored_class: int | None = None) -> Bytes:
    """Best class of every pixel, lowest on a tie; of one class, 1 where it is above 0."""
    if len(values) == 1:
        return np.asarray(values[0] > 0.0, np.uint8)
    if ignored_class is not None:
        values = values.copy()
        values[ignored_class] = -np.inf
    return np.asarray(values.argmax(0), np.uint8)


def confidence_of(values: Floats, *, ignored_class: int | None = None) -> Bytes:
    """The winner's softmax probability in 255ths (of one class: that of the sigmoid), without the ignored class."""
    wide = values.astype(np.float64)
    if len(wide) == 1:
        wide = np.concatenate([np.zeros_like(wide), wide])
    if ignored_class is not None:
        wide = np.delete(wide, ignored_class, axis=0)
    probability = 1.0 / np.exp(wide - wide.max(0)).sum(0)
    return np.asarray(np.floor(255.0 * probability + 0.5), np.uint8)


def boundaries(mask: Bytes) -> NDArray[np.bool_]:
    """Pixels whose left or upper neighbour has another label."""
    found = np.zeros(mask.shape, np.bool_)
    found[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    found[1:] |= mask[1:] != mask[:-1]
    return found


def blend(frame: Bytes, mask: Bytes, colours: Bytes, weight: int, is_clear: NDArray[np.bool_]) -> Bytes:
    """Colours over a frame with ``weight`` 256ths, rounded; labels that are clear leave the frame as it is."""
    weights = np.where(is_clear, 0, weight)[mask][..., None]
    return np.asarray((frame * (256 - weights) + colours[mask] * weights + 128) >> 8, np.uint8)
