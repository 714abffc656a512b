from __future__ import annotations

import threading
from typing import Any, Literal

import numpy as np
import pytest

from edgeseg.errors import ShapeError
from edgeseg.imaging import postprocess_reference as reference
from edgeseg.imaging.geometry import Placement, Rect
from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.postprocess import MaskFormat, MaskMaker
from edgeseg.spec import ClassSpec, HeadSpec, LabelSpec, UpsampleSpec

#: float32 rounding of four products and three sums of values up to 10
ROUNDING = 1e-5


NEAREST = UpsampleSpec(mode="nearest", coordinates="asymmetric", rounding="floor")


def head(channels: int, size_hw: tuple[int, int], **more: Any) -> HeadSpec:
    decision: Literal["argmax", "threshold"] = "threshold" if channels == 1 else "argmax"
    return HeadSpec(output="logits", channels=channels, size_hw=size_hw, decision=decision, **more)


def ids_head(size_hw: tuple[int, int]) -> HeadSpec:
    return HeadSpec(output="mask", channels=1, size_hw=size_hw, decision="ids")


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
    ("upsample", "torch_mode"),
    [
        (UpsampleSpec(), {"mode": "bilinear", "align_corners": False}),
        (UpsampleSpec(coordinates="align_corners"), {"mode": "bilinear", "align_corners": True}),
        (NEAREST, {"mode": "nearest"}),
        (UpsampleSpec(mode="nearest", rounding="round_prefer_ceil"), {"mode": "nearest-exact"}),
    ],
)
def test_every_rule_is_torchs_and_the_pixels_that_differ_are_ties(
    upsample: UpsampleSpec, torch_mode: dict[str, object]
) -> None:
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(7).normal(0, 3, (1, 19, 64, 128)).astype(np.float32)
    mask = MaskMaker(head(19, (64, 128), upsample=upsample)).mask(logits, size_hw=(360, 640))
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
    mask = MaskMaker(head(3, (4, 5), layout=layout)).mask(moved, size_hw=(4, 5))
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
    maker = MaskMaker(head(2, (8, 8), upsample=NEAREST), input_hw=(32, 32))
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


@pytest.mark.parametrize("rounding", [None, "floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
def test_a_placement_over_everything_changes_nothing(coordinates: Any, rounding: Any) -> None:
    logits = np.random.default_rng(1).normal(size=(1, 5, 8, 8)).astype(np.float32)
    mode: Literal["bilinear", "nearest"] = "nearest" if rounding else "bilinear"
    upsample = UpsampleSpec(mode=mode, coordinates=coordinates, rounding=rounding)
    maker = MaskMaker(head(5, (8, 8), upsample=upsample), input_hw=(64, 64))
    whole = Placement(Rect(0, 0, 64, 64), Rect(0, 0, 64, 64))
    placed, plain = (maker.mask(logits, size_hw=(64, 64), placement=one) for one in (whole, None))
    np.testing.assert_array_equal(placed, plain)


def test_a_placement_without_the_inputs_size_is_refused() -> None:
    with pytest.raises(ShapeError, match="input_hw"):
        MaskMaker(head(2, (2, 2))).mask(
            np.zeros((1, 2, 2, 2), np.float32), size_hw=(4, 4), placement=Placement(Rect(0, 0, 4, 4), Rect(0, 0, 4, 4))
        )


def test_more_sizes_than_are_kept_give_right_masks() -> None:
    maker = MaskMaker(head(3, (4, 4)), threads=1)
    logits = np.random.default_rng(2).normal(size=(1, 3, 4, 4)).astype(np.float32)
    for side in [*range(1, 9), 1, 5]:
        expected = reference.mask_of(reference.enlarged(logits[0], size_hw=(side, side)))
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


PLACEMENTS = [
    Placement(Rect(0, 0, 50, 30), Rect(0, 10, 64, 38)),
    Placement(Rect(10, 5, 30, 20), Rect(0, 0, 64, 64)),
    Placement(Rect(0, 0, 50, 30), Rect(3, 5, 11, 9)),
]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("uncut_hw", [(64, 64), (32, 48), (5, 11)])
def test_a_placed_nearest_mask_is_the_nets_own_mask_enlarged_as_finished_ids_are(
    coordinates: Any, rounding: Any, uncut_hw: tuple[int, int], placement: Placement
) -> None:
    logits = np.random.default_rng(6).normal(size=(1, 7, 8, 12)).astype(np.float32)
    upsample = UpsampleSpec(mode="nearest", coordinates=coordinates, rounding=rounding)
    maker = MaskMaker(head(7, (8, 12), upsample=upsample, uncut_hw=uncut_hw), input_hw=(64, 64))
    own = maker.mask(logits, size_hw=uncut_hw)
    enlarger = MaskMaker(ids_head(uncut_hw), input_hw=(64, 64))
    expected = enlarger.mask(own[None, None].astype(np.int32), size_hw=(30, 50), placement=placement)
    np.testing.assert_array_equal(maker.mask(logits, size_hw=(30, 50), placement=placement), expected)


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
def test_a_placed_linear_mask_shows_every_place_where_the_nets_own_mask_shows_it(coordinates: Any) -> None:
    """Every pixel of a camera picture that is 3 times the letterboxed one has a net pixel in its middle or beside."""
    logits = np.random.default_rng(6).normal(size=(1, 3, 8, 12)).astype(np.float32)
    upsample = UpsampleSpec(coordinates=coordinates)
    maker = MaskMaker(head(3, (8, 12), upsample=upsample, uncut_hw=(64, 96)), input_hw=(64, 96))
    own = maker.mask(logits, size_hw=(64, 96))
    placement = Placement(Rect(0, 0, 288, 144), Rect(0, 8, 96, 48))
    mask = maker.mask(logits, size_hw=(144, 288), placement=placement)
    np.testing.assert_array_equal(mask[1::3, 1::3], own[8:56])


def test_one_class_is_compared_with_the_heads_threshold() -> None:
    scores = np.array([[[[0.2, 0.3], [0.25, 0.9]]]], np.float32)
    maker = MaskMaker(head(1, (2, 2), threshold=0.25, scores="probabilities"))
    confidence = np.empty((2, 2), np.uint8)
    np.testing.assert_array_equal(maker.mask(scores, size_hw=(2, 2), confidence=confidence), [[0, 1], [0, 1]])
    np.testing.assert_array_equal(confidence, np.floor(255 * np.array([[0.8, 0.3], [0.75, 0.9]]) + 0.5))


def test_a_flat_field_at_the_threshold_is_not_lifted_above_it_by_rounding() -> None:
    for value in (0.1, 0.3, -1.7, 1e-3):
        maker = MaskMaker(head(1, (5, 7), threshold=float(np.float32(value))))
        scores = np.full((1, 1, 5, 7), value, np.float32)
        assert not maker.mask(scores, size_hw=(43, 61)).any()


def test_a_nan_of_one_class_is_not_above_any_threshold() -> None:
    maker = MaskMaker(head(1, (2, 2), threshold=-5.0))
    assert not maker.mask(np.full((1, 1, 2, 2), np.nan, np.float32), size_hw=(4, 4)).any()


def test_the_confidence_of_probabilities_is_the_winners_own() -> None:
    scores = np.array([0.6, 0.3, 0.1], np.float32).reshape(1, 3, 1, 1)
    confidence = np.empty((4, 4), np.uint8)
    MaskMaker(head(3, (1, 1), scores="probabilities")).mask(scores, size_hw=(4, 4), confidence=confidence)
    assert (confidence == round(255 * 0.6)).all()


def test_finished_ids_are_enlarged_by_the_id_under_the_middle_of_a_pixel() -> None:
    ids = np.array([[[[0, 1, 2], [3, 4, 5]]]], np.int32)
    maker = MaskMaker(ids_head((2, 3)))
    np.testing.assert_array_equal(maker.mask(ids, size_hw=(2, 3)), ids[0, 0])
    np.testing.assert_array_equal(maker.mask(ids, size_hw=(4, 6)), ids[0, 0].repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(maker.mask(ids, size_hw=(1, 2)), [[3, 5]])
    np.testing.assert_array_equal(maker.mask(ids, size_hw=(3, 4)), [[0, 1, 1, 2], [3, 4, 4, 5], [3, 4, 4, 5]])


def test_ids_that_fit_no_byte_and_pixels_that_were_not_seen_are_outside() -> None:
    ids = np.array([[[[-1, 256], [7, 255]]]], np.int32)
    maker = MaskMaker(ids_head((2, 2)), input_hw=(4, 4), mask_format=MaskFormat(outside=9))
    areas = np.empty(256, np.int64)
    placement = Placement(Rect(1, 0, 2, 2), Rect(0, 0, 4, 4))
    mask = maker.mask(ids, size_hw=(2, 4), placement=placement, areas=areas)
    np.testing.assert_array_equal(mask, [[9, 9, 9, 9], [9, 7, 255, 9]])
    assert (areas[9], areas[7], areas[255], areas.sum()) == (6, 1, 1, 8)


def test_finished_ids_are_drawn_over_a_frame_too() -> None:
    labels = LabelSpec(classes=tuple(ClassSpec(name=name, colour=(200, 0, 0)) for name in "ab"))
    overlay, frame = Overlay(labels, threads=1), np.full((4, 6, 3), 100, np.uint8)
    ids, picture = np.zeros((1, 1, 2, 3), np.int32), np.empty_like(frame)
    mask = MaskMaker(ids_head((2, 3))).mask(ids, size_hw=(4, 6), overlay=overlay, frame=frame, picture=picture)
    np.testing.assert_array_equal(picture, overlay.blend(frame, mask))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": np.zeros((2, 3), np.uint8)}, "no confidence"),
        ({"out": np.broadcast_to(np.zeros(3, np.uint8), (2, 3))}, "read-only"),
        ({"areas": np.zeros(256, np.int32)}, "int64"),
        ({"placement": Placement(Rect(0, 0, 3, 2), Rect(0, 0, 3, 2))}, "input_hw"),
    ],
)
def test_what_finished_ids_cannot_give_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        MaskMaker(ids_head((2, 3))).mask(np.zeros((1, 1, 2, 3), np.int32), size_hw=(2, 3), **options)


def test_ids_of_another_type_than_the_heads_are_refused() -> None:
    with pytest.raises(ShapeError, match="the head gives int32"):
        MaskMaker(ids_head((2, 3))).mask(np.zeros((1, 1, 2, 3), np.int64), size_hw=(2, 3))


def test_no_class_of_finished_ids_can_be_ignored() -> None:
    maker = MaskMaker(ids_head((2, 3)), mask_format=MaskFormat(ignored_class=0))
    with pytest.raises(ShapeError, match="no next best class"):
        maker.mask(np.zeros((1, 1, 2, 3), np.int32), size_hw=(2, 3))
