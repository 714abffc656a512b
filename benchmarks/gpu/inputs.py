"""Own the pictures, scores and masks that the cases are made of. Put nothing on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.imaging.postprocess import MaskFormat

__all__ = ["as_type", "blobs", "noise", "picture", "size_of", "smooth"]

BLOB_CLASSES = 19
Array = NDArray[Any]


def size_of(size_hw: tuple[int, int]) -> str:
    """As names have it."""
    return f"{size_hw[0]}x{size_hw[1]}"


def picture(pixel_format: str, size_hw: tuple[int, int]) -> tuple[NDArray[np.uint8], ...]:
    """Rows of bytes of a noisy picture, one array a plane."""
    height, width = size_hw
    rng = np.random.default_rng(height)
    shapes = {
        "BGR": ((height, 3 * width),),
        "YUYV": ((height, 2 * width),),
        "NV12": ((height, width), (height // 2, width)),
    }[pixel_format]
    return tuple(rng.integers(0, 256, shape, np.uint8) for shape in shapes)


def as_type(scores: Array, form: MaskFormat) -> Array:
    """Scores as they leave a net of that type."""
    if form.dtype == "int8":
        return np.clip(np.rint(scores / form.scale), -128, 127).astype(np.int8)
    return scores.astype(form.dtype)


def smooth(channels: int, size_hw: tuple[int, int]) -> Array:
    """Blobs with borders, as nets give them: most cells agree."""
    rng = np.random.default_rng(channels)
    y, x = np.linspace(0, 1, size_hw[0])[:, None], np.linspace(0, 1, size_hw[1])[None, :]
    centres = rng.uniform(0, 1, (channels, 2, 1, 1))
    planes = -20 * ((y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2) + rng.normal(0, 0.05, (channels, *size_hw))
    return np.asarray(planes[None], np.float32)


def noise(channels: int, size_hw: tuple[int, int]) -> Array:
    """No two neighbours agree: the worst that there is."""
    return np.random.default_rng(channels).normal(0, 3, (1, channels, *size_hw)).astype(np.float32)


def blobs(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask with large areas."""
    scores = smooth(BLOB_CLASSES, (size_hw[0] // 8 + 1, size_hw[1] // 8 + 1))
    small = scores[0].argmax(0).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(np.repeat(small, 8, 0), 8, 1)[: size_hw[0], : size_hw[1]])
