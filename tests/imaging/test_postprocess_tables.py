"""What plans hand to kernels elsewhere: the numbers that the C++ itself uses."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import ShapeError
from edgeseg.imaging import postprocess_reference as reference
from edgeseg.imaging.geometry import Placement, Rect
from edgeseg.imaging.overlay import Overlay, palette_bgr
from edgeseg.imaging.postprocess import MaskFormat, MaskMaker
from edgeseg.spec import ClassSpec, HeadSpec, LabelSpec, UpsampleSpec

NEAREST = UpsampleSpec(mode="nearest", coordinates="asymmetric", rounding="floor")


def head(channels: int, upsample: UpsampleSpec | None = None) -> HeadSpec:
    decision = "threshold" if channels == 1 else "argmax"
    return HeadSpec(
        output="logits", channels=channels, size_hw=(9, 16), decision=decision, upsample=upsample or UpsampleSpec()
    )


@pytest.mark.parametrize("upsample", [UpsampleSpec(), UpsampleSpec(coordinates="align_corners"), NEAREST])
def test_cells_and_weights_are_the_references(upsample: UpsampleSpec) -> None:
    tables = MaskMaker(head(3, upsample), threads=1).tables(size_hw=(50, 101))
    x_cell, x_weight = reference.positions(upsample, logits=16, grid=101, pixels=101)
    y_cell, y_weight = reference.positions(upsample, logits=9, grid=50, pixels=50)
    np.testing.assert_array_equal(tables["x_cell"], x_cell)
    np.testing.assert_array_equal(tables["x_weight"], x_weight)
    np.testing.assert_array_equal(tables["y_cell"], y_cell)
    np.testing.assert_array_equal(tables["y_weight"], y_weight)


def test_pixels_beside_the_window_have_no_cell() -> None:
    placement = Placement(Rect(3, 5, 20, 10), Rect(0, 0, 64, 36))
    tables = MaskMaker(head(3), input_hw=(36, 64), threads=1).tables(size_hw=(18, 32), placement=placement)
    inside = np.zeros(32, bool)
    inside[3:23] = True
    np.testing.assert_array_equal(tables["x_cell"] >= 0, inside)
    assert (tables["y_cell"] >= 0).sum() == 10
    assert tables["window_xywh"] == (3, 5, 20, 10)


def test_one_class_counts_as_two_with_its_threshold() -> None:
    assert MaskMaker(head(1), threads=1).tables(size_hw=(4, 4))["classes"] == 2
    assert MaskMaker(head(7), threads=1).tables(size_hw=(4, 4))["classes"] == 7


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="ignored class 5"):
        MaskMaker(head(3), mask_format=MaskFormat(ignored_class=5), threads=1).tables(size_hw=(4, 4))


def test_an_overlays_colours_are_weighted_and_rounded() -> None:
    labels = LabelSpec(classes=(ClassSpec(name="a", colour=(200, 10, 0)), ClassSpec(name="b", colour=(1, 2, 3))))
    table = Overlay(labels, alpha=0.25, clear=(1,), threads=1).plan.tables()
    np.testing.assert_array_equal(table[0, :3], palette_bgr(labels)[0].astype(int) * 64 + 128)
    assert table[0, 3] == 192
    np.testing.assert_array_equal(table[1], (128, 128, 128, 256))
