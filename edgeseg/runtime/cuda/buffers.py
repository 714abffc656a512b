"""Own memory: page-locked arrays on the host, blocks and tensors on the device. Copy nothing."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda import dlpack
from edgeseg.runtime.cuda.calls import driver_calls
from edgeseg.runtime.cuda.counters import HandleKind
from edgeseg.runtime.cuda.handles import ContextHolder, Handle

__all__ = ["ALIGNMENT", "DeviceMemory", "DeviceTensor", "PinnedMemory", "PinnedRing", "packed_strides"]

ALIGNMENT = 256  # bytes, of what TensorRT takes; the driver's blocks have it
INTERFACE = 3  # the version of __cuda_array_interface__
LEGACY_STREAM, NO_STREAM = 1, -1  # by DLPack's numbers


class DeviceMemory(Handle):
    """A block of device memory; ``int()`` is its address. Freeing it waits for the work on it, as cuMemFree does.

    Args:
        holder: its context, current.
        size: bytes, >= 1.
    Raises:
        EngineError: no memory, or an address that TensorRT would not take.
    """

    kind: ClassVar[HandleKind] = "device"

    def __init__(self, holder: ContextHolder, size: int) -> None:
        if size < 1:
            raise ShapeError(f"device memory of {size} bytes", "take 1 byte or more")
        self.size = size
        super().__init__(holder, holder.allocate(lambda: holder.driver.mem_alloc(size), "device memory", size))
        if self.ptr % ALIGNMENT:
            raise EngineError(f"CUDA gave memory at {self.ptr:#x}, not aligned to {ALIGNMENT}", "report this driver")

    @property
    def ptr(self) -> int:
        """The device address."""
        return int(self.raw)

    def __int__(self) -> int:
        return self.ptr


class PinnedMemory(Handle):
    """Page-locked host memory under arrays, freed when the last of them and this are gone. Its context is current."""

    kind: ClassVar[HandleKind] = "pinned"

    def __init__(self, holder: ContextHolder, shape: tuple[int, ...], dtype: DTypeLike, *, is_mapped: bool) -> None:
        driver, kind = holder.driver, np.dtype(dtype)
        options = {"mem_flags": driver.host_alloc_flags.DEVICEMAP} if is_mapped else {}
        size = math.prod(shape) * kind.itemsize
        super().__init__(
            holder,
            holder.allocate(lambda: driver.pagelocked_empty(shape, kind, **options), "page-locked host memory", size),
        )
        self.is_mapped = is_mapped
        self.__array_interface__ = dict(self.raw.__array_interface__)  # NumPy takes this object for the array's owner

    def array(self) -> NDArray[Any]:
        """All of it, C-contiguous; keeps the memory."""
        return np.asarray(self)

    def device_ptr(self) -> int:
        """Where the device has it, of mapped memory."""
        return int(self.raw.base.get_device_pointer())


@dataclass(frozen=True, kw_only=True, eq=False)
class DeviceTensor:
    """An array in device memory, one of ours or another library's.

    Attributes:
        ptr: address of the first element.
        shape: each >= 1.
        dtype: of an element, in this machine's byte order.
        pitches: bytes from one index of a dimension to the next, as NumPy's ``strides``.
        owner: what keeps the memory: a ``DeviceMemory``, a ``PinnedMemory``, another tensor, or the foreign object.
        stream_handle: the CUstream whose work must be done before the memory is read; None: it is done.
        ordinal: the device's number.
    """

    ptr: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pitches: tuple[int, ...]
    owner: object
    stream_handle: int | None = None
    ordinal: int = 0

    @classmethod
    def empty(cls, holder: ContextHolder, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceTensor:
        """A C-contiguous tensor in memory of its own, aligned to 256 bytes, not set. Needs the context current.

        Raises:
            ShapeError: a side below 1.
            EngineError: no memory.
        """
        if min(shape, default=1) < 1:
            raise ShapeError(f"a device tensor of shape {shape}", "give sides of 1 or more")
        kind = np.dtype(dtype)
        memory = DeviceMemory(holder, math.prod(shape) * kind.itemsize)
        pitches = packed_strides(shape, kind)
        return cls(ptr=memory.ptr, shape=shape, dtype=kind, pitches=pitches, owner=memory, ordinal=holder.ordinal)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, without what lies between them."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements follow each other in C order; the pitch of a side of 1 does not matter."""
        packed = packed_strides(self.shape, self.dtype)
        return all(
            side == 1 or pitch == wanted for side, pitch, wanted in zip(self.shape, self.pitches, packed, strict=True)
        )

    def written_on(self, stream_handle: int) -> DeviceTensor:
        """The same memory, told to readers as being written by work of that stream."""
        return replace(self, stream_handle=stream_handle)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3, for CuPy, torch and Numba; the reader must keep this tensor as long as it reads.

        Raises:
            EngineError: the memory was freed.
        """
        self.check_open()
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.ptr, False),
            "version": INTERFACE,
            "strides": None if self.is_contiguous else self.pitches,
            "stream": self.stream_handle,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's device: CUDA's, or page-locked host memory's where it is mapped."""
        is_mapped = isinstance(self.origin, PinnedMemory)
        return (dlpack.CUDA_HOST, 0) if is_mapped else (dlpack.CUDA, self.ordinal)

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule for ``torch.from_dlpack`` and others, which keeps this tensor; ``close()`` ends it nevertheless.

        Args:
            stream: of the reader, which waits for the work on the memory; None: the legacy default one; -1: none waits.
            max_version: the newest DLPack that the reader knows.
            dl_device: another place is refused; so is ``copy``.
        Raises:
            EngineError: the memory was freed.
            BufferError: what DLPack or its readers do not take, as its protocol has it.
        """
        self.check_open()
        place = self.__dlpack_device__()
        if copy or dl_device not in (None, place):
            raise BufferError(f"the memory is given where it is, on DLPack's device {place}, not copied")
        if min(self.pitches, default=0) < 0:  # torch 2.13 ends the process at them
            raise BufferError(f"pitches {self.pitches} are below 0: give rows from top to bottom")
        ptr = self._let_wait(stream) if place[0] == dlpack.CUDA else self._host_ptr()
        return dlpack.give(
            self, ptr=ptr, shape=self.shape, dtype=self.dtype, pitches=self.pitches, place=place,
            is_versioned=max_version is not None and max_version[0] >= 1,
        )  # fmt: skip

    def _let_wait(self, reader: int | None) -> int:
        if reader == 0:
            raise BufferError("stream 0 may be one of two: give 1, the legacy default stream, or 2, the thread's own")
        reader = LEGACY_STREAM if reader is None else reader
        if self.stream_handle is not None and reader not in (self.stream_handle, NO_STREAM):
            origin = self.origin
            with origin.holder.current() if isinstance(origin, Handle) else contextlib.nullcontext():
                driver_calls().let_wait(reader, self.stream_handle)
        return self.ptr

    def _host_ptr(self) -> int:
        if self.stream_handle is not None:
            raise BufferError(f"stream {self.stream_handle:#x} may still write the memory: wait for it on the host")
        origin = cast("PinnedMemory", self.origin)
        with origin.holder.current():
            return int(origin.array().ctypes.data) + self.ptr - origin.device_ptr()

    @property
    def origin(self) -> object:
        """What keeps the memory, behind other tensors."""
        return self.owner.origin if isinstance(self.owner, DeviceTensor) else self.owner

    def __int__(self) -> int:
        self.check_open()
        return self.ptr

    def check_open(self) -> None:
        """Raises:
        EngineError: its memory was freed.
        """
        origin = self.origin
        if isinstance(origin, Handle) and origin.is_closed:
            raise EngineError("the memory of this device tensor was freed", "use it before close()")

    def close(self) -> None:
        """Free the memory where it is a block of ours; views of it end as well. Safe to call twice."""
        if isinstance(self.owner, DeviceMemory):
            self.owner.close()


class PinnedRing:
    """Page-locked arrays of one shape, one a slot, zeroed. What is in a slot when is its user's to know.

    Args:
        holder: its context, current.
        slots: how many, >= 1.
        shape: of one array, C-contiguous.
        dtype: of its elements.
        is_mapped: whether kernels reach the arrays without a copy, which pays where the host's memory is the device's:
            ask ``CudaContext.is_integrated``.
    Raises:
        EngineError: no memory; nothing of the ring is left then.
    """

    def __init__(
        self, holder: ContextHolder, *, slots: int, shape: tuple[int, ...], dtype: DTypeLike, is_mapped: bool = False
    ) -> None:
        if slots < 1 or min(shape, default=1) < 1:
            raise ShapeError(f"a ring of {slots} arrays of shape {shape}", "give 1 or more of each")
        self.is_mapped = is_mapped
        self._slots: list[PinnedMemory] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            for _ in range(slots):
                self._slots.append(PinnedMemory(holder, shape, dtype, is_mapped=is_mapped))
                self.host(-1).fill(0)
            undo.pop_all()

    def __len__(self) -> int:
        return len(self._slots)

    def host(self, slot: int) -> NDArray[Any]:
        """The array of a slot; keeps its memory also after ``close()``."""
        return self._slot(slot).array()

    def device(self, slot: int) -> DeviceTensor:
        """The array of a slot as the device has it, on the same memory. Needs the context current.

        Raises:
            EngineError: the ring is not mapped.
        """
        memory = self._slot(slot)
        if not self.is_mapped:
            raise EngineError("this ring is not mapped into the device", "copy from it, or make it with is_mapped=True")
        array = memory.array()
        return DeviceTensor(
            ptr=memory.device_ptr(), shape=array.shape, dtype=array.dtype, pitches=array.strides, owner=memory,
            ordinal=memory.holder.ordinal,
        )  # fmt: skip

    def close(self) -> None:
        """Give up the arrays; the memory of each goes with the last view of it. Safe to call twice."""
        self._slots.clear()

    def _slot(self, slot: int) -> PinnedMemory:
        if not self._slots:
            raise EngineError("this ring is closed", "make another one")
        return self._slots[slot]

    def __enter__(self) -> PinnedRing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def packed_strides(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Bytes between indices of a C-contiguous array.

    Example:
        >>> packed_strides((2, 3, 4), np.dtype("float32"))
        (48, 16, 4)
    """
    return tuple(math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape)))
