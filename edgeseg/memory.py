"""Own the question how much memory is free: the machine's, and the first GPU's. Allocate none to keep."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FreeMemory", "device_memory", "host_memory"]

# CUdevice_attribute in cuda.h
INTEGRATED = 18
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, kw_only=True)
class FreeMemory:
    """Bytes of one memory.

    Attributes:
        total_bytes: all.
        free_bytes: what a program can still get.
        place: in words.
        is_shared: whether a GPU and the CPU share it, as on a Jetson.
    """

    total_bytes: int
    free_bytes: int
    place: str
    is_shared: bool = False


class _AskError(Exception):
    """The driver did not answer; never leaves this module."""


def host_memory(*, meminfo: Path = MEMINFO, is_shared: bool = False) -> FreeMemory | None:
    """The machine's memory; free is the kernel's MemAvailable, without swap. None where the kernel does not say.

    Args:
        meminfo: the kernel's word.
        is_shared: with a GPU.
    """
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines) if rest}
    if not {"MemTotal", "MemAvailable"} <= found.keys():
        return None
    return FreeMemory(
        total_bytes=found["MemTotal"],
        free_bytes=found["MemAvailable"],
        place="the memory that CPU and GPU share" if is_shared else "the machine's memory",
        is_shared=is_shared,
    )


def device_memory(library: str = "libcuda.so.1") -> FreeMemory | None:
    """The first GPU's memory; of an integrated one the machine's. None without a working driver.

    A GPU's free memory is asked for in its primary context, which takes some of it and gives it back.
    """
    try:
        cuda = ctypes.CDLL(library)
        return _of_first_device(cuda)
    except (OSError, AttributeError, _AskError):  # no driver, no such function in it, or it does not work
        return None


def _of_first_device(cuda: ctypes.CDLL) -> FreeMemory | None:
    _call(cuda, "cuInit", 0)
    device, is_integrated = ctypes.c_int(), ctypes.c_int()
    _call(cuda, "cuDeviceGet", ctypes.byref(device), 0)
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(is_integrated), INTEGRATED, device)
    if is_integrated.value:
        return host_memory(is_shared=True)
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    with _primary_context(cuda, device):
        _call(cuda, "cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return FreeMemory(total_bytes=total.value, free_bytes=free.value, place="the GPU's memory")


@contextmanager
def _primary_context(cuda: ctypes.CDLL, device: ctypes.c_int) -> Iterator[None]:
    context = ctypes.c_void_p()
    _call(cuda, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    try:
        _call(cuda, "cuCtxPushCurrent_v2", context)
        yield
        _call(cuda, "cuCtxPopCurrent_v2", ctypes.byref(context))
    finally:
        _call(cuda, "cuDevicePrimaryCtxRelease_v2", device)


def _call(cuda: ctypes.CDLL, function: str, *arguments: object) -> None:
    status = getattr(cuda, function)(*arguments)
    if status != 0:
        raise _AskError(f"{function} failed with {status}")
