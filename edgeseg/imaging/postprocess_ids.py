"""Own the enlarging of finished class ids to a mask. Decide no class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.imaging.geometry import Placement, Rect

__all__ = ["enlarge_ids", "places_of_ids"]

Indices = NDArray[np.intp]


def enlarge_ids(
    ids: NDArray[np.int32],
    mask: NDArray[np.uint8],
    *,
    input_hw: tuple[int, int] | None = None,
    placement: Placement | None = None,
    outside: int = 255,
) -> None:
    """Write the id under the middle of every pixel; one that is not 0 to 255 becomes ``outside``.

    Args:
        ids: (h, w), of any integer type.
        mask: (H, W) to write into.
        input_hw: the net's input size; needed for a placement only.
        placement: where the frame went in the net's input; what it does not show becomes ``outside``.
    """
    labels = np.where((ids < 0) | (ids > 255), outside, ids).astype(np.uint8)
    window, rows, columns = places_of_ids(ids.shape, mask.shape, input_hw=input_hw, placement=placement)
    mask[:] = outside
    mask[window.y : window.y + window.height, window.x : window.x + window.width] = labels[rows[:, None], columns]


def places_of_ids(
    ids_hw: tuple[int, ...],
    mask_hw: tuple[int, ...],
    *,
    input_hw: tuple[int, int] | None = None,
    placement: Placement | None = None,
) -> tuple[Rect, Indices, Indices]:
    """The window of the mask that ids show, and the row and column of ids under each of its rows and columns."""
    (height, width), (ids_height, ids_width) = mask_hw, ids_hw
    source, target, whole = Rect(0, 0, width, height), Rect(0, 0, ids_width, ids_height), (ids_height, ids_width)
    if placement is not None:
        (source, target), whole = placement, input_hw or whole
    rows = _under(target.y, target.height, source.height, whole[0], ids_height)
    columns = _under(target.x, target.width, source.width, whole[1], ids_width)
    return source, rows, columns


def _under(begin: int, length: int, pixels: int, whole: int, ids: int) -> Indices:
    """The id under the middle of each of ``pixels`` that show ``length`` of ``whole`` pixels; in whole numbers."""
    middle = (2 * begin * pixels + (2 * np.arange(pixels) + 1) * length) * ids
    return np.minimum(middle // (2 * pixels * whole), ids - 1)
