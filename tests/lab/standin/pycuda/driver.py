"""Stand in for PyCUDA's driver: contexts a thread, memory, streams, events, modules. Errors are worded as CUDA's.

What goes wrong on a device goes wrong here: work without a current context, a stream of a dropped context, a copy past
a block, destructors in a thread where the context is not current, a context stack that is not empty at the end.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import standin_device

__all__ = [
    "Context",
    "Device",
    "DeviceAllocation",
    "Error",
    "Event",
    "Function",
    "LogicError",
    "Module",
    "PagelockedHostAllocation",
    "Stream",
    "device_attribute",
    "event_flags",
    "host_alloc_flags",
    "init",
    "mem_alloc",
    "mem_get_info",
    "memcpy_dtod_async",
    "memcpy_dtoh_async",
    "memcpy_htod_async",
    "memset_d8_async",
    "module_from_buffer",
    "pagelocked_empty",
]

GIB = 1 << 30
# as cuda.h numbers them
device_attribute = SimpleNamespace(INTEGRATED=18, CAN_MAP_HOST_MEMORY=19)
event_flags = SimpleNamespace(DEFAULT=0, BLOCKING_SYNC=1, DISABLE_TIMING=2, INTERPROCESS=4)
host_alloc_flags = SimpleNamespace(PORTABLE=1, DEVICEMAP=2, WRITECOMBINED=4)


class Error(Exception):
    """Base of CUDA's errors."""


class LogicError(Error):
    """A wrong use."""


class LaunchError(Error):
    """A kernel's fault."""


class MemoryError(Error):  # noqa: A001  PyCUDA's name
    """No memory left on the device."""


class RuntimeError(Error):  # noqa: A001  PyCUDA's name
    """What the driver cannot do."""


_local = threading.local()
_is_started = False
_main = threading.get_ident()


def _stack() -> list[Context]:
    if not hasattr(_local, "stack"):
        _local.stack = []
    stack: list[Context] = _local.stack
    return stack


def _current(what: str, owner: Context | None = None) -> Context:
    """The current context; LogicError where there is none, or another than the owner of a resource."""
    if not _stack():
        raise LogicError(f"{what} failed: invalid device context - no currently active context?")
    if owner is not None and _stack()[-1] is not owner:
        raise LogicError(f"{what} failed: invalid resource handle")
    return _stack()[-1]


def _dropped(what: str, owner: Context | None) -> bool:
    """Whether a destructor may act here; PyCUDA leaks, with a warning, where the context is not current."""
    if _stack() and _stack()[-1] is owner:
        return True
    if not sys.is_finalizing():
        sys.stderr.write(f"PyCUDA WARNING: a clean-up operation failed (dead context maybe?)\n{what} failed\n")
    return False


def init(flags: int = 0) -> None:
    global _is_started
    if not standin_device.driver_works():
        raise RuntimeError("cuInit failed: no CUDA-capable device is detected")
    _is_started = True


def get_version() -> tuple[int, int, int]:
    return (13, 0, 0)


def get_driver_version() -> int:
    return int(os.environ.get("STANDIN_DRIVER", "13000"))


def mem_get_info() -> tuple[int, int]:
    _current("cuMemGetInfo")
    total = int(os.environ.get("STANDIN_TOTAL", str(8 * GIB)))
    return int(os.environ.get("STANDIN_FREE", str(total // 4 * 3))), total


class Context:
    """A context; ``pop`` takes whatever is on top of the calling thread's stack."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def push(self) -> None:
        _stack().append(self)

    @staticmethod
    def pop() -> None:
        if not _stack():
            raise LogicError("context::pop failed: invalid device context - cannot pop non-current context")
        _stack().pop()

    def detach(self) -> None:
        """Leave the context where it is on the stack, as 2026.1 does for primary ones."""

    @staticmethod
    def synchronize() -> None:
        _current("cuCtxSynchronize")
        standin_device.settle()

    @staticmethod
    def get_device() -> Device:
        return _current("cuCtxGetDevice")._device


class Device:
    """The one device that the environment describes."""

    _primary: Context | None = None

    def __init__(self, number: int) -> None:
        if not _is_started:
            raise LogicError("cuDeviceGet failed: initialization error")
        if number != 0:
            raise LogicError("cuDeviceGet failed: invalid device ordinal")

    @staticmethod
    def count() -> int:
        return 1

    def name(self) -> str:
        return os.environ.get("STANDIN_DEVICE", "Orin")

    def compute_capability(self) -> tuple[int, int]:
        major, minor = os.environ.get("STANDIN_CC", "8.7").split(".")
        return int(major), int(minor)

    def total_memory(self) -> int:
        return int(os.environ.get("STANDIN_TOTAL", str(8 * GIB)))

    def get_attribute(self, attribute: int) -> int:
        if attribute not in vars(device_attribute).values():
            raise LogicError("cuDeviceGetAttribute failed: invalid argument")
        return int(attribute == device_attribute.CAN_MAP_HOST_MEMORY or os.environ.get("STANDIN_INTEGRATED", "1"))

    def retain_primary_context(self) -> Context:
        Device._primary = Device._primary or Context(self)
        return Device._primary


class DeviceAllocation:
    """Device memory, freed when dropped; freeing waits for all work, as cuMemFree does."""

    def __init__(self, size: int) -> None:
        self._owner = _current("cuMemAlloc")
        self._memory: standin_device.Memory | None = standin_device.Memory(size)

    def __int__(self) -> int:
        if self._memory is None:
            raise LogicError("device allocation was freed")
        return self._memory.address

    __index__ = __int__

    def free(self) -> None:
        _current("cuMemFree", self._owner)
        self._release()

    def _release(self) -> None:
        standin_device.settle()
        if self._memory is not None:
            self._memory.free()
        self._memory = None

    def __del__(self) -> None:
        if getattr(self, "_memory", None) is not None and _dropped("cuMemFree", self._owner):
            self._release()


def mem_alloc(bytes: int) -> DeviceAllocation:  # noqa: A002  PyCUDA's name
    if bytes <= 0:
        raise LogicError("cuMemAlloc failed: invalid argument")
    if bytes > mem_get_info()[0]:
        raise MemoryError("cuMemAlloc failed: out of memory")
    return DeviceAllocation(bytes)


class Stream:
    def __init__(self, flags: int = 0) -> None:
        self._owner = _current("cuStreamCreate")
        self._stream = standin_device.Stream()

    @property
    def handle(self) -> int:
        return self._stream.handle

    def synchronize(self) -> None:
        _current("cuStreamSynchronize", self._owner)
        self._stream.synchronize()
        _raise_fault("cuStreamSynchronize", self._stream)

    def is_done(self) -> bool:
        done = Event()
        done.record(self)
        return done.query()

    def wait_for_event(self, event: Event) -> None:
        event._event.wait_in(self._stream)

    def __del__(self) -> None:
        if hasattr(self, "_stream") and _dropped("cuStreamDestroy", self._owner):
            self._stream.close()


class Event:
    def __init__(self, flags: int = 0) -> None:
        self._owner = _current("cuEventCreate")
        self._event = standin_device.Event()
        self._is_timed = not flags & event_flags.DISABLE_TIMING

    def record(self, stream: Stream | None = None) -> Event:
        _current("cuEventRecord", self._owner if stream is None else stream._owner)
        self._event.record(_default if stream is None else stream._stream)
        return self

    def synchronize(self) -> Event:
        _current("cuEventSynchronize", self._owner)
        self._event.synchronize()
        if self._event.stream is not None:
            _raise_fault("cuEventSynchronize", self._event.stream)
        return self

    def query(self) -> bool:
        _current("cuEventQuery", self._owner)
        return self._event.query()

    def time_since(self, event: Event) -> float:
        is_known = self._event.reached_s is not None and event._event.reached_s is not None
        if not (is_known and self._is_timed and event._is_timed):
            raise LogicError("cuEventElapsedTime failed: invalid resource handle")
        return (self._event.reached_s - event._event.reached_s) * 1e3  # type: ignore[operator]

    def time_till(self, event: Event) -> float:
        return event.time_since(self)

    def __del__(self) -> None:
        if hasattr(self, "_event"):
            _dropped("cuEventDestroy", self._owner)


class Module:
    """Kernels on the device; unloaded with the last of its functions."""

    def __init__(self, image: bytes) -> None:
        self._owner = _current("cuModuleLoadDataEx")
        try:
            self._image = standin_device.Image(image)
        except OSError:
            raise RuntimeError("cuModuleLoadDataEx failed: device kernel image is invalid") from None

    def get_function(self, name: str) -> Function:
        _current("cuModuleGetFunction", self._owner)
        return Function(self, name)

    def __del__(self) -> None:
        if hasattr(self, "_image"):
            _dropped("cuModuleUnload", self._owner)


def module_from_buffer(buffer: bytes, options: Any = (), message_handler: Any = None) -> Module:
    return Module(bytes(buffer))


class Function:
    """A kernel; it keeps its module, as PyCUDA's do."""

    def __init__(self, module: Module, name: str) -> None:
        self._module, self._name, self._size = module, name, -1
        try:
            self._expected = module._image.parameter_bytes(name)
        except AttributeError:
            raise LogicError("cuModuleGetFunction failed: named symbol not found") from None

    def prepare(self, arg_types: list[str], texrefs: Any = ()) -> Function:
        (form,) = arg_types  # one record
        self._size = int(form.removesuffix("s"))
        return self

    def prepared_async_call(
        self, grid: tuple[int, ...], block: tuple[int, ...], stream: Stream | None, *args: bytes, shared_size: int = 0
    ) -> None:
        _current("cuLaunchKernel", self._module._owner if stream is None else stream._owner)
        (params,) = args
        sizes = (*grid, *block)
        if not len(params) == self._size == self._expected or len(block) != 3 or min(sizes) < 1:
            raise LogicError("cuLaunchKernel failed: invalid argument")
        _submit(stream, lambda: self._module._image.run(self._name, grid, block, params))


_default = standin_device.Stream()


def _raise_fault(what: str, stream: standin_device.Stream) -> None:
    if stream.fault is not None:
        raise LogicError(f"{what} failed: {stream.fault}")


def _span(what: str, device: Any, host: Any) -> tuple[int, Any]:
    """The device address and the host array of a copy; LogicError where the block is smaller than the array."""
    array = np.asarray(host)
    if not array.flags.c_contiguous and not array.flags.f_contiguous:
        raise ValueError("ndarray is not contiguous")
    return _block(what, device, array.nbytes), array


def _block(what: str, device: Any, size: int) -> int:
    """A device address; LogicError where not so many bytes are there."""
    try:
        standin_device.read(int(device), size)
    except BaseException:  # noqa: BLE001  Python's MemoryError, whose name this module has given away
        raise LogicError(f"{what} failed: invalid argument") from None
    return int(device)


def memcpy_htod_async(dest: Any, src: Any, stream: Stream | None = None) -> None:
    _current("cuMemcpyHtoDAsync", None if stream is None else stream._owner)
    address, array = _span("cuMemcpyHtoDAsync", dest, src)
    _submit(stream, lambda: ctypes.memmove(address, array.ctypes.data, array.nbytes))


def memcpy_dtoh_async(dest: Any, src: Any, stream: Stream | None = None) -> None:
    _current("cuMemcpyDtoHAsync", None if stream is None else stream._owner)
    address, array = _span("cuMemcpyDtoHAsync", src, dest)
    _submit(stream, lambda: ctypes.memmove(array.ctypes.data, address, array.nbytes))


def memcpy_htod(dest: Any, src: Any) -> None:
    memcpy_htod_async(dest, src)
    _default.synchronize()


def memcpy_dtoh(dest: Any, src: Any) -> None:
    memcpy_dtoh_async(dest, src)
    _default.synchronize()


def _submit(stream: Stream | None, work: Any) -> None:
    (_default if stream is None else stream._stream).submit(work)


def memcpy_dtod_async(dest: Any, src: Any, size: int, stream: Stream | None = None) -> None:
    _current("cuMemcpyDtoDAsync", None if stream is None else stream._owner)
    to, source = _block("cuMemcpyDtoDAsync", dest, size), _block("cuMemcpyDtoDAsync", src, size)
    _submit(stream, lambda: ctypes.memmove(to, source, size))


def memset_d8_async(dest: Any, data: int, size: int, stream: Stream | None = None) -> None:
    _current("cuMemsetD8Async", None if stream is None else stream._owner)
    address = _block("cuMemsetD8Async", dest, size)
    _submit(stream, lambda: ctypes.memset(address, data, size))


class PagelockedHostAllocation:
    """Page-locked memory, the ``base`` of the array on it; freeing waits for all work, as cuMemFreeHost does."""

    def __init__(self, shape: Any, dtype: Any, flags: int) -> None:
        self._owner = _current("cuMemHostAlloc")
        self._is_mapped = bool(flags & host_alloc_flags.DEVICEMAP)
        sides = (shape,) if isinstance(shape, int) else tuple(shape)
        size = int(np.prod(sides)) * np.dtype(dtype).itemsize
        self._memory: standin_device.Memory | None = standin_device.Memory(size, is_reachable=self._is_mapped)
        self.__array_interface__ = {
            "shape": sides,
            "typestr": np.dtype(dtype).str,
            "data": (self._memory.address, False),
            "version": 3,
        }

    def get_device_pointer(self) -> int:
        if not self._is_mapped or self._memory is None:
            raise LogicError("cuMemHostGetDevicePointer failed: invalid argument")
        return self._memory.address

    def __del__(self) -> None:
        if getattr(self, "_memory", None) is not None and _dropped("cuMemFreeHost", self._owner):
            standin_device.settle()
            self._memory.free()  # type: ignore[union-attr]


def pagelocked_empty(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
    if order != "C":
        raise LogicError("the stand-in has page-locked memory in C order alone")
    return np.asarray(PagelockedHostAllocation(shape, dtype, mem_flags))


def pagelocked_zeros(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
    return pagelocked_empty(shape, dtype, order, mem_flags)


@atexit.register
def _check_stack() -> None:
    if getattr(_local, "stack", []):
        sys.stderr.write("PyCUDA ERROR: The context stack was not empty upon module cleanup.\n")
        sys.stderr.flush()
        os.abort()
