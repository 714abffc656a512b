"""Own the way from a frame to the input tensor. The one definition for calibration, evaluation and runtime."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.imaging import _native
from edgeseg.imaging.formats import ColourMatrix, Picture, PixelFormat, TensorFormat, array_of, planes_of, size_wh_of
from edgeseg.imaging.geometry import Placement, Rect, place
from edgeseg.imaging.refusals import shape_error
from edgeseg.spec import InputSpec

__all__ = ["Frame", "Preprocessor", "Tensor", "check_frame"]

#: uint8 (H, W, 3), BGR, rows without gaps
Frame = NDArray[np.uint8]
#: of the TensorFormat's dtype and layout
Tensor = NDArray[Any]

KEPT_PLANS = 4  # a camera has one size, a data set a few; each plan holds its threads


def check_frame(frame_bgr: Frame) -> None:
    """Refuse what is not a uint8 (H, W, 3) image with at least one pixel.

    Raises:
        ShapeError: says what was given.
    """
    planes_of(frame_bgr, "BGR")


class _Case(NamedTuple):
    """What a plan is made for, besides the Preprocessor's own options."""

    source_wh: tuple[int, int]
    pixel_format: PixelFormat
    colour_matrix: ColourMatrix
    is_full_range: bool
    roi: Rect | None


class Preprocessor:
    """Colour conversion, resize, scale and shift in one pass over the pixels, in C++ and in buffers allocated once.

    A tensor value is ``(pixel / 255 - mean) / std`` of the resized picture, computed in float32 throughout: nothing
    is rounded to grey levels on the way. ``preprocess_reference`` says the same in NumPy.

    Args:
        spec: the model's input: size, colour, mean, std, resize rule, interpolation, pad.
        threads: CPU threads; all cores of this process without it.
        tensor_format: dtype and layout of the tensors; the spec's own without it.

    Example:
        >>> import numpy as np
        >>> from edgeseg.spec import InputSpec
        >>> spec = InputSpec(name="image", size_hw=(2, 4), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        >>> tensor = np.empty(spec.shape, np.float32)
        >>> Preprocessor(spec, threads=1).into(tensor, np.full((4, 8, 3), 255, np.uint8))
        >>> float(tensor.min()), tensor.shape
        (1.0, (1, 3, 2, 4))
    """

    def __init__(
        self, spec: InputSpec, *, threads: int | None = None, tensor_format: TensorFormat | None = None
    ) -> None:
        self._spec = spec
        self._threads = len(os.sched_getaffinity(0)) if threads is None else threads
        self._format = tensor_format or TensorFormat(dtype=spec.dtype, layout=spec.layout)
        self._plans: OrderedDict[_Case, _native.Preprocess] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of one frame's tensor, in the tensor format's layout."""
        channels, (height, width) = self._spec.channels, self._spec.size_hw
        return (1, channels, height, width) if self._format.layout == "NCHW" else (1, height, width, channels)

    def placement(self, source_wh: tuple[int, int], *, roi: Rect | None = None) -> Placement:
        """Which part of a picture fills which part of the tensor."""
        height, width = self._spec.size_hw
        return place(self._spec.resize, source_wh=source_wh, size_wh=(width, height), roi=roi)

    def into(
        self,
        tensor: Tensor,
        picture: Picture,
        *,
        pixel_format: PixelFormat = "BGR",
        colour_matrix: ColourMatrix = "BT.601",
        is_full_range: bool = False,
        roi: Rect | None = None,
        batch_index: int = 0,
    ) -> None:
        """Write a picture into ``tensor``.

        Args:
            tensor: host memory of the caller, C-contiguous, ``shape`` with any batch size; not the picture's memory.
            picture: uint8, any size from 1x1 (YUV: even), any pitch; its form is told at ``formats.planes_of``.
            pixel_format: of the picture.
            colour_matrix: of a YUV picture.
            is_full_range: a YUV picture uses 0-255 (JPEG) instead of 16-235 (video).
            roi: the part of the picture to take, as if it were the whole.
            batch_index: which image of the batch to write; the others are left alone.
        Raises:
            ShapeError: the picture or the tensor is not of that form, or they overlap.
        """
        planes = planes_of(picture, pixel_format)
        case = _Case(size_wh_of(planes), pixel_format, colour_matrix, is_full_range, roi)
        plan = self._plans.get(case)
        try:
            if plan is None:
                plan = self._add(case)
            plan.run(planes, array_of(tensor), batch_index)
        except ValueError as error:
            raise shape_error(error) from error

    def tensor(
        self,
        picture: Picture,
        *,
        pixel_format: PixelFormat = "BGR",
        colour_matrix: ColourMatrix = "BT.601",
        is_full_range: bool = False,
        roi: Rect | None = None,
    ) -> Tensor:
        """A new tensor of one picture, owned by the caller; see ``into``."""
        tensor: Tensor = np.empty(self.shape, self._format.dtype)
        self.into(
            tensor,
            picture,
            pixel_format=pixel_format,
            colour_matrix=colour_matrix,
            is_full_range=is_full_range,
            roi=roi,
        )
        return tensor

    def tables(
        self,
        source_wh: tuple[int, int],
        *,
        pixel_format: PixelFormat = "BGR",
        colour_matrix: ColourMatrix = "BT.601",
        is_full_range: bool = False,
        roi: Rect | None = None,
    ) -> _native.PreprocessTables:
        """What the plan of such pictures has made once, for kernels elsewhere; see ``into``.

        Raises:
            ShapeError: pictures of that format have no such size.
        """
        try:
            return self._add(_Case(source_wh, pixel_format, colour_matrix, is_full_range, roi)).tables()
        except ValueError as error:
            raise shape_error(error) from error

    def _add(self, case: _Case) -> _native.Preprocess:
        source, target = self.placement(case.source_wh, roi=case.roi)
        height, width = self._spec.size_hw
        plan = _native.Preprocess(
            pixel_format=case.pixel_format,
            source_wh=case.source_wh,
            matrix=case.colour_matrix,
            is_full_range=case.is_full_range,
            source_xywh=source,
            size_wh=(width, height),
            target_xywh=target,
            pad=self._spec.pad_value,
            interpolation=self._spec.interpolation,
            colour=self._spec.colour,
            dtype=self._format.dtype,
            layout=self._format.layout,
            mean=self._spec.mean,
            std=self._spec.std,
            quantum=self._format.scale,
            threads=self._threads,
        )
        if len(self._plans) >= KEPT_PLANS:
            self._plans.popitem(last=False)
        self._plans[case] = plan
        return plan
