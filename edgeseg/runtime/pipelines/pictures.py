"""Own what the device pipeline knows of a frame: its planes, where they are, what case it is. Copy nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseg.errors import ShapeError
from edgeseg.imaging.formats import FrameForm, Picture, plane_sizes, planes_of, size_wh_of
from edgeseg.runtime.cuda import CudaContext
from edgeseg.runtime.device_frames import device_planes, is_on_device, pointers_of, streams_of

__all__ = ["GivenPicture", "PictureCase", "given_picture"]


@dataclass(frozen=True)
class PictureCase:
    """What kernels' tables are made for."""

    size_wh: tuple[int, int]
    form: FrameForm

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width."""
        return self.size_wh[1], self.size_wh[0]


@dataclass(frozen=True, eq=False)
class GivenPicture:
    """One frame of a batch.

    Attributes:
        case: size and form.
        planes: arrays of the host, or tensors of the device, which keep the frame.
        shapes: of the planes.
        pointers: of each plane its address and pitch on the device; None of a frame of the host.
        streams: of other libraries, whose work on the frame comes first.
    """

    case: PictureCase
    planes: Sequence[Any]
    shapes: tuple[tuple[int, ...], ...]
    pointers: tuple[tuple[int, int], ...] | None = None
    streams: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """The same for frames whose work on the device is the same, to the address."""
        return self.case, self.shapes, self.pointers


def given_picture(cuda: CudaContext, frame: Picture, form: FrameForm, *, reader_handle: int) -> GivenPicture:
    """Look at a frame, and refuse what is none. Needs the context current.

    Args:
        cuda: the context that will read it.
        frame: in host or device memory.
        form: of the frame.
        reader_handle: of the stream that will read it.
    Raises:
        ShapeError: not a frame of that form.
        EngineError: memory of another device.
    """
    if is_on_device(frame):
        planes = device_planes(cuda, frame, form.pixel_format, reader_handle=reader_handle)
        case, shapes = PictureCase(size_wh_of(planes), form), tuple(plane.shape for plane in planes)
        return GivenPicture(case, planes, shapes, pointers_of(planes), streams_of(planes))
    arrays = planes_of(frame, form.pixel_format)
    case, shapes = PictureCase(size_wh_of(arrays), form), tuple(array.shape for array in arrays)
    for array, (rows, row_bytes) in zip(arrays, plane_sizes(form.pixel_format, case.size_wh), strict=True):
        if array.dtype != np.uint8 or array.shape[0] != rows or array.size != rows * row_bytes:
            raise ShapeError(
                f"a plane of the {form.pixel_format} picture is {array.dtype} {array.shape}",
                f"give uint8, {rows} rows of {row_bytes} bytes",
            )
    return GivenPicture(case, arrays, shapes)
