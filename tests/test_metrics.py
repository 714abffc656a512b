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


def random_pair(seed: int, *, classes: int, ignore: int | None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, (3, 30, 40)).astype(np.uint8)
    mask = np.where(rng.random(label.shape) < 0.6, label, rng.integers(0, classes, label.shape)).astype(np.uint8)
    if ignore is not None:
        label[rng.random(label.shape) < 0.2] = ignore
    return label, mask


@pytest.mark.parametrize(("classes", "ignore"), [(2, None), (5, 255), (19, 255), (150, 200)])
def test_figures_equal_scikit_learns(classes: int, ignore: int | None) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    label, mask = random_pair(classes, classes=classes, ignore=ignore)
    matrix = ConfusionMatrix(classes, ignore=ignore)
    for one_label, one_mask in zip(label, mask, strict=True):
        matrix.add(one_label, one_mask)
    counted = np.full(label.shape, True) if ignore is None else label != ignore
    truth, found = label[counted], mask[counted]
    result, ids = matrix.accuracy(), list(range(classes))
    np.testing.assert_array_equal(matrix.counts[:, :-1], sklearn.confusion_matrix(truth, found, labels=ids))
    assert result.iou == pytest.approx(sklearn.jaccard_score(truth, found, labels=ids, average=None))
    assert result.miou == pytest.approx(sklearn.jaccard_score(truth, found, labels=ids, average="macro"))
    assert result.class_accuracy == pytest.approx(sklearn.recall_score(truth, found, labels=ids, average=None))
    assert result.mean_accuracy == pytest.approx(sklearn.balanced_accuracy_score(truth, found))
    assert result.pixel_accuracy == pytest.approx(sklearn.accuracy_score(truth, found))
    weighted = sklearn.jaccard_score(truth, found, labels=ids, average="weighted")
    assert result.frequency_weighted_iou == pytest.approx(weighted)


def test_a_class_that_is_ignored_counts_in_no_mean() -> None:
    """Its pixels in masks are still misses of the others."""
    matrix = ConfusionMatrix(3, ignore=0)
    matrix.add(np.array([[0, 0, 1, 1, 2, 2]], np.uint8), np.array([[0, 1, 0, 1, 2, 2]], np.uint8))
    result = matrix.accuracy()
    assert np.isnan(result.iou[0])
    assert result.iou[1:] == (0.5, 1.0)
    assert (result.miou, result.pixel_accuracy) == (0.75, 0.75)


@pytest.mark.parametrize("ignore", [None, 255])
def test_merged_counts_equal_one_count_of_all_frames(ignore: int | None) -> None:
    label, mask = random_pair(1, classes=4, ignore=ignore)
    parts, whole = [ConfusionMatrix(4, ignore=ignore) for _ in label], ConfusionMatrix(4, ignore=ignore)
    for part, one_label, one_mask in zip(parts, label, mask, strict=True):
        part.add(one_label, one_mask)
        whole.add(one_label, one_mask)
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    assert parts[0].accuracy() == whole.accuracy()
    assert parts[0].counts.dtype == np.int64


def test_counts_of_other_classes_or_another_ignored_label_are_not_merged() -> None:
    for other in (ConfusionMatrix(4), ConfusionMatrix(3, ignore=255)):
        with pytest.raises(ShapeError, match="do not add"):
            ConfusionMatrix(3).merge(other)


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
