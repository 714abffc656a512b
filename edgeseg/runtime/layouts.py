"""Own a tensor's axes, and how it lies in memory in TensorRT's formats. Allocate nothing, copy nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.spec import EngineSpec, InputSpec, Layout, TensorLayout

__all__ = ["as_nchw", "image_shape", "layout_of", "size_hw_of", "stored_shape"]

#: channels lie last, and are as many in memory as the next multiple of this (TensorFormat in the documentation of
#: TensorRT)
PADDED_TO: Mapping[TensorLayout, int] = {"hwc": 1, "hwc8": 8, "hwc16": 16}


def stored_shape(shape: tuple[int, ...], layout: TensorLayout) -> tuple[int, ...]:
    """The C-contiguous array that holds a tensor, padding included.

    Args:
        shape: of the tensor; (N, C, H, W) in every format but linear, which takes any.
        layout: of the memory.
    Raises:
        ShapeError: not four axes.

    Example:
        >>> stored_shape((1, 19, 64, 128), "hwc8")
        (1, 64, 128, 24)
    """
    if layout == "linear":
        return shape
    if len(shape) != 4:
        raise ShapeError(f"a tensor of {shape} cannot lie in memory as {layout}", "only images, (N, C, H, W), can")
    batch, channels, height, width = shape
    step = PADDED_TO[layout]
    return batch, height, width, -(-channels // step) * step


def as_nchw(stored: NDArray[Any], shape: tuple[int, ...], layout: TensorLayout) -> NDArray[Any]:
    """The tensor in what is stored, without its padding: a view, no copy; valid as long as ``stored``.

    Args:
        stored: of ``stored_shape(shape, layout)``, any dtype.
        shape: of the tensor.
        layout: of the memory.
    Raises:
        ShapeError: ``stored`` is another array.

    Example:
        >>> import numpy as np
        >>> as_nchw(np.zeros((1, 4, 6, 8), np.float16), (1, 3, 4, 6), "hwc8").shape
        (1, 3, 4, 6)
    """
    if stored.shape != stored_shape(shape, layout):
        raise ShapeError(f"{layout} of {shape} lies in {stored_shape(shape, layout)}, not in {stored.shape}")
    return stored if layout == "linear" else stored[..., : shape[1]].transpose(0, 3, 1, 2)


def layout_of(spec: EngineSpec, name: str) -> TensorLayout:
    """How the engine stores one of its tensors; as rows of channels, where its sidecar does not name it."""
    return next((io.format for io in spec.io if io.name == name), "linear")


def image_shape(image: InputSpec, batch: int, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """The shape of an input with another batch and size, in the model's own order of axes."""
    if image.layout == "NHWC":
        return (batch, *size_hw, image.channels)
    return (batch, image.channels, *size_hw)


def size_hw_of(shape: tuple[int, ...], axes: Layout) -> tuple[int, int]:
    """Height and width of a tensor of four axes.

    Example:
        >>> size_hw_of((1, 19, 64, 128), "NCHW"), size_hw_of((1, 64, 128, 19), "NHWC")
        ((64, 128), (64, 128))
    """
    first = 2 if axes == "NCHW" else 1
    return shape[first], shape[first + 1]
