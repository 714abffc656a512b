"""Own run lengths of masks in COCO's compressed form. Know no file and no class names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseg.imaging.formats import Mask

__all__ = ["ClassRuns", "class_runs", "compressed_counts"]

Counts = NDArray[np.int64]
LONGEST = 13  # characters of 5 bits that hold 64


@dataclass(frozen=True, kw_only=True)
class ClassRuns:
    """Where one class is in a mask.

    Attributes:
        label: the class id.
        counts: lengths of runs down the columns, from left to right: outside, inside, outside ... the first may be 0.
        area: pixels of the class.
        bbox_xywh: left, top, width, height of the smallest box around all of them.
    """

    label: int
    counts: Counts
    area: int
    bbox_xywh: tuple[int, int, int, int]


def class_runs(mask: Mask) -> list[ClassRuns]:
    """The runs of every id that is in ``mask``, uint8 (H, W), by rising id.

    Example:
        >>> [(one.label, one.counts.tolist(), one.area) for one in class_runs(np.array([[0, 7], [7, 7]], np.uint8))]
        [(0, [0, 1, 3], 1), (7, [1, 3], 3)]
    """
    height = mask.shape[0]
    columns = np.ascontiguousarray(mask.T).reshape(-1)
    if not columns.size:
        return []
    starts = np.concatenate(([0], np.flatnonzero(columns[1:] != columns[:-1]) + 1))
    ends = np.append(starts[1:], columns.size)
    labels = columns[starts]
    found = []
    for label in np.unique(labels):
        mine = labels == label
        found.append(_runs_of(int(label), starts[mine], ends[mine], height=height, pixels=columns.size))
    return found


def _runs_of(label: int, starts: Counts, ends: Counts, *, height: int, pixels: int) -> ClassRuns:
    outside = np.append(starts, pixels)
    outside[1:] -= ends
    counts = np.empty(2 * len(starts) + 1, np.int64)
    counts[0::2], counts[1::2] = outside, ends - starts
    return ClassRuns(
        label=label,
        counts=counts if counts[-1] else counts[:-1],
        area=int(counts[1::2].sum()),
        bbox_xywh=_box(starts, ends, height),
    )


def _box(starts: Counts, ends: Counts, height: int) -> tuple[int, int, int, int]:
    left, right = int(starts[0]) // height, int(ends[-1] - 1) // height
    if np.any(starts // height != (ends - 1) // height):  # a run that goes on in the next column touches both edges
        return left, 0, right - left + 1, height
    top, bottom = int((starts % height).min()), int(((ends - 1) % height).max())
    return left, top, right - left + 1, bottom - top + 1


def compressed_counts(counts: Counts) -> str:
    """COCO's string of run lengths, what pycocotools calls ``counts``.

    From the third on a count is kept as its difference to the one before the last; each is cut into 5 bits from the
    low end, with bit 5 set where more follow, and 48 added to make it a character (cocoapi, maskApi.c, rleToString).

    Example:
        >>> compressed_counts(np.array([9, 2, 2, 2, 5]))
        '92203'
    """
    left = np.array(counts, np.int64)
    left[3:] -= counts[1:-2]
    digits = np.zeros((len(left), LONGEST), np.uint8)
    is_used = np.zeros((len(left), LONGEST), np.bool_)
    goes_on = np.ones(len(left), np.bool_)
    for place in range(LONGEST):
        low = left & 0x1F
        left >>= 5  # keeps the sign
        more = np.where(low & 0x10, left != -1, left != 0)
        digits[:, place], is_used[:, place] = low + 32 * more + 48, goes_on
        goes_on &= more
        if not goes_on.any():
            break
    return digits[is_used].tobytes().decode("ascii")
