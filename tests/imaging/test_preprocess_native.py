"""The kernels against the NumPy reference, over every combination of options, and what they refuse."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.errors import ShapeError
from edgeseg.imaging.formats import (
    COLOUR_MATRICES,
    PIXEL_FORMATS,
    ColourMatrix,
    Picture,
    PixelFormat,
    TensorFormat,
    picture_view,
)
from edgeseg.imaging.geometry import Rect
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.imaging.preprocess_reference import reference_tensor
from edgeseg.spec import InputSpec, Interpolation, ResizeRule

RULES, INTERPOLATIONS = get_args(ResizeRule), get_args(Interpolation)
COLOURS, DTYPES, LAYOUTS = ("RGB", "BGR", "GRAY"), ("float32", "float16", "uint8", "int8"), ("NCHW", "NHWC")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INT_SCALE = 1 / 50
#: pixel / 255 in float32, 1e-5, over the smallest std
FLOAT_TOLERANCE = 1e-5 / min(STD)


def image_spec(size_hw: tuple[int, int], colour: str = "RGB", **kwargs: Any) -> InputSpec:
    channels = 1 if colour == "GRAY" else 3
    fixed = {"name": "image", "size_hw": size_hw, "mean": MEAN[:channels], "std": STD[:channels]}
    return InputSpec(**fixed, colour=colour, **kwargs)  # type: ignore[arg-type]


def held_as(dtype: str, layout: str = "NCHW") -> TensorFormat:
    scale = INT_SCALE if dtype in ("uint8", "int8") else 1.0
    return TensorFormat(dtype=dtype, layout=layout, scale=scale)  # type: ignore[arg-type]


def random_picture(
    pixel_format: PixelFormat, size_wh: tuple[int, int], *, slack: int = 0, offset: int = 0, seed: int = 0
) -> Picture:
    """Noise, with ``slack`` bytes behind each row."""
    width, height = size_wh
    row_bytes = width * {"GRAY8": 1, "NV12": 1, "I420": 1, "YUYV": 2, "UYVY": 2}.get(pixel_format, len(pixel_format))
    pitch = row_bytes + slack
    raw = np.random.default_rng(seed).integers(0, 256, offset + pitch * height * 2, np.uint8)
    return picture_view(raw, pixel_format, size_wh=size_wh, pitch=pitch, offset=offset)


def assert_equals_reference(spec: InputSpec, picture: Picture, held: TensorFormat, **kwargs: Any) -> None:
    found = Preprocessor(spec, threads=2, tensor_format=held).tensor(picture, **kwargs)
    expected = reference_tensor(spec, picture, tensor_format=held, **kwargs)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()
    if held.dtype == "float32":
        assert difference <= FLOAT_TOLERANCE
    elif held.dtype == "float16":
        assert difference <= FLOAT_TOLERANCE + 2.0**-9  # values stay below 4: the last place of a half is 2^-9
    else:
        assert difference <= 1  # a value on the edge between two steps


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_combination_is_what_the_reference_says(
    pixel_format: PixelFormat, rule: ResizeRule, interpolation: Interpolation
) -> None:
    picture = random_picture(pixel_format, (38, 22), slack=6)
    for colour, dtype, layout in itertools.product(COLOURS, DTYPES, LAYOUTS):
        for size_hw in ((9, 17), (30, 41)):
            spec = image_spec(size_hw, colour, resize=rule, interpolation=interpolation, pad_value=114)
            assert_equals_reference(spec, picture, held_as(dtype, layout), pixel_format=pixel_format)


@pytest.mark.parametrize("pixel_format", ["YUYV", "UYVY", "NV12", "I420"])
@pytest.mark.parametrize("matrix", COLOUR_MATRICES)
@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_yuv_is_what_the_reference_says(
    pixel_format: PixelFormat, matrix: ColourMatrix, is_full_range: bool, interpolation: Interpolation
) -> None:
    picture = random_picture(pixel_format, (600, 14))  # wider than the 256 pixels decoded at a time
    spec = image_spec((9, 333), interpolation=interpolation)
    for roi in (None, Rect(3, 1, 555, 11), Rect(599, 13, 1, 1)):
        assert_equals_reference(
            spec,
            picture,
            held_as("float32"),
            pixel_format=pixel_format,
            colour_matrix=matrix,
            is_full_range=is_full_range,
            roi=roi,
        )


@pytest.mark.parametrize("pixel_format", ["BGR", "NV12", "YUYV", "GRAY8"])
@pytest.mark.parametrize(("size_wh", "size_hw"), [((2, 400), (3, 5)), ((700, 2), (5, 2)), ((400, 300), (1, 1))])
def test_pictures_that_shrink_a_hundredfold_are_what_the_reference_says(
    pixel_format: PixelFormat, size_wh: tuple[int, int], size_hw: tuple[int, int]
) -> None:
    for interpolation in INTERPOLATIONS:
        spec = image_spec(size_hw, interpolation=interpolation)
        picture = random_picture(pixel_format, size_wh)
        assert_equals_reference(spec, picture, held_as("float32"), pixel_format=pixel_format)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    pixel_format = draw(st.sampled_from(PIXEL_FORMATS))
    evenly = 2 if pixel_format in ("YUYV", "UYVY", "NV12", "I420") else 1
    width, height = (evenly * draw(st.integers(1, 60)) for _ in range(2))
    x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    roi = Rect(x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y)))
    return {
        "pixel_format": pixel_format,
        "size_wh": (width, height),
        "slack": 2 * draw(st.integers(0, 20)),
        "offset": draw(st.integers(0, 5)),
        "roi": draw(st.sampled_from([None, roi])),
        "size_hw": (draw(st.integers(1, 50)), draw(st.integers(1, 50))),
        "colour": draw(st.sampled_from(COLOURS)),
        "rule": draw(st.sampled_from(RULES)),
        "interpolation": draw(st.sampled_from(INTERPOLATIONS)),
        "pad_value": draw(st.floats(0, 255)),
        "dtype": draw(st.sampled_from(DTYPES)),
        "layout": draw(st.sampled_from(LAYOUTS)),
        "matrix": draw(st.sampled_from(COLOUR_MATRICES)),
        "is_full_range": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**32)),
    }


@settings(max_examples=200, deadline=None)
@given(cases())
def test_any_shape_pitch_and_region_is_what_the_reference_says(case: dict[str, Any]) -> None:
    picture = random_picture(
        case["pixel_format"], case["size_wh"], slack=case["slack"], offset=case["offset"], seed=case["seed"]
    )
    spec = image_spec(
        case["size_hw"],
        case["colour"],
        resize=case["rule"],
        interpolation=case["interpolation"],
        pad_value=case["pad_value"],
    )
    assert_equals_reference(
        spec,
        picture,
        held_as(case["dtype"], case["layout"]),
        pixel_format=case["pixel_format"],
        colour_matrix=case["matrix"],
        is_full_range=case["is_full_range"],
        roi=case["roi"],
    )


def test_a_picture_upside_down_or_cut_out_of_another_needs_no_copy() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    for view in (whole[::-1], whole[10:50, 20:70], whole[::2]):
        expected = Preprocessor(image_spec((20, 30))).tensor(view.copy())
        np.testing.assert_array_equal(Preprocessor(image_spec((20, 30))).tensor(view), expected)


def test_a_region_is_the_picture_cut_to_it() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    maker = Preprocessor(image_spec((20, 30)))
    found = maker.tensor(whole, roi=Rect(11, 7, 51, 33))
    np.testing.assert_array_equal(found, maker.tensor(whole[7:40, 11:62]))


def test_float16_rounds_as_numpy_does() -> None:
    steps = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for std in (1.0, 1e-3, 1e-5, 1e4, 1e6, 3e7):  # denormal halves, and more than 65504
        spec = InputSpec(name="image", size_hw=(16, 16), colour="GRAY", mean=(0.3,), std=(std,))
        wide = Preprocessor(spec).tensor(steps, pixel_format="GRAY8")
        narrow = Preprocessor(spec, tensor_format=held_as("float16")).tensor(steps, pixel_format="GRAY8")
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(narrow, wide.astype(np.float16))


def test_uint8_with_a_scale_of_one_level_holds_the_picture_itself() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    spec = InputSpec(name="image", size_hw=(20, 30), colour="BGR", mean=(0.0,) * 3, std=(1.0,) * 3)
    held = TensorFormat(dtype="uint8", layout="NHWC", scale=1 / 255)
    np.testing.assert_array_equal(Preprocessor(spec, tensor_format=held).tensor(picture)[0], picture)


def test_one_image_of_a_batch_is_written_and_no_other_byte() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    maker = Preprocessor(image_spec((7, 9)), threads=3)
    batch = np.full((4, 3, 7, 9), 7.0, np.float32)
    maker.into(batch, picture, batch_index=2)
    np.testing.assert_array_equal(batch[2:3], maker.tensor(picture))
    assert (np.delete(batch, 2, axis=0) == 7.0).all()


FRAME = np.zeros((8, 10, 3), np.uint8)
NV12 = np.zeros((12, 10), np.uint8)
READ_ONLY = np.zeros((1, 3, 4, 6), np.float32)
READ_ONLY.flags.writeable = False
BUFFER = np.zeros((1, 3, 4, 6), np.float32)
INSIDE = BUFFER.view(np.uint8).reshape(-1)[:240].reshape(8, 10, 3)


@pytest.mark.parametrize(
    ("picture", "kwargs", "message"),
    [
        (FRAME[:, ::2], {}, r"strides \(30, 6, 1\)"),
        (FRAME[:, :, ::-1], {}, "without gaps"),
        (FRAME, {"pixel_format": "BGRA"}, "BGRA"),
        (FRAME, {"pixel_format": "P010"}, "P010 array"),
        (FRAME, {"colour_matrix": "BT.2020"}, "BT.601, BT.709"),
        (FRAME[:, :, 0], {"pixel_format": "NV12"}, r"shape \(8, 10\)"),
        (NV12[:, :9], {"pixel_format": "NV12"}, "even"),
        (NV12[:10], {"pixel_format": "I420"}, r"shape \(10, 10\)"),
        (np.broadcast_to(FRAME[:1], FRAME.shape), {}, "pitch of 0 bytes"),
        (NV12[:, :8], {"pixel_format": "I420"}, "three planes"),
        ((NV12[:8], NV12[:3]), {"pixel_format": "NV12"}, "4 rows of 10 bytes"),
        ((NV12[:7], NV12[:3]), {"pixel_format": "NV12"}, "10x7"),
        ((NV12[:8], NV12[8:], NV12[8:]), {"pixel_format": "NV12"}, "3 planes"),
        ((NV12[:8], [1, 2]), {"pixel_format": "NV12"}, "list is no buffer"),
        (np.zeros((8, 9, 2), np.uint8), {"pixel_format": "YUYV"}, "even width"),
        (np.lib.stride_tricks.as_strided(FRAME, (7, 10, 3), (16, 3, 1)), {}, "pitch of 16 bytes"),
        (FRAME, {"roi": Rect(5, 0, 6, 8)}, "no part"),
        (FRAME, {"roi": Rect(-1, 0, 6, 8)}, "no part"),
        (FRAME, {"roi": Rect(0, 0, 0, 8)}, "no part"),
        (FRAME, {"batch_index": 1}, "no image 1"),
        (FRAME, {"batch_index": -1}, "no image -1"),
        (FRAME, {"tensor": READ_ONLY}, "read-only"),
        (FRAME, {"tensor": BUFFER.astype(np.float16)}, "format 'e'"),
        (FRAME, {"tensor": BUFFER[0]}, r"shape \(3, 4, 6\)"),
        (FRAME, {"tensor": BUFFER[:, ::-1]}, "C-contiguous"),
        (FRAME, {"tensor": np.zeros((1, 3, 4, 12), np.float32)[..., ::2]}, "C-contiguous"),
        (FRAME, {"tensor": [1.0]}, "no buffer"),
        (FRAME, {"tensor": np.zeros(289, np.uint8)[1:].view(np.float32).reshape(1, 3, 4, 6)}, "aligned"),
        (FRAME, {"tensor": np.zeros((0, 3, 4, 6), np.float32)}, r"shape \(0, 3, 4, 6\)"),
        (INSIDE, {"tensor": BUFFER}, "overlaps"),
        (INSIDE[::-1], {"tensor": BUFFER}, "overlaps"),
        (np.zeros((1, 32768, 3), np.uint8), {}, "32767"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_numbers(picture: Any, kwargs: dict[str, Any], message: str) -> None:
    maker = Preprocessor(image_spec((4, 6)))
    arguments = {"tensor": BUFFER.copy(), **kwargs}
    with pytest.raises(ShapeError, match=message):
        maker.into(picture=picture, **arguments)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_a_number_of_threads_that_cannot_be_is_refused(threads: int) -> None:
    with pytest.raises(ShapeError, match=f"threads is {threads}"):
        Preprocessor(image_spec((4, 6)), threads=threads).tensor(FRAME)


@pytest.mark.parametrize(
    ("size_wh", "pitch", "size", "message"),
    [
        ((10, 8), 9, 200, "pitch of 9"),
        ((10, 8), 12, 12 * 12 - 3, "needs 142"),
        ((9, 8), None, 200, "even"),
        ((10, 7), None, 200, "even"),
        ((0, 8), None, 200, "1 or more"),
    ],
)
def test_raw_memory_that_holds_no_such_picture_is_refused(
    size_wh: tuple[int, int], pitch: int | None, size: int, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        picture_view(bytes(size), "NV12", size_wh=size_wh, pitch=pitch)
