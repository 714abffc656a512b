from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeseg.imaging import postprocess_reference as reference
from edgeseg.imaging.geometry import Placement, Rect
from edgeseg.imaging.postprocess import MaskFormat, MaskMaker
from edgeseg.spec import HeadSpec, UpsampleSpec

#: grey levels: the exponential's error and the rounding at a half
CONFIDENCE_STEP = 1

COORDINATES: list[Any] = ["half_pixel", "align_corners", "asymmetric"]
ROUNDINGS: list[Any] = [None, "floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]
KINDS = ["smooth", "noisy", "tied", "constant", "huge", "denormal", "nan", "near"]


def head(channels: int, size_hw: tuple[int, int], **more: Any) -> HeadSpec:
    decision: Literal["argmax", "threshold"] = "threshold" if channels == 1 else "argmax"
    return HeadSpec(output="logits", channels=channels, size_hw=size_hw, decision=decision, **more)


def upsample_of(coordinates: Any, rounding: Any) -> UpsampleSpec:
    return UpsampleSpec(mode="nearest" if rounding else "bilinear", coordinates=coordinates, rounding=rounding)


def logits_of(kind: str, shape: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Fields that a shortcut could take wrongly."""
    values = rng.normal(0, 3, shape)
    if kind == "smooth":
        rows, columns = np.linspace(0, 3, shape[1])[:, None], np.linspace(0, 3, shape[2])
        phase = rng.uniform(0, 6, (3, shape[0], 1, 1))
        values = 5 * np.sin(rows + phase[0]) * np.sin(columns + phase[1]) + phase[2]
    elif kind == "tied":
        values = rng.integers(-1, 2, shape)
    elif kind == "constant":
        values = np.full(shape, rng.normal())
    elif kind == "huge":
        values = rng.choice([-3.4e38, -1e38, 0.0, 1e38, 3.4e38, np.inf, -np.inf], shape)
    elif kind == "denormal":
        values = rng.integers(-3, 4, shape) * 1e-45
    elif kind == "nan":
        values[rng.random(shape) < 0.2] = np.nan
    elif kind == "near":  # classes that differ in the last places
        values = 1.0 + rng.integers(-2, 3, shape) * 2.0**-23
    return values.astype(np.float32)


def check(
    logits: NDArray[np.generic],
    planes: NDArray[np.float32],
    size_hw: tuple[int, int],
    model_head: HeadSpec,
    form: MaskFormat,
    threads: int,
) -> None:
    """The native mask, areas and confidence against the plain loop's."""
    beside = reference.beside_threshold(planes, model_head.threshold)
    values = reference.enlarged(beside, size_hw=size_hw, upsample=model_head.upsample)
    expected = reference.mask_of(values, ignored_class=form.ignored_class)
    maker = MaskMaker(model_head, mask_format=form, threads=threads)
    areas, confidence = np.empty(256, np.int64), np.empty(size_hw, np.uint8)
    np.testing.assert_array_equal(maker.mask(logits, size_hw=size_hw, areas=areas), expected)
    np.testing.assert_array_equal(areas, np.bincount(expected.ravel(), minlength=256))
    np.testing.assert_array_equal(maker.mask(logits, size_hw=size_hw, confidence=confidence), expected)
    sure = reference.confidence_of(
        values,
        ignored_class=form.ignored_class,
        is_one=len(planes) == 1,
        has_probabilities=model_head.scores == "probabilities",
    )
    assert np.abs(sure.astype(int) - confidence).max() <= CONFIDENCE_STEP


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    shape=st.tuples(st.one_of(st.just(1), st.integers(1, 40)), st.integers(1, 12), st.integers(1, 40)),
    size_hw=st.tuples(st.integers(1, 70), st.integers(1, 130)),
    coordinates=st.sampled_from(COORDINATES),
    rounding=st.sampled_from([None, *ROUNDINGS]),
    threshold=st.sampled_from([0.0, 0.5, -1.25, 1.0, 1e30]),
    scores=st.sampled_from(["logits", "probabilities"]),
    seed=st.integers(0, 10**6),
)
def test_the_shortcuts_mask_is_the_plain_loops_to_the_bit(
    kind: str,
    shape: tuple[int, int, int],
    size_hw: tuple[int, int],
    coordinates: Any,
    rounding: Any,
    threshold: float,
    scores: Any,
    seed: int,
) -> None:
    planes = logits_of(kind, shape, np.random.default_rng(seed))
    upsample = upsample_of(coordinates, rounding)
    model_head = head(shape[0], shape[1:], upsample=upsample, threshold=threshold, scores=scores)
    check(planes[None], reference.clean(planes), size_hw, model_head, MaskFormat(), threads=1 + seed % 3)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("rounding", [None, "floor", "round_prefer_ceil"])
@pytest.mark.parametrize("channels", [1, 2, 19, 33, 255])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_type_layout_rule_and_class_count_gives_the_references_mask(
    layout: Literal["NCHW", "NHWC"],
    dtype: Literal["float32", "float16", "int8"],
    coordinates: Any,
    rounding: Any,
    channels: int,
    threads: int,
) -> None:
    rng = np.random.default_rng(channels)
    given_logits = (
        rng.integers(-128, 128, (channels, 7, 18)).astype(np.int8)
        if dtype == "int8"
        else rng.normal(0, 2, (channels, 7, 18)).astype(dtype)
    )
    planes = reference.clean(given_logits, 0.05)
    moved = given_logits[None] if layout == "NCHW" else np.ascontiguousarray(given_logits.transpose(1, 2, 0))[None]
    form = MaskFormat(dtype=dtype, scale=0.05, ignored_class=channels // 2 if channels > 2 else None)
    model_head = head(channels, (7, 18), layout=layout, upsample=upsample_of(coordinates, rounding))
    for size_hw in ((31, 75), (7, 18), (3, 5)):
        check(moved, planes, size_hw, model_head, form, threads)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_positions_are_those_of_onnx_in_exact_arithmetic(coordinates: Any, rounding: Any) -> None:
    """But for the weights' rounding, and for positions at which a rounding decides which neighbour is taken."""
    upsample = upsample_of(coordinates, rounding)
    for logits, pixels in [(4, 8), (5, 7), (9, 4), (1, 6), (6, 1), (12, 12), (7, 100), (100, 7)]:
        here, weight = reference.positions(upsample, logits=logits, grid=pixels, pixels=pixels)
        exact = [exact_position(coordinates, logits, pixels, index) for index in range(pixels)]
        for found, share, place in zip(here, weight, exact, strict=True):
            if rounding is None:
                inside = min(max(place, Fraction(0)), Fraction(logits - 1))
                assert abs(float(found) + float(share) - float(inside)) < 1e-4 or found == logits - 1 <= inside
            elif place.denominator > 2:  # not where the rule's own rounding jumps
                assert found == min(max(exact_neighbour(rounding, place), 0), logits - 1)


def exact_position(coordinates: str, logits: int, pixels: int, index: int) -> Fraction:
    if coordinates == "half_pixel":
        return (index + Fraction(1, 2)) * Fraction(logits, pixels) - Fraction(1, 2)
    if coordinates == "asymmetric":
        return index * Fraction(logits, pixels)
    return Fraction(index * (logits - 1), pixels - 1) if pixels > 1 else Fraction(0)


def exact_neighbour(rounding: str, place: Fraction) -> int:
    half = Fraction(1, 2)
    return {
        "floor": floor(place),
        "ceil": ceil(place),
        "round_prefer_floor": ceil(place - half),
        "round_prefer_ceil": floor(place + half),
    }[rounding]


@pytest.mark.parametrize("kind", KINDS)
def test_strided_logits_and_a_pitched_mask_are_taken_as_they_are(kind: str) -> None:
    planes = logits_of(kind, (5, 9, 21), np.random.default_rng(0))
    wide = np.zeros((10, 18, 42), np.float32)
    view = wide[::2, ::-2, ::2]
    view[:] = planes
    out = np.full((40, 100), 9, np.uint8)
    maker = MaskMaker(head(5, (9, 21)), threads=2)
    maker.mask(view[None], size_hw=(40, 60), out=out[:, 20:80])
    values = reference.enlarged(reference.clean(planes), size_hw=(40, 60))
    np.testing.assert_array_equal(out[:, 20:80], reference.mask_of(values))
    assert (out[:, :20] == 9).all() and (out[:, 80:] == 9).all()


@pytest.mark.parametrize(
    "placement",
    [
        Placement(Rect(0, 0, 50, 30), Rect(0, 10, 64, 38)),
        Placement(Rect(10, 5, 30, 20), Rect(0, 0, 64, 64)),
        Placement(Rect(49, 29, 1, 1), Rect(63, 63, 1, 1)),
    ],
)
def test_a_placed_mask_is_the_references_of_that_region(placement: Placement) -> None:
    planes = np.random.default_rng(4).normal(size=(6, 8, 16)).astype(np.float32)
    mask = MaskMaker(head(6, (8, 16)), input_hw=(64, 64)).mask(planes[None], size_hw=(30, 50), placement=placement)
    source, target = placement
    region = (float(target.x), float(target.y), float(target.width), float(target.height))
    size_hw = (source.height, source.width)
    values = reference.enlarged(planes, size_hw=size_hw, grid_hw=(64, 64), region=region)
    expected = np.full((30, 50), 255, np.uint8)
    expected[source.y : source.y + source.height, source.x : source.x + source.width] = reference.mask_of(values)
    np.testing.assert_array_equal(mask, expected)
