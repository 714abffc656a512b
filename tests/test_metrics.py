from __future__ import annotations

import math

import numpy as np
import pytest

from edgeseg.errors import ShapeError
from edgeseg.metrics import ConfusionMatrix, agreement


def brute_force(label: np.ndarray, mask: np.ndarray, classes: int, ignore: int) -> tuple[list[float], list[float]]:
    """IoU and accuracy of every class by set arithmetic."""
    seen = label != ignore
    iou, accuracy = [], []
    for one in range(classes):
        truth, found = (label == one) & seen, (mask == one) & seen
        iou.append((truth & found).sum() / (truth | found).sum())
        accuracy.append((truth & found).sum() / truth.sum())
    return iou, accuracy


def test_figures_equal_set_arithmetic_over_several_frames() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, (3, 40, 50)).astype(np.uint8)
    mask = np.where(rng.random(label.shape) < 0.7, label, rng.integers(0, 5, label.shape)).astype(np.uint8)
    label[:, :4] = 255
    matrix = ConfusionMatrix(5, ignore=255)
    for one_label, one_mask in zip(label, mask, strict=True):
        matrix.add(one_label, one_mask)
    iou, per_class = brute_force(label, mask, 5, 255)
    result = matrix.accuracy()
    assert result.iou == pytest.approx(iou)
    assert result.miou == pytest.approx(np.mean(iou))
    assert result.mean_accuracy == pytest.approx(np.mean(per_class))
    assert result.pixel_accuracy == pytest.approx((label == mask)[label != 255].mean())


def test_a_class_that_is_nowhere_counts_in_no_mean() -> None:
    matrix = ConfusionMatrix(3)
    matrix.add(np.zeros((2, 2), np.uint8), np.array([[0, 0], [0, 1]], np.uint8))
    result = matrix.accuracy()
    assert math.isnan(result.iou[2])
    assert result.miou == pytest.approx((0.75 + 0.0) / 2)
    assert result.mean_accuracy == 0.75


def test_nothing_added_gives_nan_and_no_error() -> None:
    result = ConfusionMatrix(2).accuracy()
    assert math.isnan(result.miou)
    assert math.isnan(result.pixel_accuracy)


@pytest.mark.parametrize(("label", "mask"), [(7, 0), (0, 7), (255, 0)])
def test_an_id_that_is_no_class_is_refused(label: int, mask: int) -> None:
    with pytest.raises(ShapeError, match="is no class of 3"):
        ConfusionMatrix(3).add(np.full((1, 1), label, np.uint8), np.full((1, 1), mask, np.uint8))


def test_a_pixel_that_the_net_has_not_seen_counts_as_wrong() -> None:
    matrix = ConfusionMatrix(2)
    matrix.add(np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 255, 1, 1]], np.uint8))
    result = matrix.accuracy()
    assert result.pixel_accuracy == 0.75
    assert result.iou == (0.5, 1.0)


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ShapeError, match="one size"):
        ConfusionMatrix(3).add(np.zeros((1, 2), np.uint8), np.zeros((2, 1), np.uint8))
    with pytest.raises(ShapeError, match="one size"):
        agreement(np.zeros((1, 2), np.uint8), np.zeros((2, 1), np.uint8))


def test_agreement_is_the_share_of_equal_pixels() -> None:
    assert agreement(np.array([[1, 2, 3, 4]], np.uint8), np.array([[1, 2, 0, 4]], np.uint8)) == 0.75
