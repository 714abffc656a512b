"""Own a Jetson's GStreamer buffer (memory:NVMM) as a picture on the device. Run no pipeline; copy nothing.

Not run on a Jetson yet. The structures are written after NVIDIA's public nvbufsurface.h, copyright 2019-2023, as
Jetson Linux 36 (JetPack 6) has it: NvBufSurface has 64 bytes, NvBufSurfaceParams 384. Older headers call one pointer
at the end reserved; nothing else of what is here differs.
"""

from __future__ import annotations

import ctypes
import functools
from types import TracebackType
from typing import Any

from edgeseg.errors import EngineError, ShapeError
from edgeseg.imaging.formats import ColourMatrix
from edgeseg.runtime.cuda.buffers import DeviceTensor
from edgeseg.runtime.cuda.egl import PITCH_LINEAR, EglCalls, EglPlanes
from edgeseg.runtime.cuda.handles import ContextHolder

__all__ = ["NvmmFrame", "Surface", "SurfaceList", "nvbufsurface"]

LIBRARIES = ("libnvbufsurface.so.1.0.0", "libnvbufsurface.so")
MAX_PLANES = 4  # NVBUF_MAX_PLANES
SURFACE_ARRAY = (0, 4)  # NVBUF_MEM_DEFAULT, which is this on a Jetson, and NVBUF_MEM_SURFACE_ARRAY
LAYOUT_PITCH = 0  # NVBUF_LAYOUT_PITCH
#: NVBUF_COLOR_FORMAT_NV12, _ER, _709 and _709_ER: the matrix, and whether the range is full
COLOURS: dict[int, tuple[ColourMatrix, bool]] = {
    6: ("BT.601", False), 7: ("BT.601", True), 33: ("BT.709", False), 34: ("BT.709", True),
}  # fmt: skip

Sides = ctypes.c_uint32 * MAX_PLANES


class PlaneParams(ctypes.Structure):
    """NvBufSurfacePlaneParams."""

    _fields_ = (
        ("num_planes", ctypes.c_uint32),
        ("width", Sides),
        ("height", Sides),
        ("pitch", Sides),
        ("offset", Sides),
        ("psize", Sides),
        ("bytes_per_pixel", Sides),
        ("reserved", ctypes.c_void_p * 16),
    )


class MappedAddress(ctypes.Structure):
    """NvBufSurfaceMappedAddr."""

    _fields_ = (
        ("address", ctypes.c_void_p * MAX_PLANES),
        ("egl_image", ctypes.c_void_p),
        ("reserved", ctypes.c_void_p * 4),
    )


class SurfaceList(ctypes.Structure):
    """NvBufSurfaceParams: one buffer of a batch."""

    _fields_ = (
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("pitch", ctypes.c_uint32),
        ("colour_format", ctypes.c_int),
        ("layout", ctypes.c_int),
        ("buffer_fd", ctypes.c_uint64),
        ("data_size", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("planes", PlaneParams),
        ("mapped", MappedAddress),
        ("extended", ctypes.c_void_p),
        ("reserved", ctypes.c_void_p * 3),
    )


class Surface(ctypes.Structure):
    """NvBufSurface: a batch of buffers."""

    _fields_ = (
        ("gpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
        ("filled", ctypes.c_uint32),
        ("is_contiguous", ctypes.c_bool),
        ("memory_type", ctypes.c_int),
        ("surfaces", ctypes.POINTER(SurfaceList)),
        ("reserved", ctypes.c_void_p * 4),
    )


@functools.cache
def nvbufsurface(*names: str) -> ctypes.CDLL:
    """Jetson's library of NVMM buffers, by the first of its names that loads.

    Raises:
        EngineError: none does.
    """
    failed = []
    for name in names or LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            failed.append(str(error))
    raise EngineError(
        f"NVMM buffers cannot be reached ({', '.join(failed)})", "run on a Jetson, with nvidia-l4t-multimedia installed"
    )


class NvmmFrame:
    """An NV12 buffer of GStreamer's ``memory:NVMM`` as planes on the device, until it is closed or collected.

    The buffer must live until then, and the result of the frame must have been taken: CUDA orders nothing with the
    camera. A pool's buffers come back: a frame that stays open shows the same buffer's next picture.

    Args:
        holder: the context that reads, current.
        buffer: the address of the NvBufSurface, or its bytes, which is what a mapped ``Gst.Buffer`` holds:
            ``buffer.map(Gst.MapFlags.READ)[1].data``.
        fd: the DMA buffer's number, instead.
        index: which one of a batch.
        surfaces: the library of NVMM buffers.
        calls: the driver's functions.
    Raises:
        EngineError: no Jetson, or the memory is not its, lies block-linear, or is refused by EGL or CUDA.
        ShapeError: it is not NV12 of BT.601 or BT.709, or there is no such buffer.

    Example:
        ``with NvmmFrame(primary_context(), info.data) as frame: session.submit(frame.planes, **frame.colours)``
    """

    def __init__(
        self,
        holder: ContextHolder,
        buffer: int | bytes | memoryview | None = None,
        *,
        fd: int | None = None,
        index: int = 0,
        surfaces: ctypes.CDLL | None = None,
        calls: EglCalls | None = None,
    ) -> None:
        library = surfaces or nvbufsurface()
        surface = _from_fd(library, fd) if buffer is None else _at(buffer)
        one = _checked(surface, index)
        self._matrix, self._is_full_range = COLOURS[one.colour_format]
        is_ours = not one.mapped.egl_image  # another element's image is neither made nor ended here
        if is_ours and library.NvBufSurfaceMapEglImage(ctypes.byref(surface), index):
            raise EngineError("the NVMM buffer gives no EGLImage", "check that EGL works here: eglinfo")
        # no method of this frame: it would keep itself until the next collection of cycles
        unmap = functools.partial(library.NvBufSurfaceUnMapEglImage, ctypes.byref(surface), index)
        self._planes = EglPlanes(
            holder, one.mapped.egl_image or 0, chroma_pitch=one.planes.pitch[1],
            on_end=unmap if is_ours else None, calls=calls,
        )  # fmt: skip

    @property
    def planes(self) -> tuple[DeviceTensor, DeviceTensor]:
        """Luma (H, W) and chroma (H/2, W), uint8, on the device."""
        return self._planes.planes

    @property
    def colours(self) -> dict[str, Any]:
        """What ``Session.submit`` must be told of them: pixel format, colour matrix and range."""
        return {
            "pixel_format": "NV12", "colour_matrix": self._matrix, "is_full_range": self._is_full_range,
        }  # fmt: skip

    def close(self) -> None:
        """Give the buffer back; its planes end. Safe to call twice, in any thread."""
        self._planes.close()

    def __enter__(self) -> NvmmFrame:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _at(buffer: int | bytes | memoryview) -> Surface:
    """The structure in place, or a copy of its bytes, which leads to the same buffers."""
    if isinstance(buffer, int):
        return Surface.from_address(buffer)
    if len(buffer) < ctypes.sizeof(Surface):
        raise ShapeError(
            f"the mapped buffer has {len(buffer)} bytes, an NvBufSurface {ctypes.sizeof(Surface)}",
            "map a buffer of video/x-raw(memory:NVMM)",
        )
    return Surface.from_buffer_copy(buffer)


def _from_fd(library: ctypes.CDLL, fd: int | None) -> Surface:
    if fd is None:
        raise ShapeError("an NVMM frame of nothing", "give a buffer or an fd")
    found = ctypes.c_void_p()
    if library.NvBufSurfaceFromFd(fd, ctypes.byref(found)) or not found.value:
        raise EngineError(f"the fd {fd} is no NVMM buffer", "give a DMA buffer's of libnvbufsurface")
    return Surface.from_address(found.value)


def _checked(surface: Surface, index: int) -> SurfaceList:
    if not 0 <= index < surface.batch_size or not surface.surfaces:
        raise ShapeError(f"there is no buffer {index} in a batch of {surface.batch_size}", "give a smaller index")
    one: SurfaceList = surface.surfaces[index]
    what = f"the NVMM buffer of {one.width} x {one.height}"
    if surface.memory_type not in SURFACE_ARRAY:
        raise EngineError(
            f"{what} is of memory type {surface.memory_type}, expected a Jetson's surface array",
            "give CUDA memory by its address",
        )
    if one.layout != LAYOUT_PITCH:
        raise EngineError(f"{what} lies block-linear", PITCH_LINEAR)
    if one.colour_format not in COLOURS or one.planes.num_planes != 2:
        raise ShapeError(
            f"{what} has colour format {one.colour_format} in {one.planes.num_planes} planes, expected NV12 of BT.601 "
            "or BT.709",
            PITCH_LINEAR,
        )
    return one
