"""Own what the kernel that steadies scores is told: its params, memory and grid. Allocate and launch nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from edgeseg.engine_spec import TensorLayout
from edgeseg.errors import ShapeError
from edgeseg.imaging.postprocess import MaskFormat
from edgeseg.imaging.smoothing import Smoothing, levels_of
from edgeseg.runtime.kernels.postprocess import LOGITS, Launch, logits_of, strides_of
from edgeseg.spec import HeadSpec, InputSpec

__all__ = ["PARAMS", "SmoothLaunches", "mean_of"]

BLOCK = (32, 4, 1)
#: mirrors SmoothParams of smooth.h
PARAMS = np.dtype(
    [
        ("logits", LOGITS),
        ("tensor", "u8"), ("channel", "i8"), ("row", "i8"), ("column", "i8"),
        ("cells", "u8"), ("mean", "u8"),
        ("colours", "i4"), ("tensor_height", "i4"), ("tensor_width", "i4"), ("is_bytes", "i4"),
        ("levels", "f4", 3), ("strength", "f4"), ("motion", "f4"), ("is_first", "i4"),
    ],
    align=True,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SmoothLaunches:
    """The kernel from one head's scores to their mean over time, which is float32 NCHW; see ``ScoreSmoother``.

    Args:
        image: the net's input, at the size that is in use.
        head: its scores, likewise.
        smoothing: how much.
        tensor_layout: how the input lies in memory, linear or hwc.
        layout: how the scores lie in memory.
    Raises:
        ShapeError: finished ids, which have no scores.
    """

    image: InputSpec
    head: HeadSpec
    smoothing: Smoothing
    tensor_layout: TensorLayout = "linear"
    layout: TensorLayout = "linear"

    def __post_init__(self) -> None:
        if self.head.decision == "ids":
            raise ShapeError("finished ids have no scores to be smoothed", "cut the net's tail for that")

    @property
    def cells_bytes(self) -> int:
        """Of device memory for the last frame's colours; need not be set before the first frame."""
        return 4 * self.image.channels * self.head.size_hw[0] * self.head.size_hw[1]

    @property
    def mean_bytes(self) -> int:
        """Of device memory for the mean, likewise."""
        return 4 * self.head.channels * self.head.size_hw[0] * self.head.size_hw[1]

    def made(self, *, tensor: int, scores: int, cells: int, mean: int, is_first: bool) -> Launch:
        """The launch with these device addresses; ``is_first`` begins anew."""
        form = MaskFormat(dtype=self.head.scores_dtype, scale=self.head.scale)
        strides = strides_of(self.head, self.layout, np.dtype(form.dtype).itemsize)
        record = np.zeros((), PARAMS)
        fields: dict[str, Any] = {"logits": logits_of(self.head, form, strides, scores), "tensor": tensor}
        fields |= dict(zip(("channel", "row", "column"), self._tensor_strides(), strict=True))
        fields |= {"cells": cells, "mean": mean, "colours": self.image.channels}
        fields |= dict(zip(("tensor_height", "tensor_width"), self.image.size_hw, strict=True))
        fields |= {"is_bytes": self.image.dtype == "uint8", "is_first": is_first}
        fields |= {"strength": self.smoothing.strength, "motion": self.smoothing.motion}
        for name, value in fields.items():
            record[name] = value
        record["levels"][: self.image.channels] = levels_of(self.image)
        height, width = self.head.size_hw
        grid = (-(-width // BLOCK[0]), -(-height // BLOCK[1]), 1)
        return Launch(kernel="smooth", grid=grid, block=BLOCK, params=record)

    def _tensor_strides(self) -> tuple[int, int, int]:
        """Bytes from channel to channel, row to row and column to column."""
        size, (height, width), channels = np.dtype(self.image.dtype).itemsize, self.image.size_hw, self.image.channels
        if self.image.layout == "NHWC" or self.tensor_layout == "hwc":
            return size, width * channels * size, channels * size
        return height * width * size, width * size, size


def mean_of(head: HeadSpec) -> HeadSpec:
    """What the mean of a head's scores is: the same scores, float32 NCHW, linear in memory."""
    return msgspec.structs.replace(head, layout="NCHW", scores_dtype="float32", scale=1.0)
