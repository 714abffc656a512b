"""Own the picture of a mask: class colours blended into a frame, boundaries drawn. Decide no class."""

from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.imaging import _native
from edgeseg.imaging.formats import Mask
from edgeseg.imaging.preprocess import Frame, check_frame
from edgeseg.imaging.refusals import shape_error
from edgeseg.spec import LabelSpec

__all__ = ["Overlay", "palette_bgr"]


def palette_bgr(labels: LabelSpec) -> NDArray[np.uint8]:
    """The colour of every id, uint8 (256, 3) BGR; ids without a class are black."""
    table = np.zeros((256, 3), np.uint8)
    for index, one in enumerate(labels.classes):
        table[index] = one.colour[::-1]
    return table


class Overlay:
    """Blends class colours into frames: ``(1 - alpha) * frame + alpha * colour``, rounded, in C++ on all threads.

    The weights are 256ths, so a value is within 1 of the exact one (and is exact for alpha 0, 0.25, 0.5, 0.75, 1).
    ``alpha=1`` paints the palette's colours alone.

    Args:
        labels: the classes and their colours.
        alpha: weight of the colour, 0 (frame alone) to 1 (colour alone).
        clear: label ids that leave the frame as it is, for example the ignore label.
        boundary_rgb: colour of pixels whose left or upper neighbour has another label; none are drawn without it.
        is_rgb: frames are RGB instead of BGR.
        threads: CPU threads; all cores of this process without it.

    Example:
        >>> import numpy as np
        >>> from edgeseg.spec import ClassSpec, LabelSpec
        >>> overlay = Overlay(LabelSpec(classes=(ClassSpec(name="a", colour=(200, 0, 0)),)), threads=1)
        >>> overlay.blend(np.full((1, 1, 3), 100, np.uint8), np.zeros((1, 1), np.uint8))
        array([[[ 50,  50, 150]]], dtype=uint8)
    """

    def __init__(
        self,
        labels: LabelSpec,
        *,
        alpha: float = 0.5,
        clear: Collection[int] = (),
        boundary_rgb: tuple[int, int, int] | None = None,
        is_rgb: bool = False,
        threads: int | None = None,
    ) -> None:
        if not 0.0 <= alpha <= 1.0:
            raise ShapeError(f"alpha is {alpha}", "give 0 to 1")
        if any(not 0 <= label <= 255 for label in clear):
            raise ShapeError(f"clear labels are {sorted(clear)}", "give ids of 0 to 255")
        colours, is_clear = palette_bgr(labels), np.isin(np.arange(256), list(clear))
        #: in the frames' order of channels; None where none is drawn
        self.boundary = None if boundary_rgb is None else boundary_rgb[:: 1 if is_rgb else -1]
        try:
            self.plan = _native.OverlayPlan(
                colours=np.ascontiguousarray(colours[:, ::-1]) if is_rgb else colours,
                is_clear=is_clear,
                weight=round(256 * alpha),
                boundary=self.boundary,
                threads=len(os.sched_getaffinity(0)) if threads is None else threads,
            )
        except ValueError as error:
            raise shape_error(error) from error

    def blend(self, frame_bgr: Frame, mask: Mask, *, out: Frame | None = None) -> Frame:
        """The picture, uint8 (H, W, 3) in the frame's colour order.

        Args:
            frame_bgr: uint8 (H, W, 3), its pixels side by side, any pitch.
            mask: uint8 (H, W), the frame's size.
            out: where to write it, may be the frame itself; a new array, owned by the caller, without it.
        Raises:
            ShapeError: the sizes differ, ``out`` is read-only, or it overlaps the mask or a part of the frame.
        """
        check_frame(frame_bgr)
        if mask.shape != frame_bgr.shape[:2] or mask.dtype != np.uint8:
            raise ShapeError(
                f"mask is {mask.dtype} {mask.shape}", f"a uint8 {frame_bgr.shape[:2]} mask fits this frame"
            )
        picture = np.empty(frame_bgr.shape, np.uint8) if out is None else out
        try:
            self.plan.run(_dense(frame_bgr), _dense(mask), picture)
        except ValueError as error:
            raise shape_error(error) from error
        return picture


def _dense(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image itself if the pixels of a row stand side by side, else a copy: flipped or sliced columns are rare."""
    pixel = 1 if image.ndim == 2 else image.shape[2]
    is_dense = image.strides[1] == pixel and (image.ndim == 2 or image.strides[2] == 1)
    return image if is_dense else np.ascontiguousarray(image)
