"""Own accuracy near boundaries: boundary IoU and the trimap curve. Run no engine, read no file.

Distances are chessboard distances in pixels, as in the code that the authors of boundary IoU published: a pixel is
within d of a boundary when the square of 2 d + 1 pixels around it holds another class.

Ignored pixels do not count and make no boundary: they are left out of the label and of the mask before boundaries are
sought in either, so that what a net says where nobody knows the truth costs it nothing. Across an ignored strip, two
classes still bound each other. So in a data set that leaves out the contours themselves (PASCAL VOC, 5 pixels), narrow
trimaps hold few pixels or none, and have NaN then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.metrics import ConfusionMatrix, Mask, mean, share, without

__all__ = [
    "BOUNDARY_SHARE",
    "TRIMAP_WIDTHS_PX",
    "BoundaryAccuracy",
    "BoundaryCounts",
    "LabelBands",
    "TrimapPoint",
    "band",
    "boundary_distance_px",
]

Band = NDArray[np.bool_]
#: of the image's diagonal (Cheng et al. 2021, section 5.2)
BOUNDARY_SHARE = 0.02
TRIMAP_WIDTHS_PX = (1, 3, 5)


@dataclass(frozen=True, kw_only=True)
class TrimapPoint:
    """Accuracy on the labelled pixels within ``width_px`` of a pixel that is labelled as another class.

    This is the trimap of Kohli et al. (2009) as Krähenbühl and Koltun (2011, figure 4) draw it: a band on both sides
    of the label's boundaries, one for all classes. The image's border makes no boundary.
    """

    width_px: int
    miou: float
    pixel_accuracy: float


@dataclass(frozen=True, kw_only=True)
class BoundaryAccuracy:
    """Shares from 0 to 1, NaN where there is nothing to judge; a class without pixels counts in no mean.

    ``boundary_iou`` is that of Cheng et al. (2021) for every class, of counts over all frames: of the class's pixels in
    the label and in the mask, those within d of the contour of the label's or the mask's own region, their intersection
    over their union. The image's border is a contour, as in the authors' code.
    """

    boundary_miou: float
    boundary_iou: tuple[float, ...]
    trimap: tuple[TrimapPoint, ...]


def boundary_distance_px(size_hw: tuple[int, int], *, part: float = BOUNDARY_SHARE) -> int:
    """The d of boundary IoU: a part of the image's diagonal, rounded, at least 1.

    Example:
        >>> boundary_distance_px((540, 960))
        22
    """
    return max(1, round(part * math.hypot(*size_hw)))


def band(ids: Mask, width_px: int, *, ignored: Band | None = None, is_border: bool = False) -> Band:
    """Where another class is within ``width_px``, one pass for all classes.

    Args:
        ids: uint8 (H, W).
        width_px: chessboard distance, 1 or more.
        ignored: bool (H, W), pixels that make no boundary and are in no band.
        is_border: whether the image's border is a boundary too.
    Returns:
        bool (H, W), owned by the caller.
    """
    import cv2

    window = np.ones((2 * width_px + 1,) * 2, np.uint8)
    none = np.zeros(ids.shape, np.bool_) if ignored is None else ignored
    # beyond the border OpenCV takes what changes neither the least nor the greatest; so do the ignored pixels here
    least = cv2.erode(np.where(none, np.uint8(255), ids), window)
    greatest = cv2.dilate(np.where(none, np.uint8(0), ids), window)
    found: Band = np.not_equal(least, greatest)
    if is_border:
        found[:width_px] = found[-width_px:] = True
        found[:, :width_px] = found[:, -width_px:] = True
    found &= ~none
    return found


class LabelBands:
    """What a label alone says, for all masks that are held against it.

    Args:
        label: uint8 (H, W).
        ignore: label id that does not count.
        part: of the diagonal, the d of boundary IoU.
        widths_px: of the trimaps.
    """

    def __init__(
        self,
        label: Mask,
        *,
        ignore: int | None = None,
        part: float = BOUNDARY_SHARE,
        widths_px: Sequence[int] = TRIMAP_WIDTHS_PX,
    ) -> None:
        height, width = label.shape
        self.label, self.ignore = label, ignore
        self.ignored: Band = np.zeros(label.shape, np.bool_) if ignore is None else label == ignore
        self.distance_px = boundary_distance_px((height, width), part=part)
        #: the pixels within ``distance_px`` of the contours of the label's regions
        self.inner = band(label, self.distance_px, ignored=self.ignored, is_border=True)
        #: positions in the raveled label, one array a trimap
        self.trimaps = {one: np.flatnonzero(band(label, one, ignored=self.ignored)) for one in widths_px}


class BoundaryCounts:
    """Counts near boundaries over any number of frames, of any sizes.

    Args:
        num_classes: ids are 0 to ``num_classes - 1``.
        ignore: label id that does not count.
        widths_px: of the trimaps.

    Example:
        >>> import numpy as np
        >>> counts = BoundaryCounts(2)
        >>> label = np.repeat([[0, 0, 1, 1]], 4, axis=0).astype(np.uint8)
        >>> counts.add(LabelBands(label), label)
        >>> counts.accuracy().boundary_miou
        1.0
    """

    def __init__(
        self, num_classes: int, *, ignore: int | None = None, widths_px: Sequence[int] = TRIMAP_WIDTHS_PX
    ) -> None:
        #: int64 (3, classes): boundary pixels of the labels, of the masks, of both
        self.counts = np.zeros((3, num_classes), np.int64)
        self.trimaps = {width: ConfusionMatrix(num_classes, ignore=ignore) for width in widths_px}
        self.ignore = ignore

    def add(self, bands: LabelBands, mask: Mask) -> None:
        """Count one frame.

        Args:
            bands: of the frame's label, made with this ``ignore`` and these widths.
            mask: uint8 (H, W), the prediction; 255 is a pixel that the net has not seen, a region of no class.
        Raises:
            ShapeError: sizes, ignored labels or widths differ, or an id within a trimap is no class.
        """
        label = bands.label
        if label.shape != mask.shape:
            raise ShapeError(f"label is {label.shape}, mask is {mask.shape}", "compare them at one size")
        if (bands.ignore, set(bands.trimaps)) != (self.ignore, set(self.trimaps)):
            raise ShapeError("the label's bands are for another ignored label or other widths", "make them alike")
        for width, pixels in bands.trimaps.items():
            self.trimaps[width].add(label.ravel()[pixels], mask.ravel()[pixels])
        inner = band(mask, bands.distance_px, ignored=bands.ignored, is_border=True)
        both = bands.inner & inner & (label == mask)
        for row, (ids, where) in enumerate(((label, bands.inner), (mask, inner), (label, both))):
            self.counts[row] += _class_counts(ids, where)[: self.counts.shape[1]]

    def merge(self, other: BoundaryCounts) -> None:
        """Add what another one counted, of other frames.

        Raises:
            ShapeError: it counts other classes or widths, or ignores another label.
        """
        if (other.counts.shape, set(other.trimaps)) != (self.counts.shape, set(self.trimaps)):
            raise ShapeError("counts of other classes or trimap widths do not add up", "count both alike")
        if other.ignore != self.ignore:
            raise ShapeError(f"counts ignore {other.ignore} and {self.ignore}", "count both alike")
        for width, matrix in self.trimaps.items():
            matrix.merge(other.trimaps[width])
        self.counts += other.counts

    def accuracy(self) -> BoundaryAccuracy:
        """What all that was added says."""
        labels, masks, both = self.counts
        iou = without(share(both, labels + masks - both), self.ignore)
        points = {width: matrix.accuracy() for width, matrix in self.trimaps.items()}
        return BoundaryAccuracy(
            boundary_miou=mean(iou),
            boundary_iou=tuple(iou.tolist()),
            trimap=tuple(
                TrimapPoint(width_px=width, miou=one.miou, pixel_accuracy=one.pixel_accuracy)
                for width, one in points.items()
            ),
        )


def _class_counts(ids: Mask, where: Band) -> NDArray[np.int64]:
    return np.bincount(ids[where], minlength=256).astype(np.int64)
