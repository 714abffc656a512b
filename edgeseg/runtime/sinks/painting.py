"""Own the picture that a video, a window or a stream shows of a frame and its mask. Show none."""

from __future__ import annotations

import numpy as np

from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.postprocess import Mask
from edgeseg.imaging.preprocess import Frame as Pixels
from edgeseg.runtime.frames import Frame
from edgeseg.spec import UNSEEN, LabelSpec

__all__ = ["ClassPainter", "Painter", "even_sides"]


class Painter:
    """Blends frames with their class colours, all into one picture's memory.

    Args:
        labels: class colours.
        alpha: weight of the colours, 0 to 1.
    """

    def __init__(self, labels: LabelSpec, *, alpha: float = 0.5) -> None:
        self._overlay = Overlay(labels, alpha=alpha, clear=(UNSEEN,))
        self._picture = np.zeros((0, 0, 3), np.uint8)

    def paint(self, frame: Frame, mask: Mask) -> Pixels:
        """uint8 (H, W, 3) BGR with even sides, valid until the next call."""
        pixels = frame.bgr
        return even_sides(self._overlay.blend(pixels, mask, out=self._canvas(pixels.shape[:2])))

    def _canvas(self, size_hw: tuple[int, ...]) -> Pixels:
        if self._picture.shape[:2] != size_hw:
            self._picture = np.zeros((*size_hw, 3), np.uint8)
        return self._picture


class ClassPainter(Painter):
    """Paints the class colours alone, black where there is no class; frames are not converted."""

    def __init__(self, labels: LabelSpec) -> None:
        super().__init__(labels)
        self._overlay = Overlay(labels, alpha=1.0)

    def paint(self, frame: Frame, mask: Mask) -> Pixels:  # noqa: ARG002  # the colours alone
        canvas = self._canvas(mask.shape)
        return even_sides(self._overlay.blend(canvas, mask, out=canvas))


def even_sides(picture_bgr: Pixels) -> Pixels:
    """Repeat the last row or column where a side is odd, since 4:2:0 video has even sides."""
    height, width = picture_bgr.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return picture_bgr
    return np.pad(picture_bgr, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
