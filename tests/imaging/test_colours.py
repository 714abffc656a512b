from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeseg.errors import ShapeError
from edgeseg.imaging.colours import as_bgr
from edgeseg.imaging.formats import COLOUR_MATRICES, PIXEL_FORMATS, FrameForm, planes_of
from edgeseg.imaging.preprocess_reference import decoded_rgb


def picture(pixel_format: str) -> Any:
    rng = np.random.default_rng(3)
    channels = {"BGR": 3, "RGB": 3, "BGRA": 4, "RGBA": 4, "YUYV": 2, "UYVY": 2}.get(pixel_format)
    rows = 18 if pixel_format in ("NV12", "I420") else 12
    return rng.integers(0, 256, (rows, 20) if channels is None else (rows, 20, channels), np.uint8)


@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize("matrix", COLOUR_MATRICES)
@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_every_format_becomes_the_colours_of_the_reference(pixel_format: Any, matrix: Any, is_full_range: bool) -> None:
    pixels = picture(pixel_format)
    form = FrameForm(pixel_format=pixel_format, colour_matrix=matrix, is_full_range=is_full_range)
    exact = decoded_rgb(
        planes_of(pixels, pixel_format), pixel_format, colour_matrix=matrix, is_full_range=is_full_range
    )
    found = as_bgr(pixels, form)
    assert found.shape == (12, 20, 3) and found.dtype == np.uint8
    assert np.abs(found - np.clip(exact[..., ::-1], 0, 255)).max() <= 0.51  # half a level of rounding, and float32's


def test_a_bgr_picture_is_itself_and_out_is_written_into() -> None:
    pixels = picture("BGR")
    assert np.shares_memory(as_bgr(pixels, FrameForm()), pixels)
    out = np.zeros_like(pixels)
    assert as_bgr(pixels, FrameForm(), out=out) is out and np.array_equal(out, pixels)
    with pytest.raises(ShapeError):
        as_bgr(pixels, FrameForm(), out=np.zeros((3, 3, 3), np.uint8))
