"""Own taking other libraries' device memory without a copy, checked first. Free nothing of it, convert nothing."""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda.buffers import DeviceTensor, PinnedMemory, packed_strides
from edgeseg.runtime.cuda.handles import ContextHolder

__all__ = ["DriverCalls", "adopt", "adopt_pointer", "driver_calls"]

MEMORY_TYPE, DEVICE_ORDINAL = 2, 9  # CU_POINTER_ATTRIBUTE_* of cuda.h
DISABLE_TIMING = 2  # CU_EVENT_DISABLE_TIMING
DEVICE_MEMORY = 2  # CU_MEMORYTYPE_DEVICE, which managed memory has as well


class DriverCalls(Protocol):
    """What PyCUDA does not reach of the driver. Needs the context current."""

    def device_of(self, ptr: int) -> int | None:
        """The number of the device that has the memory at an address; None: no device memory."""

    def let_wait(self, reader: int, foreign: int) -> None:
        """Let later work of one stream wait for the work that another was given so far; the host does not wait."""


class _Library:
    """The driver's library; declarations as cuda.h has them."""

    def __init__(self, cuda: ctypes.CDLL) -> None:
        self._cuda = cuda

    def device_of(self, ptr: int) -> int | None:
        kind = self._attribute(MEMORY_TYPE, ptr)
        return self._attribute(DEVICE_ORDINAL, ptr) if kind == DEVICE_MEMORY else None

    def _attribute(self, attribute: int, ptr: int) -> int | None:
        """None where the driver does not know the address."""
        value = ctypes.c_int(-1)
        failed = self._cuda.cuPointerGetAttribute(ctypes.byref(value), attribute, ctypes.c_uint64(ptr))
        return None if failed else value.value

    def let_wait(self, reader: int, foreign: int) -> None:
        event, what = ctypes.c_void_p(), f"stream {reader:#x} cannot wait for the foreign stream {foreign:#x}"
        _check(self._cuda.cuEventCreate(ctypes.byref(event), DISABLE_TIMING), what)
        try:
            _check(self._cuda.cuEventRecord(event, ctypes.c_void_p(foreign)), what)
            _check(self._cuda.cuStreamWaitEvent(ctypes.c_void_p(reader), event, 0), what)
        finally:  # what was enqueued keeps it as long as it must
            self._cuda.cuEventDestroy_v2(event)


def _check(code: int, what: str) -> None:
    if code:
        raise EngineError(f"{what} (CUDA error {code})", "give arrays whose stream is alive, of the same device")


@functools.cache
def driver_calls(library: str = "libcuda.so.1") -> DriverCalls:
    """The driver's own functions.

    Raises:
        EngineError: its library does not load.
    """
    try:
        return _Library(ctypes.CDLL(library))
    except OSError as error:
        raise EngineError(f"the CUDA driver cannot be loaded ({error})", "install the NVIDIA driver") from error


def adopt(
    holder: ContextHolder,
    source: Any,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
    is_contiguous: bool = True,
    is_written: bool = False,
    calls: DriverCalls | None = None,
) -> DeviceTensor:
    """A tensor on the memory of a torch, CuPy or Numba array, which it keeps. Needs the context current.

    Nothing waits: the tensor has the source's ``stream_handle``, and ``Stream.wait_for_foreign`` lets a reader wait.

    Args:
        holder: the context that will use it.
        source: has ``__cuda_array_interface__``, version 2 or 3.
        shape: that it must have; any without it.
        dtype: that it must have; any without it.
        is_contiguous: refuse what is not C-contiguous.
        is_written: refuse what is read-only.
        calls: the driver's functions.
    Raises:
        ShapeError: no such interface, or another shape, dtype or layout.
        EngineError: memory of the host or of another device.
    """
    told = getattr(source, "__cuda_array_interface__", None)
    if not isinstance(told, dict):
        raise ShapeError(
            f"{type(source).__name__} has no __cuda_array_interface__",
            "give a CUDA array of torch or CuPy, or a host one",
        )
    tensor = _told(told, source)
    _check_wanted(tensor, shape, None if dtype is None else np.dtype(dtype), is_contiguous)
    if told["data"][1] and is_written:
        raise ShapeError("the device array is read-only", "give one that can be written to")
    if not _is_mapped(source):  # which the driver tells to be the host's
        _check_device(holder, tensor.ptr, calls or driver_calls())
    return tensor


def adopt_pointer(
    holder: ContextHolder,
    ptr: int,
    *,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    pitches: tuple[int, ...] | None = None,
    owner: object = None,
    calls: DriverCalls | None = None,
) -> DeviceTensor:
    """A tensor at a raw device address, whose work is done. Needs the context current.

    Args:
        holder: the context that will use it.
        ptr: address of the first element, on that context's device.
        shape: each >= 1; that the memory is as large cannot be checked.
        dtype: of an element.
        pitches: bytes between indices; C-contiguous without them.
        owner: kept as long as the tensor, where something owns the memory.
        calls: the driver's functions.
    Raises:
        ShapeError: a side below 1, or as many pitches as there are not sides.
        EngineError: memory of the host or of another device.
    """
    kind = np.dtype(dtype)
    steps = packed_strides(shape, kind) if pitches is None else pitches
    if min(shape, default=1) < 1 or len(steps) != len(shape):
        raise ShapeError(
            f"device memory of shape {shape} with pitches {steps}", "give a pitch for each side, from 1 on"
        )
    _check_device(holder, ptr, calls or driver_calls())
    return DeviceTensor(ptr=ptr, shape=shape, dtype=kind, pitches=steps, owner=owner)


def _told(told: dict[str, Any], source: object) -> DeviceTensor:
    if told.get("mask") is not None or told.get("stream") == 0 or int(told.get("version", 0)) < 2:
        raise ShapeError(
            f"a CUDA array of version {told.get('version')}, stream {told.get('stream')}, "
            f"{'a' if told.get('mask') is not None else 'no'} mask",
            "give version 2 or 3, a stream other than 0, no mask",
        )
    shape, kind = tuple(map(int, told["shape"])), np.dtype(told["typestr"])
    if not kind.isnative or min(shape, default=1) < 1:
        raise ShapeError(
            f"a CUDA array of shape {shape} and type {told['typestr']}", "give sides from 1 on, native order"
        )
    pitches = packed_strides(shape, kind) if told.get("strides") is None else tuple(map(int, told["strides"]))
    handle = told.get("stream")
    return DeviceTensor(
        ptr=int(told["data"][0]), shape=shape, dtype=kind, pitches=pitches, owner=source,
        stream_handle=None if handle is None else int(handle),
    )  # fmt: skip


def _check_wanted(
    tensor: DeviceTensor, shape: tuple[int, ...] | None, dtype: np.dtype[Any] | None, is_contiguous: bool
) -> None:
    if shape not in (None, tensor.shape) or dtype not in (None, tensor.dtype):
        raise ShapeError(
            f"the device array is {tensor.dtype} {tensor.shape}, expected {dtype or 'any type'} {shape or 'any shape'}",
            "convert it first",
        )
    if is_contiguous and not tensor.is_contiguous:
        raise ShapeError(f"the device array has pitches {tensor.pitches}", "make it C-contiguous")


def _is_mapped(source: object) -> bool:
    """Whether it is a tensor on page-locked memory of ours, which has the context's device by making."""
    while isinstance(source, DeviceTensor):
        source = source.owner
    return isinstance(source, PinnedMemory)


def _check_device(holder: ContextHolder, ptr: int, calls: DriverCalls) -> None:
    found = calls.device_of(ptr)
    if found != holder.ordinal:
        where = "not in device memory" if found is None else f"on device {found}"
        raise EngineError(f"the array at {ptr:#x} is {where}, expected device {holder.ordinal}", "move it there first")
