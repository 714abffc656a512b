"""Own the arithmetic of segmentation accuracy on masks. Run no engine, read no file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.spec import UNSEEN

__all__ = ["Accuracy", "ConfusionMatrix", "agreement"]

Mask = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Shares from 0 to 1. A class that stands in neither labels nor masks has NaN and does not count in a mean."""

    miou: float
    mean_accuracy: float
    pixel_accuracy: float
    iou: tuple[float, ...]


class ConfusionMatrix:
    """Counts of (label, prediction) pairs over any number of frames.

    Args:
        num_classes: ids are 0 to ``num_classes - 1``.
        ignore: label id that does not count.

    Example:
        >>> import numpy as np
        >>> matrix = ConfusionMatrix(2)
        >>> matrix.add(np.array([[0, 1]], np.uint8), np.array([[0, 0]], np.uint8))
        >>> matrix.accuracy().pixel_accuracy
        0.5
    """

    def __init__(self, num_classes: int, *, ignore: int | None = None) -> None:
        #: int64 (classes, classes + 1): labels by predictions; the last column holds pixels that no net has seen
        self.counts = np.zeros((num_classes, num_classes + 1), np.int64)
        self._num_classes = num_classes
        self._ignore = ignore

    def add(self, label: Mask, mask: Mask) -> None:
        """Count one frame.

        Args:
            label: uint8 (H, W), the truth.
            mask: uint8 (H, W), the prediction; 255 is a pixel that the net has not seen, and counts as wrong.
        Raises:
            ShapeError: sizes differ, or an id (but for ``ignore`` in labels) is no class.
        """
        if label.shape != mask.shape:
            raise ShapeError(f"label is {label.shape}, mask is {mask.shape}", "compare them at one size")
        joint = np.bincount((label.astype(np.uint16) * 256 + mask).ravel(), minlength=65536).reshape(256, 256)
        if self._ignore is not None:
            joint[self._ignore] = 0
        n = self._num_classes
        unseen = joint[:, UNSEEN].copy()
        joint[:, UNSEEN] = 0
        if joint[n:].any() or joint[:, n:].any() or unseen[n:].any():
            strange = int(np.flatnonzero(joint.sum(0) + joint.sum(1) + unseen)[-1])
            raise ShapeError(f"id {strange} is no class of {n}", "check the labels' ids and the ignore label")
        self.counts[:, :n] += joint[:n, :n]
        self.counts[:, n] += unseen[:n]

    def accuracy(self) -> Accuracy:
        """mIoU, mean class accuracy and pixel accuracy of all that was added (Long et al. 2015, section 5)."""
        hits = np.diagonal(self.counts).astype(np.float64)
        labelled, predicted = self.counts.sum(1), self.counts[:, :-1].sum(0)
        iou = _share(hits, labelled + predicted - hits)
        total = self.counts.sum()
        return Accuracy(
            miou=_mean(iou),
            mean_accuracy=_mean(_share(hits, labelled.astype(np.float64))),
            pixel_accuracy=float(hits.sum() / total) if total else float("nan"),
            iou=tuple(float(value) for value in iou),
        )


def agreement(mask: Mask, other: Mask) -> float:
    """Share of equal pixels, 0 to 1.

    Raises:
        ShapeError: the sizes differ.
    """
    if mask.shape != other.shape:
        raise ShapeError(f"masks are {mask.shape} and {other.shape}", "compare them at one size")
    return float(np.count_nonzero(mask == other) / mask.size)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
