"""Accuracy near boundaries, against masks eroded class by class as the authors of boundary IoU do it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeseg.boundaries import BoundaryCounts, LabelBands, band, boundary_distance_px
from edgeseg.errors import ShapeError
from edgeseg.metrics import ConfusionMatrix

CLASSES = 5


def regions(seed: int, size_hw: tuple[int, int] = (47, 61), *, classes: int = CLASSES) -> np.ndarray:
    """Blobs of a few pixels, so that every width meets boundaries."""
    import cv2

    rng = np.random.default_rng(seed)
    small = rng.integers(0, classes, (size_hw[0] // 6, size_hw[1] // 6)).astype(np.uint8)
    return cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_NEAREST)


def pair(seed: int, *, ignore: int | None) -> tuple[np.ndarray, np.ndarray]:
    """A label, with a strip and specks to be ignored, and a mask that is mostly right."""
    rng = np.random.default_rng(seed)
    label = regions(seed)
    mask = np.roll(label, 2, axis=1)
    mask[30:] = regions(seed + 100)[30:]
    if ignore is not None:
        label[:6] = ignore
        label[rng.random(label.shape) < 0.02] = ignore
    return label, mask


def own_boundary(ids: np.ndarray, one: int, ignored: np.ndarray, distance_px: int) -> np.ndarray:
    """Class ``one`` less its erosion by 3 x 3, ``distance_px`` times, zeros around the image."""
    ndimage = pytest.importorskip("scipy.ndimage")
    region = (ids == one) & ~ignored
    eroded = ndimage.binary_erosion(region | ignored, np.ones((3, 3)), iterations=distance_px, border_value=0)
    return region & ~eroded


def near_another_class(label: np.ndarray, ignored: np.ndarray, width_px: int) -> np.ndarray:
    """Pixel by pixel: does the square around it hold another class?"""
    found = np.zeros(label.shape, bool)
    for row, column in np.argwhere(~ignored):
        rows, columns = (slice(max(0, at - width_px), at + width_px + 1) for at in (row, column))
        around = label[rows, columns][~ignored[rows, columns]]
        found[row, column] = (around != label[row, column]).any()
    return found


@pytest.mark.parametrize("ignore", [None, 255, 2])
@pytest.mark.parametrize("part", [0.02, 0.06])
def test_boundary_iou_equals_erosion_class_by_class(ignore: int | None, part: float) -> None:
    counts, both, either = BoundaryCounts(CLASSES, ignore=ignore), np.zeros(CLASSES), np.zeros(CLASSES)
    for seed in range(3):
        label, mask = pair(seed, ignore=ignore)
        bands = LabelBands(label, ignore=ignore, part=part)
        counts.add(bands, mask)
        ignored = np.zeros(label.shape, bool) if ignore is None else label == ignore
        for one in range(CLASSES):
            truth, found = (own_boundary(ids, one, ignored, bands.distance_px) for ids in (label, mask))
            both[one] += (truth & found).sum()
            either[one] += (truth | found).sum()
    expected = both / either
    if ignore == 2:
        expected[2] = np.nan
    result = counts.accuracy()
    assert result.boundary_iou == pytest.approx(expected, nan_ok=True)
    assert result.boundary_miou == pytest.approx(np.nanmean(expected))


@pytest.mark.parametrize("ignore", [None, 255, 2])
def test_the_trimap_holds_what_is_near_another_class(ignore: int | None) -> None:
    label, mask = pair(5, ignore=ignore)
    counts = BoundaryCounts(CLASSES, ignore=ignore)
    counts.add(LabelBands(label, ignore=ignore), mask)
    ignored = np.zeros(label.shape, bool) if ignore is None else label == ignore
    for point in counts.accuracy().trimap:
        inside = near_another_class(label, ignored, point.width_px)
        matrix = ConfusionMatrix(CLASSES, ignore=ignore)
        matrix.add(label[inside], mask[inside])
        assert point.miou == matrix.accuracy().miou
        assert point.pixel_accuracy == pytest.approx((label == mask)[inside].mean())


@pytest.mark.parametrize(
    ("size_hw", "distance_px"), [((540, 960), 22), ((1024, 2048), 46), ((1, 1), 1), ((30, 40), 1), ((60, 80), 2)]
)
def test_the_distance_is_two_percent_of_the_diagonal_and_at_least_one(
    size_hw: tuple[int, int], distance_px: int
) -> None:
    assert boundary_distance_px(size_hw) == distance_px


def test_an_ignored_strip_is_no_boundary_but_the_classes_beside_it_bound_each_other() -> None:
    strip = np.array([0, 0, 0, 255, 255, 1, 1, 1], np.uint8)
    label = np.tile(strip, (8, 1))
    ignored = label == 255
    assert not band(label, 2, ignored=ignored).any()
    np.testing.assert_array_equal(band(label, 3, ignored=ignored)[0], [0, 0, 1, 0, 0, 1, 0, 0])
    alone = np.where(label == 1, 0, label)
    assert not band(alone, 3, ignored=ignored).any()


def test_what_a_net_says_where_the_label_is_ignored_costs_it_nothing() -> None:
    label = np.zeros((40, 40), np.uint8)
    label[20:] = 1
    label[:, :10] = 255
    mask = np.where(label == 255, 0, label)
    mask[5:9, 2:7] = 3
    counts = BoundaryCounts(4, ignore=255)
    counts.add(LabelBands(label, ignore=255), mask)
    result = counts.accuracy()
    assert result.boundary_iou[:2] == (1.0, 1.0)
    assert math.isnan(result.boundary_iou[3])
    assert {point.miou for point in result.trimap} == {1.0}


def test_a_region_that_the_net_has_not_seen_bounds_its_neighbours() -> None:
    label = np.zeros((40, 40), np.uint8)
    mask = label.copy()
    mask[15:25, 15:25] = 255
    counts = BoundaryCounts(1)
    counts.add(LabelBands(label), mask)
    assert counts.counts[0, 0] < counts.counts[1, 0]
    assert counts.accuracy().boundary_iou[0] < 1.0


def test_a_frame_of_one_class_has_a_border_and_no_trimap() -> None:
    label = np.zeros((20, 30), np.uint8)
    counts = BoundaryCounts(2)
    counts.add(LabelBands(label), label)
    result = counts.accuracy()
    assert result.boundary_iou[0] == 1.0
    assert math.isnan(result.boundary_iou[1])
    assert all(math.isnan(point.miou) and math.isnan(point.pixel_accuracy) for point in result.trimap)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (2, 3)])
def test_frames_smaller_than_the_widths_are_judged(size_hw: tuple[int, int]) -> None:
    label = np.zeros(size_hw, np.uint8)
    counts = BoundaryCounts(1)
    counts.add(LabelBands(label), label)
    assert counts.accuracy().boundary_miou == 1.0


def test_merged_counts_equal_one_count_of_all_frames() -> None:
    one, other, whole = (BoundaryCounts(CLASSES, ignore=255) for _ in range(3))
    for counts, seed in ((one, 1), (other, 2)):
        label, mask = pair(seed, ignore=255)
        for each in (counts, whole):
            each.add(LabelBands(label, ignore=255), mask)
    one.merge(other)
    assert one.accuracy() == whole.accuracy()


@pytest.mark.parametrize("other", [BoundaryCounts(3), BoundaryCounts(4, ignore=255), BoundaryCounts(4, widths_px=(2,))])
def test_counts_that_do_not_fit_are_not_merged(other: BoundaryCounts) -> None:
    with pytest.raises(ShapeError, match="count both alike"):
        BoundaryCounts(4).merge(other)


def test_bands_of_another_ignored_label_or_size_are_refused() -> None:
    label = np.zeros((4, 4), np.uint8)
    with pytest.raises(ShapeError, match="make them alike"):
        BoundaryCounts(2, ignore=255).add(LabelBands(label), label)
    with pytest.raises(ShapeError, match="one size"):
        BoundaryCounts(2).add(LabelBands(label), label[:2])
