"""Own the planes of an EGLImage as CUDA has them, for Jetson's camera and decoder buffers. Copy nothing.

Not run on a Jetson yet: the declarations are held to cudaEGL.h, the calls to a stand-in of the driver's library. The
driver is called through its library as PyCUDA has no EGL functions, and JetPack brings no other package that has.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda.buffers import DeviceTensor
from edgeseg.runtime.cuda.calls import LIBRARY, load_library
from edgeseg.runtime.cuda.counters import HandleKind
from edgeseg.runtime.cuda.handles import ContextHolder, Handle

__all__ = ["PITCH_LINEAR", "EglCalls", "EglFrame", "EglPlanes", "egl_calls"]

#: what a pipeline needs in front of its sink
PITCH_LINEAR = "put 'nvvidconv bl-output=false ! video/x-raw(memory:NVMM),format=NV12' into the pipeline"
FRAME_TYPE_PITCH = 1  # CU_EGL_FRAME_TYPE_PITCH
UNSIGNED_INT8 = 1  # CU_AD_FORMAT_UNSIGNED_INT8
#: CU_EGL_COLOR_FORMAT_YUV420_SEMIPLANAR: plain, _ER, _2020 and _709; the header tells bytes from the highest on
NV12 = (0x01, 0x26, 0x53, 0x57)


class EglFrame(ctypes.Structure):
    """CUeglFrame of cudaEGL.h; ``planes`` are addresses, or CUarrays."""

    _fields_ = (
        ("planes", ctypes.c_void_p * 3),
        ("width", ctypes.c_uint),
        ("height", ctypes.c_uint),
        ("depth", ctypes.c_uint),
        ("pitch", ctypes.c_uint),
        ("plane_count", ctypes.c_uint),
        ("channels", ctypes.c_uint),
        ("frame_type", ctypes.c_int),
        ("colour_format", ctypes.c_int),
        ("array_format", ctypes.c_int),
    )


class EglCalls:
    """The driver's functions; need the context current."""

    def __init__(self, cuda: ctypes.CDLL) -> None:
        self._cuda = cuda

    def register(self, image: int) -> int:
        """A CUgraphicsResource on an EGLImageKHR."""
        resource = ctypes.c_void_p()
        code = self._cuda.cuGraphicsEGLRegisterImage(ctypes.byref(resource), ctypes.c_void_p(image), 0)
        if code or not resource.value:
            raise EngineError(
                f"CUDA does not take the EGLImage {image:#x} (CUDA error {code})",
                "make it on this device, and keep it until its planes are closed",
            )
        return resource.value

    def frame_of(self, resource: int) -> EglFrame:
        """Where its planes lie; it needs no mapping."""
        frame = EglFrame()
        code = self._cuda.cuGraphicsResourceGetMappedEglFrame(ctypes.byref(frame), ctypes.c_void_p(resource), 0, 0)
        if code:
            raise EngineError(f"CUDA does not tell the planes of an EGLImage (CUDA error {code})", PITCH_LINEAR)
        return frame

    def unregister(self, resource: int) -> None:
        """End it; what it answers helps nobody at that point."""
        self._cuda.cuGraphicsUnregisterResource(ctypes.c_void_p(resource))


@functools.cache
def egl_calls(library: str = LIBRARY) -> EglCalls:
    """The driver's own functions.

    Raises:
        EngineError: its library does not load.
    """
    return EglCalls(load_library(library))


class _Registered:
    """A resource, and what ends after it; the holder drops it where its context is current."""

    def __init__(self, calls: EglCalls, on_end: Callable[[], None] | None) -> None:
        self._calls, self._on_end = calls, on_end
        self._resource: int | None = None

    def open(self, image: int) -> EglFrame:
        """Register the image."""
        self._resource = self._calls.register(image)
        return self._calls.frame_of(self._resource)

    def close(self) -> None:
        """Safe to call twice."""
        resource, self._resource = self._resource, None
        on_end, self._on_end = self._on_end, None
        if resource is not None:
            self._calls.unregister(resource)
        if on_end is not None:
            on_end()

    def __del__(self) -> None:
        self.close()


class EglPlanes(Handle):
    """The luma and chroma of an NV12 EGLImage on the device, until it is closed or collected; counted as its memory.

    CUDA orders nothing with EGL: the picture must be written before, and read before ``close()``, which comes after the
    result of the frame.

    Args:
        holder: the context that reads, current.
        image: an EGLImageKHR, which must live until the end.
        chroma_pitch: bytes from row to row of the chroma; the luma's without it, which is all that CUDA tells.
        on_end: called once the image is not used any more, also where this fails.
        calls: the driver's functions.
    Raises:
        EngineError: CUDA does not take the image, or it lies block-linear.
        ShapeError: it is not NV12.

    Attributes:
        planes: luma (H, W) and chroma (H/2, W), uint8: a picture for ``Session.submit(..., pixel_format="NV12")``.
    """

    kind: ClassVar[HandleKind] = "device"

    def __init__(
        self,
        holder: ContextHolder,
        image: int,
        *,
        chroma_pitch: int | None = None,
        on_end: Callable[[], None] | None = None,
        calls: EglCalls | None = None,
    ) -> None:
        registered = _Registered(calls or egl_calls(), on_end)
        try:
            self._frame = registered.open(image)
            _check(self._frame)
        except (EngineError, ShapeError):
            registered.close()  # an error that is kept keeps the object as well
            raise
        self._chroma_pitch = self._frame.pitch if chroma_pitch is None else chroma_pitch
        super().__init__(holder, registered)

    @property
    def planes(self) -> tuple[DeviceTensor, DeviceTensor]:
        """Tensors that keep the image.

        Raises:
            EngineError: they are closed.
        """
        _ = self.raw
        frame, chroma_pitch = self._frame, self._chroma_pitch
        return (
            self._plane(frame.planes[0], (frame.height, frame.width), frame.pitch),
            self._plane(frame.planes[1], (frame.height // 2, frame.width), chroma_pitch),
        )

    def _plane(self, ptr: int, shape: tuple[int, int], pitch: int) -> DeviceTensor:
        return DeviceTensor(
            ptr=ptr, shape=shape, dtype=np.dtype(np.uint8), pitches=(pitch, 1), owner=self, ordinal=self.holder.ordinal
        )


def _check(frame: EglFrame) -> None:
    what = f"the EGLImage of {frame.width} x {frame.height}"
    if frame.frame_type != FRAME_TYPE_PITCH:
        raise EngineError(f"{what} lies block-linear, as CUDA arrays, which kernels do not read by rows", PITCH_LINEAR)
    is_nv12 = frame.colour_format in NV12 and frame.array_format == UNSIGNED_INT8 and frame.plane_count == 2
    if not is_nv12 or not all(frame.planes[:2]) or frame.width % 2 or frame.height % 2:
        raise ShapeError(
            f"{what} has colour format {frame.colour_format:#x}, {frame.plane_count} planes of CUDA's array format "
            f"{frame.array_format}, expected NV12 with even sides",
            PITCH_LINEAR,
        )
