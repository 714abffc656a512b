"""Own the meaning of the pre-processing: the same as the kernels, in plain NumPy and double precision. Be not fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.imaging.formats import ColourMatrix, Picture, PixelFormat, TensorFormat, planes_of, size_wh_of
from edgeseg.imaging.geometry import Rect, place
from edgeseg.spec import InputSpec

__all__ = ["antialias_weights", "decoded_rgb", "linear_weights", "reference_tensor"]

Values = NDArray[np.float64]

#: weights of red and blue in the luma: ITU-R BT.601 and BT.709
LUMA_WEIGHTS = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722)}


def reference_tensor(
    spec: InputSpec,
    picture: Picture,
    *,
    pixel_format: PixelFormat = "BGR",
    colour_matrix: ColourMatrix = "BT.601",
    is_full_range: bool = False,
    roi: Rect | None = None,
    tensor_format: TensorFormat | None = None,
) -> NDArray[np.generic]:
    """What ``Preprocessor(spec, tensor_format=...).tensor(picture, ...)`` means."""
    held = tensor_format or TensorFormat()
    planes = planes_of(picture, pixel_format)
    height, width = spec.size_hw
    source, target = place(spec.resize, source_wh=size_wh_of(planes), size_wh=(width, height), roi=roi)
    pixels = decoded_rgb(planes, pixel_format, colour_matrix=colour_matrix, is_full_range=is_full_range)
    part = pixels[source.y : source.y + source.height, source.x : source.x + source.width]
    axis = linear_weights if spec.interpolation == "linear" else antialias_weights
    rows, columns = axis(source.height, target.height), axis(source.width, target.width)
    resized = np.einsum("yh,hxc->yxc", rows, np.einsum("xw,hwc->hxc", columns, part, optimize=True), optimize=True)
    filled = np.full((height, width, 3), spec.pad_value, np.float64)
    filled[target.y : target.y + target.height, target.x : target.x + target.width] = resized
    coloured = _coloured(filled, spec, pixel_format)
    values = (coloured / 255.0 - np.asarray(spec.mean)) / np.asarray(spec.std) / held.scale
    ordered = values if held.layout == "NHWC" else values.transpose(2, 0, 1)
    return np.ascontiguousarray(_as_dtype(ordered[None], held.dtype))


def decoded_rgb(
    planes: tuple[NDArray[np.uint8], ...],
    pixel_format: PixelFormat,
    *,
    colour_matrix: ColourMatrix = "BT.601",
    is_full_range: bool = False,
) -> Values:
    """Every pixel as red, green and blue, 0-255, not rounded: (H, W, 3).

    A chroma sample belongs to its whole pair of pixels (4:2:2) or block of 2 x 2 (4:2:0), as in OpenCV and libyuv.
    """
    first = planes[0].astype(np.float64)
    if pixel_format in ("BGR", "BGRA"):
        return first[:, :, 2::-1]
    if pixel_format in ("RGB", "RGBA"):
        return first[:, :, :3]
    if pixel_format == "GRAY8":
        return np.repeat(first[:, :, None], 3, axis=2)
    y, u, v = _yuv(planes, first, pixel_format)
    return _rgb_of_yuv(y, u, v, LUMA_WEIGHTS[colour_matrix], is_full_range=is_full_range)


def _yuv(planes: tuple[NDArray[np.uint8], ...], first: Values, pixel_format: PixelFormat) -> tuple[Values, ...]:
    """Luma and both chromas, one value a pixel each."""
    if pixel_format in ("YUYV", "UYVY"):
        at = 0 if pixel_format == "YUYV" else 1
        chroma = first[:, :, 1 - at]
        return first[:, :, at], np.repeat(chroma[:, 0::2], 2, axis=1), np.repeat(chroma[:, 1::2], 2, axis=1)
    if pixel_format == "NV12":
        pairs = planes[1].reshape(planes[1].shape[0], -1, 2)
        halves = (pairs[:, :, 0], pairs[:, :, 1])
    else:
        halves = (planes[1], planes[2])
    u, v = (np.repeat(np.repeat(half.astype(np.float64), 2, axis=0), 2, axis=1) for half in halves)
    return first, u, v


def _rgb_of_yuv(y: Values, u: Values, v: Values, weights: tuple[float, float], *, is_full_range: bool) -> Values:
    """ITU-R BT.601/709: Y = kr R + kg G + kb B, Pb = (B - Y) / (2 (1 - kb)), Pr = (R - Y) / (2 (1 - kr))."""
    red_weight, blue_weight = weights
    luma = y if is_full_range else (y - 16.0) * (255.0 / 219.0)
    chroma_scale = 1.0 if is_full_range else 255.0 / 224.0
    red = luma + 2.0 * (1.0 - red_weight) * chroma_scale * (v - 128.0)
    blue = luma + 2.0 * (1.0 - blue_weight) * chroma_scale * (u - 128.0)
    green = (luma - red_weight * red - blue_weight * blue) / (1.0 - red_weight - blue_weight)
    rgb: Values = np.clip(np.stack([red, green, blue], axis=2), 0.0, 255.0)
    return rgb


def linear_weights(size_in: int, size_out: int) -> Values:
    """How much of each input position is in each output position, (out, in): half-pixel centres, two neighbours.

    The positions are computed in float32 as PyTorch does (aten/src/ATen/native/UpSample.h), because in a wide picture
    that moves them by 1e-4 of a pixel; and with one rounding for multiplication and subtraction, as its builds for
    AVX2 and later do (the product of two float32 is exact in float64).
    """
    scale = np.float64(np.float32(size_in) / np.float32(size_out))
    position = (scale * (np.arange(size_out) + 0.5) - 0.5).astype(np.float32)
    position = np.maximum(position, np.float32(0.0))
    first = np.minimum(position.astype(np.int64), size_in - 1)
    second, rest = np.minimum(first + 1, size_in - 1), (position - first.astype(np.float32)).astype(np.float64)
    weights = np.zeros((size_out, size_in))
    np.add.at(weights, (np.arange(size_out), first), 1.0 - rest)
    np.add.at(weights, (np.arange(size_out), second), rest)
    return weights


def antialias_weights(size_in: int, size_out: int) -> Values:
    """As ``linear_weights``, but a triangle over the output pixel's footprint: Pillow's BILINEAR (Resample.c)."""
    scale = size_in / size_out
    support = max(scale, 1.0)
    weights = np.zeros((size_out, size_in))
    for index in range(size_out):
        centre = (index + 0.5) * scale
        first, end = max(0, int(centre - support + 0.5)), min(size_in, int(centre + support + 0.5))
        triangle = np.maximum(0.0, 1.0 - np.abs((np.arange(first, end) - centre + 0.5) / support))
        weights[index, first:end] = triangle / triangle.sum()
    return weights


def _coloured(rgb: Values, spec: InputSpec, pixel_format: PixelFormat) -> Values:
    if spec.colour == "RGB":
        return rgb
    if spec.colour == "BGR":
        return rgb[:, :, ::-1]
    if pixel_format == "GRAY8":
        return rgb[:, :, :1]
    grey: Values = rgb @ np.array([0.299, 0.587, 0.114])  # BT.601, what cv2 and PIL call grey
    return grey[:, :, None]


def _as_dtype(values: Values, dtype: str) -> NDArray[np.generic]:
    if dtype in ("uint8", "int8"):
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(dtype)
