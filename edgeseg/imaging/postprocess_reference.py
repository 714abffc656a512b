"""Own the meaning of post-processing in plain NumPy float32: what the native plans compute, to the bit. Be slow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.spec import UpsampleSpec

__all__ = [
    "Box",
    "beside_threshold",
    "blend",
    "boundaries",
    "clean",
    "confidence_of",
    "enlarged",
    "mask_of",
    "positions",
]

#: x, y, width, height
Box = tuple[float, float, float, float]

LOGIT_LIMIT = np.float32(2.0**127)
BILINEAR = UpsampleSpec()
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Indices = NDArray[np.intp]


def clean(logits: NDArray[np.generic], scale: float = 1.0) -> Floats:
    """Logits as finite float32: int8 times ``scale``, at most 2^127 in magnitude, NaN as -2^127."""
    values = logits.astype(np.float32)
    if logits.dtype == np.int8:
        values = values * np.float32(scale)
    limited = np.clip(values, -LOGIT_LIMIT, LOGIT_LIMIT)
    return np.where(np.isnan(values), -LOGIT_LIMIT, limited)


def beside_threshold(planes: Floats, threshold: float = 0.0) -> Floats:
    """One class becomes two, the first of which is the threshold everywhere; more classes stay as they are.

    Both are interpolated alike: where all scores are at the threshold or below, none is above it by rounding.
    """
    if len(planes) > 1:
        return planes
    return np.concatenate([np.full_like(planes, threshold), planes])


def positions(
    upsample: UpsampleSpec, *, logits: int, grid: int, pixels: int, begin: float = 0.0, extent: float | None = None
) -> tuple[Indices, Floats]:
    """Of every pixel along one axis: the logit at or before it, and the weight of the one after.

    The rule enlarges ``logits`` to ``grid`` pixels, and ``pixels`` show ``extent`` of these from ``begin`` on (all of
    them without it). ``nearest`` takes the grid's pixel under the middle of a pixel first.
    """
    half, step = np.float32(0.5), np.float32(grid if extent is None else extent) / np.float32(pixels)
    middle = step * (np.arange(pixels, dtype=np.float32) + half) + np.float32(begin)
    if upsample.mode == "nearest":
        index = np.floor(np.clip(middle, 0, np.float32(grid - 1)))
        here = _nearest(upsample, _position(upsample, logits, grid, index))
        return np.minimum(here, logits - 1), np.zeros(pixels, np.float32)
    position = _position(upsample, logits, grid, middle - half)
    here = np.minimum(position, np.float32(logits - 1)).astype(np.intp)
    return here, np.minimum(position - here.astype(np.float32), np.float32(1))


def _position(upsample: UpsampleSpec, logits: int, grid: int, index: Floats) -> Floats:
    half = np.float32(0.5)
    if upsample.coordinates == "align_corners":
        scale = np.float32(logits - 1) / np.float32(grid - 1) if grid > 1 else np.float32(0)
    else:
        scale = np.float32(logits) / np.float32(grid)
    position = scale * (index + half) - half if upsample.coordinates == "half_pixel" else scale * index
    return np.asarray(np.maximum(position, np.float32(0)), np.float32)


def _nearest(upsample: UpsampleSpec, position: Floats) -> Indices:
    """The logit that a position takes."""
    below = position.astype(np.intp)
    rest = position - below.astype(np.float32)
    is_above = {
        "floor": np.zeros_like(rest, np.bool_),
        "ceil": rest > 0,
        "round_prefer_floor": rest > np.float32(0.5),
        "round_prefer_ceil": rest >= np.float32(0.5),
    }[upsample.rounding or "floor"]
    return np.asarray(below + is_above, np.intp)


def enlarged(
    planes: Floats,
    *,
    size_hw: tuple[int, int],
    upsample: UpsampleSpec = BILINEAR,
    grid_hw: tuple[int, int] | None = None,
    region: Box | None = None,
) -> Floats:
    """Clean logits (C, h, w) at ``size_hw``, in PyTorch's order of operations: along the row, then between rows.

    ``region`` of the grid is shown, all of it without; the grid is of ``size_hw`` itself without ``grid_hw``.
    """
    channels, height, width = planes.shape
    grid = grid_hw or size_hw
    x, y, region_width, region_height = region or (0.0, 0.0, float(grid[1]), float(grid[0]))
    row, row_weight = positions(upsample, logits=height, grid=grid[0], pixels=size_hw[0], begin=y, extent=region_height)
    column, weight = positions(upsample, logits=width, grid=grid[1], pixels=size_hw[1], begin=x, extent=region_width)
    after = np.minimum(column + 1, width - 1)
    rest, weight_down = np.float32(1) - weight, row_weight[:, None]
    result = np.empty((channels, *size_hw), np.float32)
    for plane, out in zip(planes, result, strict=True):
        along = rest * plane[:, column] + weight * plane[:, after]
        out[:] = (np.float32(1) - weight_down) * along[row] + weight_down * along[np.minimum(row + 1, height - 1)]
    return result


def mask_of(values: Floats, *, ignored_class: int | None = None) -> Bytes:
    """Best class of every pixel, lowest on a tie; two classes or more (see ``beside_threshold``)."""
    if ignored_class is not None:
        values = values.copy()
        values[ignored_class] = -np.inf
    return np.asarray(values.argmax(0), np.uint8)


def confidence_of(
    values: Floats, *, ignored_class: int | None = None, is_one: bool = False, has_probabilities: bool = False
) -> Bytes:
    """The winner's probability in 255ths: its softmax without the ignored class, or its own value.

    ``is_one`` class beside its threshold: its sigmoid or its own value, or what is left to 1 where it does not win.
    """
    wide = values.astype(np.float64)
    if is_one:
        share = wide[1] if has_probabilities else 1.0 / (1.0 + np.exp(-np.clip(wide[1], -700, 700)))
        return _level(np.where(mask_of(values) == 1, share, 1.0 - share))
    if ignored_class is not None:
        wide = np.delete(wide, ignored_class, axis=0)
    return _level(wide.max(0) if has_probabilities else 1.0 / np.exp(wide - wide.max(0)).sum(0))


def _level(share: NDArray[np.float64]) -> Bytes:
    return np.asarray(np.floor(255.0 * np.clip(share, 0.0, 1.0) + 0.5), np.uint8)


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
