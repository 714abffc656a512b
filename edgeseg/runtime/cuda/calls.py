"""Own the driver's functions that PyCUDA has not, called through its library. Know no tensor."""

from __future__ import annotations

import ctypes
import functools
from typing import Protocol

from edgeseg.errors import EngineError

__all__ = ["LIBRARY", "DriverCalls", "driver_calls", "load_library"]

LIBRARY = "libcuda.so.1"
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
def driver_calls(library: str = LIBRARY) -> DriverCalls:
    """The driver's own functions.

    Raises:
        EngineError: its library does not load.
    """
    return _Library(load_library(library))


def load_library(library: str = LIBRARY) -> ctypes.CDLL:
    """The driver's library.

    Raises:
        EngineError: it does not load.
    """
    try:
        return ctypes.CDLL(library)
    except OSError as error:
        raise EngineError(f"the CUDA driver cannot be loaded ({error})", "install the NVIDIA driver") from error
