from __future__ import annotations

import numpy as np
import pytest

from edgeseg.imaging.rle import ClassRuns, class_runs, compressed_counts


def test_known_run_lengths_have_cocos_string() -> None:
    """Made by pycocotools 2.0.11."""
    square = np.zeros((4, 5), np.uint8)
    square[1:3, 2:4] = 1
    assert text_of(square, 1) == "92203"
    large = np.zeros((1000, 1200), np.uint8)
    large[100:900, 300:305] = 1
    assert text_of(large, 1) == KNOWN_LARGE


KNOWN_LARGE = "TRU9Pi0X60000000dmYk0"


def text_of(mask: np.ndarray, label: int) -> str:
    return compressed_counts(run_of(mask, label).counts)


def run_of(mask: np.ndarray, label: int) -> ClassRuns:
    return next(one for one in class_runs(mask) if one.label == label)


def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    found = [rng.integers(0, classes, size, np.uint8) for classes in (1, 2, 5) for size in ((1, 1), (7, 1), (1, 9))]
    for size in ((5, 6), (64, 48), (300, 400)):
        coarse = rng.integers(0, 4, (3, 3), np.uint8)
        rows, columns = (np.arange(side) * 3 // side for side in size)
        found += [coarse[rows][:, columns], rng.integers(0, 3, size, np.uint8), np.full(size, 255, np.uint8)]
    return found


def test_runs_areas_and_boxes_equal_pycocotools() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    for mask in masks():
        found = class_runs(mask)
        assert [one.label for one in found] == np.unique(mask).tolist()
        for one in found:
            theirs = coco.encode(np.asfortranarray(mask == one.label, np.uint8))
            assert compressed_counts(one.counts) == theirs["counts"].decode()
            assert one.area == coco.area(theirs)
            assert one.bbox_xywh == tuple(coco.toBbox(theirs))


def test_runs_cover_the_mask_and_boxes_touch_the_class() -> None:
    for mask in masks():
        assert sum(one.area for one in class_runs(mask)) == mask.size
        for one in class_runs(mask):
            assert one.counts.sum() == mask.size
            rows, columns = np.nonzero(mask == one.label)
            left, top, width, height = one.bbox_xywh
            assert (left, top) == (columns.min(), rows.min())
            assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_a_mask_without_pixels_has_no_runs() -> None:
    assert class_runs(np.empty((0, 5), np.uint8)) == []
