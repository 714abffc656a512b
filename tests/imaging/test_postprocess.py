from __future__ import annotations

import threading
from typing import Literal

import numpy as np
import pytest

from edgeseg.errors import ShapeError
from edgeseg.imaging import postprocess_reference as reference
from edgeseg.imaging.geometry import Placement, Rect
from edgeseg.imaging.postprocess import MaskFormat, MaskMaker
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


@pytest.mark.parametrize(
    ("rule", "torch_mode"),
    [
        ("half_pixel", {"mode": "bilinear", "align_corners": False}),
        ("align_corners", {"mode": "bilinear", "align_corners": True}),
        ("nearest", {"mode": "nearest"}),
    ],
)
def test_every_rule_is_torchs_and_the_pixels_that_differ_are_ties(
    rule: reference.Rule, torch_mode: dict[str, object]
) -> None:
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(7).normal(0, 3, (1, 19, 64, 128)).astype(np.float32)
    mask = MaskMaker(head(19, (64, 128)), mask_format=MaskFormat(rule=rule)).mask(logits, size_hw=(360, 640))
    values = torch.nn.functional.interpolate(torch.from_numpy(logits), size=(360, 640), **torch_mode)
    best = values.topk(2, dim=1).values[0]
    differs = mask != values.argmax(1)[0].numpy()
    assert (best[0] - best[1]).numpy()[differs].max(initial=0.0) <= ROUNDING
    assert differs.sum() <= 5  # of 230,400


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


LARGEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_nan_never_wins_and_neither_does_minus_infinity(value: float, layout: Literal["NCHW", "NHWC"]) -> None:
    logits = np.full((1, 3, 4, 5), -1000.0, np.float32)
    logits[0, 1] = value
    logits[0, 0, :2] = value
    logits[0, 0, 2:] = 1.0
    moved = logits if layout == "NCHW" else logits.transpose(0, 2, 3, 1)
    mask = MaskMaker(head(3, (4, 5)), mask_format=MaskFormat(layout=layout)).mask(moved, size_hw=(4, 5))
    np.testing.assert_array_equal(mask, [[2] * 5] * 2 + [[0] * 5] * 2)


def test_where_every_class_is_nan_class_0_is_taken() -> None:
    logits = np.full((1, 3, 4, 4), np.nan, np.float32)
    assert (MaskMaker(head(3, (4, 4))).mask(logits, size_hw=(9, 9)) == 0).all()


def test_infinite_logits_win_as_the_largest_numbers_do() -> None:
    logits = np.zeros((1, 3, 2, 2), np.float32)
    logits[0, 2] = np.inf
    assert (MaskMaker(head(3, (2, 2))).mask(logits, size_hw=(7, 7)) == 2).all()
    logits[0, 1] = LARGEST
    assert (MaskMaker(head(3, (2, 2))).mask(logits, size_hw=(7, 7)) == 1).all()


def test_an_ignored_class_leaves_its_pixels_to_the_next_best() -> None:
    logits = np.zeros((1, 3, 2, 2), np.float32)
    logits[0, 1], logits[0, 2] = 5.0, 3.0
    maker = MaskMaker(head(3, (2, 2)), mask_format=MaskFormat(ignored_class=1))
    assert (maker.mask(logits, size_hw=(4, 4)) == 2).all()


def test_areas_count_the_pixels_of_every_label() -> None:
    logits = np.random.default_rng(3).normal(size=(1, 9, 16, 32)).astype(np.float32)
    areas = np.empty(256, np.int64)
    mask = MaskMaker(head(9, (16, 32))).mask(logits, size_hw=(97, 203), areas=areas)
    np.testing.assert_array_equal(areas, np.bincount(mask.ravel(), minlength=256))


def test_a_letterboxed_mask_shows_the_picture_and_not_the_bars() -> None:
    """A 40 x 20 picture in a 32 x 32 input lies in rows 8 to 23: logits rows 2 to 5 of 8."""
    logits = np.zeros((1, 2, 8, 8), np.float32)
    logits[0, 0], logits[0, 1, 2:6] = 1.0, 2.0
    maker = MaskMaker(head(2, (8, 8)), input_hw=(32, 32), mask_format=MaskFormat(rule="nearest"))
    placement = Placement(Rect(0, 0, 40, 20), Rect(0, 8, 32, 16))
    assert (maker.mask(logits, size_hw=(20, 40), placement=placement) == 1).all()


def test_what_a_crop_left_out_gets_the_outside_label() -> None:
    logits = np.zeros((1, 2, 4, 4), np.float32)
    logits[0, 1] = 1.0
    maker = MaskMaker(head(2, (4, 4)), input_hw=(16, 16), mask_format=MaskFormat(outside=77))
    areas, confidence = np.empty(256, np.int64), np.empty((10, 30), np.uint8)
    placement = Placement(Rect(10, 0, 10, 10), Rect(0, 0, 16, 16))
    mask = maker.mask(logits, size_hw=(10, 30), placement=placement, areas=areas, confidence=confidence)
    np.testing.assert_array_equal(mask, [[77] * 10 + [1] * 10 + [77] * 10] * 10)
    assert (areas[77], areas[1], areas.sum()) == (200, 100, 300)
    assert (confidence[:, :10] == 0).all() and (confidence[:, 10:20] == 186).all()  # 255 / (1 + 1/e)


@pytest.mark.parametrize("rule", ["half_pixel", "align_corners"])
def test_a_placement_over_everything_changes_nothing_but_the_rule(rule: reference.Rule) -> None:
    logits = np.random.default_rng(1).normal(size=(1, 5, 8, 8)).astype(np.float32)
    maker = MaskMaker(head(5, (8, 8)), input_hw=(64, 64), mask_format=MaskFormat(rule=rule))
    whole = Placement(Rect(0, 0, 64, 64), Rect(0, 0, 64, 64))
    placed, plain = (maker.mask(logits, size_hw=(64, 64), placement=one) for one in (whole, None))
    assert (placed != plain).mean() < 1e-3  # positions are computed another way: rounding


def test_a_placement_without_the_inputs_size_is_refused() -> None:
    with pytest.raises(ShapeError, match="input_hw"):
        MaskMaker(head(2, (2, 2))).mask(
            np.zeros((1, 2, 2, 2), np.float32), size_hw=(4, 4), placement=Placement(Rect(0, 0, 4, 4), Rect(0, 0, 4, 4))
        )


def test_more_sizes_than_are_kept_give_right_masks() -> None:
    maker = MaskMaker(head(3, (4, 4)), threads=1)
    logits = np.random.default_rng(2).normal(size=(1, 3, 4, 4)).astype(np.float32)
    for side in [*range(1, 9), 1, 5]:
        expected = reference.mask_of(reference.enlarged(logits[0], size_hw=(side, side), rule="half_pixel"))
        np.testing.assert_array_equal(maker.mask(logits, size_hw=(side, side)), expected)


def test_logits_come_by_dlpack_and_as_c_buffers_too() -> None:
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(2).normal(size=(1, 3, 4, 4)).astype(np.float32)
    maker = MaskMaker(head(3, (4, 4)))
    expected = maker.mask(logits, size_hw=(9, 9))
    for given in (torch.from_numpy(logits), memoryview(logits)):
        np.testing.assert_array_equal(maker.mask(given, size_hw=(9, 9)), expected)
    with pytest.raises(ShapeError, match="list is no buffer in host memory"):
        maker.mask([[1.0]], size_hw=(9, 9))  # type: ignore[arg-type]


def test_two_threads_may_share_a_maker() -> None:
    maker = MaskMaker(head(4, (16, 16)), threads=2)
    logits = [np.random.default_rng(seed).normal(size=(1, 4, 16, 16)).astype(np.float32) for seed in range(2)]
    expected = [maker.mask(one, size_hw=(90, 90)) for one in logits]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(200):
            if not np.array_equal(maker.mask(logits[index], size_hw=(90, 90)), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_mask_is_written_into_memoryviews_and_dlpack_tensors_too() -> None:
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(0).normal(size=(1, 3, 4, 6)).astype(np.float32)
    maker = MaskMaker(head(3, (4, 6)))
    expected = maker.mask(logits, size_hw=(9, 11))
    for out in (memoryview(np.empty((9, 11), np.uint8)), torch.empty((9, 11), dtype=torch.uint8)):
        assert maker.mask(torch.from_numpy(logits), size_hw=(9, 11), out=out) is out
        np.testing.assert_array_equal(np.asarray(out), expected)
