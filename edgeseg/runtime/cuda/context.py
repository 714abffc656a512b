"""Own CUDA's primary context and its end with the process. Know no engine."""

from __future__ import annotations

import atexit
import contextlib
import functools
import weakref
from typing import Any

from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.packages import require
from edgeseg.runtime.cuda.buffers import DeviceMemory, PinnedMemory
from edgeseg.runtime.cuda.handles import ContextHolder

__all__ = ["CudaContext", "primary_context", "release_at_exit"]


class CudaContext(ContextHolder):
    """The primary context of one device, made current around each piece of work in whatever thread does it.

    What comes from it is made and used inside ``current()``, and may be dropped anywhere.
    """

    def pinned(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Zeroed page-locked host memory, C-contiguous; lives as long as a view of it does."""
        array = PinnedMemory(self, shape, dtype, is_mapped=False).array()
        array.fill(0)
        return array

    def device_bytes(self, size: int) -> DeviceMemory:
        """Device memory whose ``int()`` is its address, aligned to 256 bytes; freed when closed or dropped."""
        return DeviceMemory(self, size)

    @property
    def is_integrated(self) -> bool:
        """Whether the device's memory is the host's, so that mapped arrays spare the copy (Jetson)."""
        attributes = self.driver.device_attribute
        device = self.driver.Device(self.ordinal)
        return all(map(device.get_attribute, (attributes.INTEGRATED, attributes.CAN_MAP_HOST_MEMORY)))


@functools.cache
def primary_context(device: int = 0) -> CudaContext:
    """The primary context of ``device``, retained once, released when the process ends; with every library's share.

    Raises:
        MissingPackageError: PyCUDA is absent.
        EngineError: the driver refuses.
    """
    driver = require("pycuda.driver")
    try:
        driver.init()
        context = CudaContext(driver, driver.Device(device).retain_primary_context(), device)
    except driver.Error as error:
        raise EngineError(
            f"CUDA device {device} cannot be used ({error})", "check the driver with nvidia-smi"
        ) from error
    release_at_exit(context)
    return context


def release_at_exit(context: CudaContext) -> None:
    """Free what is left when the interpreter ends, also by an exception, while PyCUDA still works."""
    atexit.register(_release, weakref.ref(context))


def _release(held: weakref.ref[CudaContext]) -> None:
    context = held()
    if context is not None:
        with contextlib.suppress(EngineError):  # work that failed unseen; nobody is left to be told
            context.release()
