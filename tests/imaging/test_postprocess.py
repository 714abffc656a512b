from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from edgeseg.errors import ShapeError
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.spec import HeadSpec

#: float32 rounding of four products and three sums of values up to 10
ROUNDING = 1e-5


def head(channels: int, size_hw: tuple[int, int]) -> HeadSpec:
    decision: Literal["argmax", "threshold"] = "threshold" if channels == 1 else "argmax"
    return HeadSpec(output="logits", channels=channels, size_hw=size_hw, decision=decision)


@pytest.mark.parametrize("size_hw", [(1, 1), (15, 31), (16, 32), (64, 100), (7, 5), (180, 320)])
@pytest.mark.parametrize("channels", [2, 9, 21])
def test_the_mask_equals_torchs_wherever_the_two_best_classes_differ(channels: int, size_hw: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(channels).normal(0, 3, (1, channels, 16, 32)).astype(np.float32)
    mask = MaskMaker(head(channels, (16, 32))).mask(logits, size_hw=size_hw)
    enlarged = torch.nn.functional.interpolate(torch.from_numpy(logits), size=size_hw, mode="bilinear")
    best = enlarged.topk(2, dim=1).values[0]
    is_clear = (best[0] - best[1] > ROUNDING).numpy()
    np.testing.assert_array_equal(mask[is_clear], enlarged.argmax(1)[0].numpy()[is_clear])
    assert is_clear.mean() > 0.99


def test_all_negative_logits_still_have_a_best_class() -> None:
    logits = np.full((1, 3, 2, 2), -5.0, np.float32)
    logits[0, 2] = -1.0
    assert (MaskMaker(head(3, (2, 2))).mask(logits, size_hw=(5, 5)) == 2).all()


def test_a_tie_goes_to_the_lowest_class() -> None:
    assert (MaskMaker(head(4, (2, 2))).mask(np.ones((1, 4, 2, 2), np.float32), size_hw=(6, 6)) == 0).all()


def test_one_channel_is_a_threshold_at_zero_and_not_all_background() -> None:
    logits = np.array([[[[-2.0, 3.0], [0.0, 1.0]]]], np.float32)
    mask = MaskMaker(head(1, (2, 2))).mask(logits, size_hw=(2, 2))
    np.testing.assert_array_equal(mask, [[0, 1], [0, 1]])
    assert mask.dtype == np.uint8


def test_the_callers_buffer_is_filled_and_returned() -> None:
    maker = MaskMaker(head(2, (2, 2)))
    out = np.full((4, 4), 77, np.uint8)
    logits = np.random.default_rng(0).normal(size=(1, 2, 2, 2)).astype(np.float32)
    assert maker.mask(logits, size_hw=(4, 4), out=out) is out
    np.testing.assert_array_equal(out, maker.mask(logits, size_hw=(4, 4)))


def test_a_change_of_size_between_calls_is_taken() -> None:
    maker = MaskMaker(head(2, (2, 2)))
    logits = np.zeros((1, 2, 2, 2), np.float32)
    assert [maker.mask(logits, size_hw=size).shape for size in ((4, 4), (9, 3), (4, 4))] == [(4, 4), (9, 3), (4, 4)]


@pytest.mark.parametrize("size_hw", [(0, 4), (4, 0)])
def test_an_empty_mask_is_refused(size_hw: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="no pixel"):
        MaskMaker(head(2, (2, 2))).mask(np.zeros((1, 2, 2, 2), np.float32), size_hw=size_hw)


def test_logits_of_another_shape_or_type_are_refused() -> None:
    maker = MaskMaker(head(2, (2, 2)))
    for logits in (np.zeros((1, 3, 2, 2), np.float32), np.zeros((1, 2, 2, 2), np.float64)):
        with pytest.raises(ShapeError, match="the head gives"):
            maker.mask(logits, size_hw=(2, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("out", [np.zeros((3, 4), np.uint8), np.zeros((4, 4), np.int64)])
def test_an_out_buffer_of_another_shape_or_type_is_refused(out: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="out is"):
        MaskMaker(head(2, (2, 2))).mask(np.zeros((1, 2, 2, 2), np.float32), size_hw=(4, 4), out=out)
