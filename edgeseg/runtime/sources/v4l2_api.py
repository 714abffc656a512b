"""Own what the kernel's camera interface looks like: structures, request numbers, and a device's file. Decide nothing.

Names, members and numbers are those of <linux/videodev2.h>; a test compares them with a compiled program. Members that
nothing here reads are left out where they come last, and kept as room.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import select
from ctypes import Structure, Union, c_char, c_int, c_long, c_uint8, c_uint32, c_ulong
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["BufferMemory", "CameraDevice", "KernelCamera", "fourcc"]

CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
MMAP = 1  # V4L2_MEMORY_MMAP
CAP_VIDEO_CAPTURE, CAP_STREAMING, CAP_DEVICE_CAPS = 0x1, 0x04000000, 0x80000000
BUF_FLAG_ERROR, BUF_FLAG_TIMESTAMP_MASK, BUF_FLAG_TIMESTAMP_MONOTONIC = 0x40, 0xE000, 0x2000
FMT_FLAG_EMULATED = 0x2
DISCRETE = 1  # V4L2_FRMSIZE_TYPE_DISCRETE and V4L2_FRMIVAL_TYPE_DISCRETE


class Capability(Structure):  # the kernel's own
    _fields_ = (
        ("driver", c_char * 16), ("card", c_char * 32), ("bus_info", c_char * 32), ("version", c_uint32),
        ("capabilities", c_uint32), ("device_caps", c_uint32), ("reserved", c_uint32 * 3),
    )  # fmt: skip


class FormatDescription(Structure):
    _fields_ = (
        ("index", c_uint32), ("type", c_uint32), ("flags", c_uint32), ("description", c_char * 32),
        ("pixelformat", c_uint32), ("mbus_code", c_uint32), ("reserved", c_uint32 * 3),
    )  # fmt: skip


class Fraction(Structure):
    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class FrameSize(Structure):
    """v4l2_frmsizeenum: ``of`` is width, height; or least, most and step of the width, then of the height."""

    _fields_ = (
        ("index", c_uint32), ("pixel_format", c_uint32), ("type", c_uint32), ("of", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    )  # fmt: skip


class FrameInterval(Structure):
    """v4l2_frmivalenum: ``of`` is one interval; or the least, the most and the step."""

    _fields_ = (
        ("index", c_uint32), ("pixel_format", c_uint32), ("width", c_uint32), ("height", c_uint32), ("type", c_uint32),
        ("of", Fraction * 3), ("reserved", c_uint32 * 2),
    )  # fmt: skip


class PixFormat(Structure):
    _fields_ = (
        ("width", c_uint32), ("height", c_uint32), ("pixelformat", c_uint32), ("field", c_uint32),
        ("bytesperline", c_uint32), ("sizeimage", c_uint32), ("colorspace", c_uint32), ("priv", c_uint32),
        ("flags", c_uint32), ("ycbcr_enc", c_uint32), ("quantization", c_uint32), ("xfer_func", c_uint32),
    )  # fmt: skip


class _FormatOf(Union):
    _fields_ = (("pix", PixFormat), ("room", c_uint8 * 200), ("aligned", c_ulong))  # v4l2_window holds pointers


class Format(Structure):
    _fields_ = (("type", c_uint32), ("fmt", _FormatOf))


class StreamParameters(Structure):
    """v4l2_streamparm with v4l2_captureparm in it."""

    _fields_ = (
        ("type", c_uint32), ("capability", c_uint32), ("capturemode", c_uint32), ("timeperframe", Fraction),
        ("room", c_uint8 * 184),
    )  # fmt: skip


class RequestBuffers(Structure):
    _fields_ = (
        ("count", c_uint32), ("type", c_uint32), ("memory", c_uint32), ("capabilities", c_uint32),
        ("room", c_uint32),
    )  # fmt: skip


class Timestamp(Structure):
    _fields_ = (("tv_sec", c_long), ("tv_usec", c_long))


class _BufferAt(Union):
    _fields_ = (("offset", c_uint32), ("userptr", c_ulong))


class Buffer(Structure):
    _fields_ = (
        ("index", c_uint32), ("type", c_uint32), ("bytesused", c_uint32), ("flags", c_uint32), ("field", c_uint32),
        ("timestamp", Timestamp), ("timecode", c_uint32 * 4), ("sequence", c_uint32), ("memory", c_uint32),
        ("m", _BufferAt), ("length", c_uint32), ("reserved2", c_uint32), ("request_fd", c_uint32),
    )  # fmt: skip


def _request(direction: int, number: int, kind: Any) -> int:
    """An ioctl's number (asm-generic/ioctl.h): 1 writes to the kernel, 2 reads, 3 both."""
    return direction << 30 | ctypes.sizeof(kind) << 16 | ord("V") << 8 | number


QUERYCAP = _request(2, 0, Capability)
ENUM_FMT = _request(3, 2, FormatDescription)
G_FMT = _request(3, 4, Format)
S_FMT = _request(3, 5, Format)
REQBUFS = _request(3, 8, RequestBuffers)
QUERYBUF = _request(3, 9, Buffer)
QBUF = _request(3, 15, Buffer)
DQBUF = _request(3, 17, Buffer)
STREAMON = _request(1, 18, c_int)
STREAMOFF = _request(1, 19, c_int)
S_PARM = _request(3, 22, StreamParameters)
ENUM_FRAMESIZES = _request(3, 74, FrameSize)
ENUM_FRAMEINTERVALS = _request(3, 75, FrameInterval)


def fourcc(code: str | int) -> Any:
    """Four letters as the kernel's number, or the other way round.

    Example:
        >>> fourcc("YUYV"), fourcc(0x56595559)
        (1448695129, 'YUYV')
    """
    if isinstance(code, str):
        return int.from_bytes(code.encode(), "little")
    return code.to_bytes(4, "little").decode("latin-1")


class BufferMemory(Protocol):
    """A driver's buffer."""

    def __len__(self) -> int:
        """Its bytes."""

    def copy_into(self, target: memoryview) -> None:
        """As many bytes as ``target`` has, from the buffer's beginning."""

    def close(self) -> None:
        """Once."""


class CameraDevice(Protocol):
    """A camera's file, as much of it as frames need; raises OSError."""

    def ioctl(self, request: int, argument: Any) -> None:
        """Ask the driver; ``argument`` is a structure, changed in place."""

    def map(self, length: int, offset: int) -> BufferMemory:
        """Memory of a buffer."""

    def wait(self, seconds: float) -> Literal["ready", "woken", "late"]:
        """Until a frame is there, ``wake`` is called, or so long."""

    def wake(self) -> None:
        """End a wait, from another thread."""

    def close(self) -> None:
        """Once, when nobody waits."""


class MappedBuffer(mmap.mmap):
    """A part of a file in memory."""

    def copy_into(self, target: memoryview) -> None:
        """Through views, as a slice of the map would be one more copy."""
        with memoryview(self) as whole, whole[: len(target)] as part:
            target[:] = part


class KernelCamera:
    """The real one.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._woken, self._waker = os.pipe()

    def ioctl(self, request: int, argument: Any) -> None:
        fcntl.ioctl(self._file, request, argument, True)

    def map(self, length: int, offset: int) -> MappedBuffer:
        return MappedBuffer(self._file, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def wait(self, seconds: float) -> Literal["ready", "woken", "late"]:
        asked = select.poll()
        asked.register(self._file, select.POLLIN)
        asked.register(self._woken, select.POLLIN)
        ready = {one for one, _ in asked.poll(seconds * 1e3)}
        if self._woken in ready:
            return "woken"
        return "ready" if ready else "late"

    def wake(self) -> None:
        os.write(self._waker, b"x")

    def close(self) -> None:
        for one in (self._file, self._woken, self._waker):
            os.close(one)
