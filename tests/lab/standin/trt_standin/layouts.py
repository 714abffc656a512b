"""Own how a tensor lies in memory in TensorRT's formats. Compute nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["NUMPY", "decode", "encode", "memory_bytes"]

NUMPY = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
PADDED = {"HWC": 1, "HWC8": 8, "HWC16": 16}
PADDING_BYTE = 0x7B  # what a reader of the padding gets, so that it shows


def memory_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """(N, C, H, W) as the axes in memory."""
    if layout == "LINEAR":
        return shape
    *outer, channels, height, width = shape
    return (*outer, height, width, -(-channels // PADDED[layout]) * PADDED[layout])


def memory_bytes(shape: tuple[int, ...], dtype: str, layout: str) -> int:
    return math.prod(memory_shape(shape, layout)) * np.dtype(NUMPY[dtype]).itemsize


def encode(array: NDArray[np.generic], dtype: str, layout: str) -> bytes:
    """A tensor's bytes in memory."""
    array = np.ascontiguousarray(array.astype(NUMPY[dtype], copy=False))
    if layout == "LINEAR":
        return array.tobytes()
    shape = memory_shape(array.shape, layout)
    memory = (
        np.frombuffer(bytes([PADDING_BYTE]) * (math.prod(shape) * array.itemsize), array.dtype).reshape(shape).copy()
    )
    memory[..., : array.shape[-3]] = np.moveaxis(array, -3, -1)
    return memory.tobytes()


def decode(data: bytes, shape: tuple[int, ...], dtype: str, layout: str) -> NDArray[np.generic]:
    """The tensor of those bytes, axes as in ``shape``."""
    memory = np.frombuffer(data, NUMPY[dtype]).reshape(memory_shape(shape, layout))
    if layout == "LINEAR":
        return memory
    return np.ascontiguousarray(np.moveaxis(memory[..., : shape[-3]], -1, -3))
