"""Own the arithmetic of segmentation accuracy on masks. Run no engine, read no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.spec import UNSEEN

__all__ = ["Accuracy", "ConfusionMatrix", "agreement", "mean", "share", "without"]

Mask = NDArray[np.uint8]
Shares = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Shares from 0 to 1 (Long et al. 2015, section 5).

    A class that stands in neither labels nor masks has NaN and does not count in a mean; nor does the ignored label,
    where that is a class.

    Attributes:
        miou: mean of ``iou``.
        mean_accuracy: mean of ``class_accuracy``.
        pixel_accuracy: hits over labelled pixels.
        frequency_weighted_iou: ``iou``, each class weighted by its share of the labelled pixels.
        iou: of every class, hits over the pixels that label or mask give it.
        class_accuracy: of every class, hits over the pixels that the label gives it (recall).
    """

    miou: float
    mean_accuracy: float
    pixel_accuracy: float
    frequency_weighted_iou: float
    iou: tuple[float, ...]
    class_accuracy: tuple[float, ...]


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
        self.ignore = ignore

    def add(self, label: Mask, mask: Mask) -> None:
        """Count one frame, or some of its pixels.

        Args:
            label: uint8 (H, W) or (n,), the truth.
            mask: uint8 of the same shape, the prediction; 255 is a pixel that the net has not seen, and counts as
                wrong.
        Raises:
            ShapeError: sizes differ, or an id (but for ``ignore`` in labels) is no class.
        """
        if label.shape != mask.shape:
            raise ShapeError(f"label is {label.shape}, mask is {mask.shape}", "compare them at one size")
        joint = np.bincount((label.astype(np.uint16) * 256 + mask).ravel(), minlength=65536).reshape(256, 256)
        if self.ignore is not None:
            joint[self.ignore] = 0
        n = len(self.counts)
        unseen = joint[:, UNSEEN].copy()
        joint[:, UNSEEN] = 0
        if joint[n:].any() or joint[:, n:].any() or unseen[n:].any():
            strange = int(np.flatnonzero(joint.sum(0) + joint.sum(1) + unseen)[-1])
            raise ShapeError(f"id {strange} is no class of {n}", "check the labels' ids and the ignore label")
        self.counts[:, :n] += joint[:n, :n]
        self.counts[:, n] += unseen[:n]

    def merge(self, other: ConfusionMatrix) -> None:
        """Add what another one counted, of other frames.

        Raises:
            ShapeError: it counts other classes, or ignores another label.
        """
        if (len(other.counts), other.ignore) != (len(self.counts), self.ignore):
            raise ShapeError(
                f"counts of {len(other.counts)} classes ignoring {other.ignore} do not add to {len(self.counts)} "
                f"ignoring {self.ignore}",
                "count both alike",
            )
        self.counts += other.counts

    def accuracy(self) -> Accuracy:
        """What all that was added says; NaN throughout where nothing was."""
        hits = np.diagonal(self.counts).astype(np.float64)
        labelled, predicted = self.counts.sum(1), self.counts[:, :-1].sum(0)
        iou = without(share(hits, labelled + predicted - hits), self.ignore)
        recall = share(hits, labelled)
        total = int(labelled.sum())
        return Accuracy(
            miou=mean(iou),
            mean_accuracy=mean(recall),
            pixel_accuracy=float(hits.sum() / total) if total else float("nan"),
            frequency_weighted_iou=float(np.nansum(iou * labelled) / total) if total else float("nan"),
            iou=tuple(iou.tolist()),
            class_accuracy=tuple(recall.tolist()),
        )


def agreement(mask: Mask, other: Mask) -> float:
    """Share of equal pixels, 0 to 1.

    Raises:
        ShapeError: the sizes differ.
    """
    if mask.shape != other.shape:
        raise ShapeError(f"masks are {mask.shape} and {other.shape}", "compare them at one size")
    return float(np.count_nonzero(mask == other) / mask.size)


def share(part: NDArray[Any], whole: NDArray[Any]) -> Shares:
    """``part / whole`` class by class, NaN where ``whole`` is 0; float64 (classes,)."""
    shares: Shares = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return shares


def without(shares: Shares, ignore: int | None) -> Shares:
    """The shares with NaN at the ignored label, where that is a class: it has no truth to be held against."""
    if ignore is not None and ignore < len(shares):
        shares[ignore] = np.nan
    return shares


def mean(shares: Shares) -> float:
    """Mean of those that are not NaN; NaN where all are."""
    return float(np.nanmean(shares)) if np.isfinite(shares).any() else float("nan")
