"""Own pictures of any format as BGR, for drawing and for showing. Resize nothing."""

from __future__ import annotations

import functools

import numpy as np

from edgeseg.imaging.formats import FrameForm, Picture, TensorFormat, planes_of, size_wh_of
from edgeseg.imaging.preprocess import Frame, Preprocessor
from edgeseg.spec import InputSpec

__all__ = ["as_bgr", "forget_sizes"]

KEPT = 8  # sizes; a loop has a camera or a few


def as_bgr(picture: Picture, form: FrameForm, *, out: Frame | None = None) -> Frame:
    """A picture's pixels as BGR, by the pre-processing's own colour conversion, rounded to grey levels.

    Args:
        picture: what ``planes_of`` takes, host memory.
        form: how to read it.
        out: uint8 (H, W, 3), C-contiguous, to write into; a new array, owned by the caller, without it.
    Returns:
        uint8 (H, W, 3): ``out``, a new array, or of a BGR picture the picture itself.
    Raises:
        ShapeError: not a picture of that form, or ``out`` does not fit.

    Example:
        >>> as_bgr(np.full((2, 4), 7, np.uint8), FrameForm(pixel_format="GRAY8"))[0, 0].tolist()
        [7, 7, 7]
    """
    planes = planes_of(picture, form.pixel_format)
    if form.pixel_format == "BGR" and out is None:
        return planes[0]
    width, height = size_wh_of(planes)
    pixels = np.empty((height, width, 3), np.uint8) if out is None else out
    _converter((height, width)).into(pixels[None], picture, **vars(form))
    return pixels


def forget_sizes() -> None:
    """Let go of what is kept of pictures so far: the newest few sizes, with a few threads each."""
    _converter.cache_clear()


@functools.lru_cache(KEPT)
def _converter(size_hw: tuple[int, int]) -> Preprocessor:
    spec = InputSpec(
        name="picture", size_hw=size_hw, colour="BGR", mean=(0.0,) * 3, std=(1 / 255,) * 3, layout="NHWC", dtype="uint8"
    )
    return Preprocessor(spec, tensor_format=TensorFormat(dtype="uint8", layout="NHWC"))
