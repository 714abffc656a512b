"""Own how pictures and tensors lie in memory: pixel formats, planes, pitch, tensor layouts. Compute no pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError

__all__ = [
    "COLOUR_MATRICES",
    "PIXEL_FORMATS",
    "ColourMatrix",
    "FrameForm",
    "Mask",
    "Memory",
    "Picture",
    "PixelFormat",
    "Plane",
    "Shaped",
    "TensorFormat",
    "array_of",
    "check_array",
    "check_planes",
    "luma_height",
    "picture_view",
    "plane_sizes",
    "planes_of",
    "size_wh_of",
]

PixelFormat = Literal["BGR", "RGB", "BGRA", "RGBA", "GRAY8", "YUYV", "UYVY", "NV12", "I420"]
ColourMatrix = Literal["BT.601", "BT.709"]
PIXEL_FORMATS: tuple[PixelFormat, ...] = ("BGR", "RGB", "BGRA", "RGBA", "GRAY8", "YUYV", "UYVY", "NV12", "I420")
COLOUR_MATRICES: tuple[ColourMatrix, ...] = ("BT.601", "BT.709")

Plane: TypeAlias = NDArray[np.uint8]
#: One array, or the planes of a planar format; see ``planes_of``.
Picture: TypeAlias = "Plane | tuple[Plane, ...]"
#: uint8 (H, W) class ids
Mask: TypeAlias = NDArray[np.uint8]
Memory: TypeAlias = "bytes | bytearray | memoryview | mmap | NDArray[Any]"

_BYTES_A_PIXEL = {"BGR": 3, "RGB": 3, "BGRA": 4, "RGBA": 4, "YUYV": 2, "UYVY": 2}
_PLANES = {"NV12": 2, "I420": 3}


class Shaped(Protocol):
    """A plane, in host or device memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, columns, and bytes of a pixel where they are a dimension of their own."""

    @property
    def dtype(self) -> Any:
        """Of an element."""


@dataclass(frozen=True, kw_only=True)
class FrameForm:
    """How a picture's pixels are to be read; see ``Preprocessor.into``."""

    pixel_format: PixelFormat = "BGR"
    colour_matrix: ColourMatrix = "BT.601"
    is_full_range: bool = False


@dataclass(frozen=True, kw_only=True)
class TensorFormat:
    """How the input tensor is held.

    Args:
        dtype: uint8 and int8 hold ``round(value / scale)``, half to even, clamped to what they can hold.
        layout: NCHW planes or NHWC pixels.
        scale: what one step of uint8 or int8 is worth, above 0; 1 for floats. With mean 0, std 1 and a scale of
            1/255 uint8 holds plain grey levels.
    """

    dtype: Literal["float32", "float16", "uint8", "int8"] = "float32"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ShapeError(f"scale is {self.scale}", "give a value above 0")
        if self.scale != 1.0 and self.dtype in ("float32", "float16"):
            raise ShapeError(f"scale is {self.scale} for {self.dtype}", "only uint8 and int8 are scaled")


def array_of(buffer: Any) -> NDArray[Any]:
    """A numpy view of what has the buffer protocol (array, memoryview) or is a DLPack tensor on the CPU.

    Nothing is copied; the view keeps the buffer alive.

    Raises:
        ShapeError: it is neither.
    """
    if isinstance(buffer, np.ndarray):
        return buffer
    try:
        return np.from_dlpack(buffer) if hasattr(buffer, "__dlpack__") else np.asarray(memoryview(buffer))
    except (TypeError, BufferError, RuntimeError) as error:
        raise ShapeError(
            f"{type(buffer).__name__} is no buffer in host memory ({error})",
            "give a numpy array, a memoryview or a DLPack tensor on the CPU",
        ) from error


def planes_of(picture: Picture, pixel_format: PixelFormat) -> tuple[Plane, ...]:
    """The planes of a picture as views, nothing is copied.

    Args:
        picture: uint8, any pitch (the first stride), no gaps inside a row.
            BGR, RGB (H, W, 3); BGRA, RGBA (H, W, 4); GRAY8 (H, W); YUYV, UYVY (H, W, 2);
            NV12 (H * 3/2, W), or a tuple of luma (H, W) and chroma (H/2, W) or (H/2, W/2, 2);
            I420 (H * 3/2, W) without gaps, or a tuple of luma (H, W), U and V (H/2, W/2) each.
        pixel_format: names the form.
    Raises:
        ShapeError: another number of dimensions, planes or channels. Sizes of planes are checked by the kernels.
    """
    if isinstance(picture, tuple):
        planes = tuple(array_of(plane) for plane in picture)
        check_planes(planes, pixel_format)
        return planes
    array = array_of(picture)
    check_array(array, pixel_format)
    return _split(array, pixel_format) if pixel_format in _PLANES else (array,)


def check_planes(planes: Sequence[Shaped], pixel_format: PixelFormat) -> None:
    """Raises:
    ShapeError: not as many planes as the format has, or a first one without rows and columns.
    """
    count = _PLANES.get(pixel_format, 1)
    if len(planes) != count or len(planes[0].shape) < 2:
        raise ShapeError(f"{len(planes)} planes as a picture", f"{pixel_format} has {count}, rows and columns each")


def check_array(array: Shaped, pixel_format: PixelFormat) -> None:
    """Raises:
    ShapeError: a picture in one array has another number of dimensions or channels, or is not of uint8.
    """
    shape, channels = array.shape, _BYTES_A_PIXEL.get(pixel_format)
    is_formed = len(shape) == 2 if channels is None else len(shape) == 3 and shape[2] == channels
    if array.dtype != np.uint8 or not is_formed or min(shape) < 1:
        rows = "height * 3/2" if pixel_format in _PLANES else "height"
        expected = f"({rows}, width)" if channels is None else f"({rows}, width, {channels})"
        raise ShapeError(
            f"frame has shape {shape} and type {array.dtype}", f"give a uint8 {expected} {pixel_format} array"
        )


def luma_height(shape: tuple[int, ...], pixel_format: PixelFormat) -> int:
    """Rows of luma of NV12 or I420 in one array: it lies above the chroma, as OpenCV and most decoders hand it over.

    Raises:
        ShapeError: rows that no picture's luma and chroma have, or an odd width.
    """
    rows, width = shape
    if rows % 3 or width % 2:
        raise ShapeError(f"{pixel_format} frame has shape {shape}", "height * 3/2 rows and even sides are needed")
    return rows // 3 * 2


def plane_sizes(pixel_format: PixelFormat, size_wh: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Rows of each plane, and bytes of a row of it; sides are even where the format needs it.

    Example:
        >>> plane_sizes("NV12", (6, 4)), plane_sizes("BGR", (6, 4))
        (((4, 6), (2, 6)), ((4, 18),))
    """
    width, height = size_wh
    if pixel_format == "NV12":
        return (height, width), (height // 2, width)
    if pixel_format == "I420":
        half = height // 2, width // 2
        return (height, width), half, half
    return ((height, width * _BYTES_A_PIXEL.get(pixel_format, 1)),)


def _split(picture: Plane, pixel_format: PixelFormat) -> tuple[Plane, ...]:
    height, width = luma_height(picture.shape, pixel_format), picture.shape[1]
    if pixel_format == "NV12":
        return picture[:height], picture[height:]
    if not picture.flags.c_contiguous:
        raise ShapeError(f"I420 frame has strides {picture.strides}", "give its three planes as a tuple")
    u, v = picture.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    return picture[:height], u, v


def size_wh_of(planes: Sequence[Shaped]) -> tuple[int, int]:
    """The picture's width and height, from its first plane, in host or device memory."""
    height, width = planes[0].shape[:2]
    return width, height


def picture_view(
    buffer: Memory, pixel_format: PixelFormat, *, size_wh: tuple[int, int], pitch: int | None = None, offset: int = 0
) -> Picture:
    """A picture in raw memory, as V4L2, a decoder or a socket leaves it: arrays over it, nothing is copied.

    Chroma planes follow the luma without a gap; NV12's have the luma's pitch, I420's half of it.

    Args:
        buffer: any object with the buffer protocol, without gaps.
        pixel_format: names the form.
        size_wh: the picture's size.
        pitch: bytes from row to row; without, rows follow each other.
        offset: where the picture begins in the buffer.
    Returns:
        What ``planes_of`` and ``Preprocessor`` take; valid as long as the buffer is.
    Raises:
        ShapeError: the buffer is too short, the pitch shorter than a row, or an odd side or pitch.

    Example:
        >>> luma, chroma = picture_view(bytes(6 * 8), "NV12", size_wh=(6, 4), pitch=8)
        >>> luma.shape, chroma.shape, chroma.strides
        ((4, 6), (2, 6), (8, 1))
    """
    width, height = size_wh
    row_bytes = width * _BYTES_A_PIXEL.get(pixel_format, 1)
    step = row_bytes if pitch is None else pitch
    is_planar = pixel_format in _PLANES
    if min(size_wh) < 1 or step < row_bytes or offset < 0:
        raise ShapeError(
            f"{pixel_format} of {size_wh} (width, height) with a pitch of {step} bytes at {offset}",
            f"each side is 1 or more, the pitch {row_bytes} or more",
        )
    if (is_planar and (height % 2 or width % 2)) or (pixel_format == "I420" and step % 2):
        raise ShapeError(
            f"{pixel_format} of {size_wh} (width, height) with a pitch of {step} bytes", "they must be even"
        )
    forms = []
    for index, (rows, plane_bytes) in enumerate(plane_sizes(pixel_format, size_wh)):
        plane_pitch = step // 2 if pixel_format == "I420" and index else step
        forms.append((offset, rows, plane_bytes, plane_pitch))
        offset += rows * plane_pitch
    planes = tuple(_rows(buffer, *form) for form in forms)
    if is_planar:
        return planes
    channels = _BYTES_A_PIXEL.get(pixel_format)
    return planes[0] if channels is None else planes[0].reshape(height, width, channels)


def _rows(buffer: Memory, offset: int, rows: int, row_bytes: int, pitch: int) -> Plane:
    memory: memoryview = memoryview(cast("Any", buffer))  # typing.Buffer comes with Python 3.12
    needed = offset + (rows - 1) * pitch + row_bytes
    if not memory.c_contiguous or memory.nbytes < needed:
        raise ShapeError(f"the buffer has {memory.nbytes} bytes", f"this picture needs {needed}, without gaps")
    flat: Plane = np.frombuffer(buffer, np.uint8)
    return np.lib.stride_tricks.as_strided(flat[offset:], (rows, row_bytes), (pitch, 1), writeable=False)
