"""Own the planes of a picture that lies on a CUDA device, nothing copied. Compute no pixel; know no camera."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgeseg.errors import ShapeError
from edgeseg.imaging.formats import PixelFormat, check_array, check_planes, luma_height, plane_sizes, size_wh_of
from edgeseg.runtime.cuda import DeviceTensor, adopt, dlpack
from edgeseg.runtime.cuda.calls import DriverCalls
from edgeseg.runtime.cuda.handles import ContextHolder

__all__ = ["device_planes", "is_on_device", "pointers_of", "streams_of"]

ON_DEVICE = (dlpack.CUDA, dlpack.CUDA_MANAGED)
EVEN_WIDTH = ("YUYV", "UYVY", "NV12", "I420")
EVEN_HEIGHT = ("NV12", "I420")


def is_on_device(picture: object) -> bool:
    """Whether a picture, one array or a tuple of planes, is in a CUDA device's memory; page-locked memory is not.

    Raises:
        ShapeError: some planes are and others are not.

    Example:
        >>> is_on_device(np.zeros((4, 6, 3), np.uint8))
        False
    """
    if not isinstance(picture, tuple):
        return _is_on_device(picture)
    places = {_is_on_device(plane) for plane in picture}
    if len(places) > 1:
        raise ShapeError("some planes of the picture are on the device and others on the host", "put all on one side")
    return places == {True}


def _is_on_device(plane: Any) -> bool:
    if isinstance(plane, np.ndarray):
        return False
    if isinstance(plane, DeviceTensor):
        return True
    place = dlpack.place_of(plane)  # asked first: torch refuses the interface while gradients are wanted
    return place[0] in ON_DEVICE if place is not None else hasattr(plane, "__cuda_array_interface__")


def device_planes(
    holder: ContextHolder,
    picture: Any,
    pixel_format: PixelFormat,
    *,
    reader_handle: int | None = None,
    calls: DriverCalls | None = None,
) -> tuple[DeviceTensor, ...]:
    """The planes of a picture on the device, as ``imaging.formats.planes_of`` has them; all that it needs is checked.

    Needs the context current. Nothing is copied, and the host waits for nothing: let the reading stream wait for
    ``streams_of`` them, ``Stream.wait_for_foreign``.

    Args:
        holder: the context that will read them.
        picture: uint8, what ``adopt`` takes, any pitch, also a negative one, no gaps inside a row, formed as
            ``planes_of`` tells.
        pixel_format: names the form.
        reader_handle: of the stream that will read, which DLPack tensors let wait by themselves.
        calls: the driver's functions.
    Returns:
        Tensors of 2 or 3 dimensions that keep the picture; the first one's ``shape[:2]`` are height and width.
    Raises:
        ShapeError: another form, type or number of planes; an odd side or chroma of another size; gaps.
        EngineError: memory of the host or of another device.
    """
    take = functools.partial(adopt, holder, is_contiguous=False, reader_handle=reader_handle, calls=calls)
    if isinstance(picture, tuple):
        planes = tuple(take(plane) for plane in picture)
        check_planes(planes, pixel_format)
    else:
        array = take(picture)
        check_array(array, pixel_format)
        planes = _split(array, pixel_format) if pixel_format in EVEN_HEIGHT else (array,)
    size_wh = size_wh_of(planes)
    _check_even(size_wh, pixel_format)
    for index, (plane, size) in enumerate(zip(planes, plane_sizes(pixel_format, size_wh), strict=True)):
        _check_plane(plane, index, *size)
    return planes


def pointers_of(planes: Sequence[DeviceTensor]) -> tuple[tuple[int, int], ...]:
    """Of each plane the address of its first row and its pitch in bytes, as ``PreprocessKernel.params`` takes them.

    Raises:
        EngineError: the memory was freed.
    """
    return tuple((int(plane), plane.pitches[0]) for plane in planes)


def streams_of(planes: Sequence[DeviceTensor]) -> tuple[int, ...]:
    """Handles of the streams whose work must be done before the planes are read, each once."""
    return tuple(dict.fromkeys(plane.stream_handle for plane in planes if plane.stream_handle is not None))


def _split(array: DeviceTensor, pixel_format: PixelFormat) -> tuple[DeviceTensor, ...]:
    height, (rows, width), pitch = luma_height(array.shape, pixel_format), array.shape, array.pitches[0]
    luma = replace(array, shape=(height, width))
    first = array.ptr + height * pitch
    if pixel_format == "NV12":
        return luma, replace(array, ptr=first, shape=(rows - height, width))
    if not array.is_contiguous:
        raise ShapeError(f"I420 frame has pitches {array.pitches}", "give its three planes as a tuple")
    half = height // 2, width // 2
    return luma, *(
        replace(array, ptr=first + index * math.prod(half), shape=half, pitches=(half[1], 1)) for index in (0, 1)
    )


def _check_even(size_wh: tuple[int, int], pixel_format: PixelFormat) -> None:
    """The native kernels' rule, in their words."""
    width, height = size_wh
    if pixel_format in EVEN_WIDTH and width % 2:
        raise ShapeError(
            f"the picture is {width} x {height}", "YUV shares chroma between pairs of pixels, give an even width"
        )
    if pixel_format in EVEN_HEIGHT and height % 2:
        raise ShapeError(
            f"the picture is {width} x {height}",
            "NV12 and I420 share chroma between pairs of rows, give an even height",
        )


def _check_plane(plane: DeviceTensor, index: int, rows: int, row_bytes: int) -> None:
    """The native kernels' rules for a plane of the host."""
    shape, pitches = plane.shape, plane.pitches
    what = f"plane {index} of the picture is {plane.dtype} {shape} with pitches {pitches} on the device"
    is_formed = len(shape) in (2, 3) and shape[0] == rows and math.prod(shape[1:]) == row_bytes
    row = replace(plane, shape=shape[1:], pitches=pitches[1:])
    if plane.dtype != np.uint8 or not is_formed or not row.is_contiguous:
        raise ShapeError(what, f"give uint8, {rows} rows of {row_bytes} bytes without gaps in a row")
    if rows > 1 and abs(pitches[0]) < row_bytes:
        raise ShapeError(what, f"the pitch of {pitches[0]} bytes is less than a row of {row_bytes}")
