"""Own the picture of a mask: class colours blended into a frame. Decide no class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.imaging.postprocess import Mask
from edgeseg.imaging.preprocess import Frame, check_frame
from edgeseg.spec import LabelSpec

__all__ = ["Overlay", "palette_bgr"]


def palette_bgr(labels: LabelSpec) -> NDArray[np.uint8]:
    """The colour of every id, uint8 (256, 3) BGR; ids without a class are black."""
    table = np.zeros((256, 3), np.uint8)
    for index, one in enumerate(labels.classes):
        table[index] = one.colour[::-1]
    return table


class Overlay:
    """Blends class colours into frames.

    Args:
        labels: the classes and their colours.
        alpha: weight of the colour, 0 (frame alone) to 1 (colour alone).
    """

    def __init__(self, labels: LabelSpec, *, alpha: float = 0.5) -> None:
        if not 0.0 <= alpha <= 1.0:
            raise ShapeError(f"alpha is {alpha}", "give 0 to 1")
        self._table = palette_bgr(labels).reshape(1, 256, 3)
        self._alpha = alpha

    def blend(self, frame_bgr: Frame, mask: Mask) -> Frame:
        """A new uint8 (H, W, 3) BGR picture, owned by the caller.

        Args:
            frame_bgr: uint8 (H, W, 3).
            mask: uint8 (H, W), the frame's size.
        Raises:
            ShapeError: the sizes differ.
        """
        import cv2

        check_frame(frame_bgr)
        if mask.shape != frame_bgr.shape[:2] or mask.dtype != np.uint8:
            raise ShapeError(
                f"mask is {mask.dtype} {mask.shape}", f"a uint8 {frame_bgr.shape[:2]} mask fits this frame"
            )
        colours = cv2.LUT(cv2.merge([mask, mask, mask]), self._table)
        return np.asarray(cv2.addWeighted(frame_bgr, 1.0 - self._alpha, colours, self._alpha, 0.0), np.uint8)
