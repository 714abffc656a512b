"""Own CUDA's primary context, pinned arrays, device buffers, streams and events, through PyCUDA. Know no engine."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.packages import require

__all__ = ["CudaContext", "TimedStream", "primary_context"]


class CudaContext:
    """The primary context of one device, made current around each piece of work in whatever thread does it.

    Whatever comes from it must be made, used and dropped inside ``current()``: PyCUDA's destructors leak, with a
    warning, in a thread where their context is not current.
    """

    def __init__(self, driver: ModuleType, context: Any) -> None:
        self._driver = driver
        self._context = context

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Push the context on this thread's stack for a block, and pop it whatever happens.

        Raises:
            EngineError: a CUDA call of the block failed.
        """
        try:
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()
        except self._driver.Error as error:
            raise EngineError(
                f"CUDA failed ({error})", "close other programs on the GPU, or restart this one"
            ) from error

    def pinned(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Zeroed page-locked host memory, C-contiguous; lives as long as a view of it does."""
        array: NDArray[Any] = self._driver.pagelocked_empty(shape, np.dtype(dtype))
        array.fill(0)
        return array

    def device_bytes(self, size: int) -> Any:
        """Device memory whose ``int()`` is its address, aligned to 256 bytes; freed when dropped."""
        return self._driver.mem_alloc(size)

    def timed_stream(self) -> TimedStream:
        """A new stream, never the default one."""
        return TimedStream(self._driver)


class TimedStream:
    """A stream with an event before its work and one behind it. Every call needs the context current."""

    def __init__(self, driver: ModuleType) -> None:
        self._driver = driver
        self._stream = driver.Stream()
        self._begin, self._end = driver.Event(), driver.Event()

    @property
    def handle(self) -> int:
        """The CUstream's address."""
        return int(self._stream.handle)

    def mark_begin(self) -> None:
        """Start the clock when the stream comes to this point."""
        self._begin.record(self._stream)

    def mark_end(self) -> None:
        """Stop the clock when the stream comes to this point."""
        self._end.record(self._stream)

    def copy_in(self, device_buffer: Any, host: NDArray[np.float32]) -> None:
        """Enqueue a copy from pinned memory to the device."""
        self._driver.memcpy_htod_async(device_buffer, host, self._stream)

    def copy_out(self, host: NDArray[np.float32], device_buffer: Any) -> None:
        """Enqueue a copy from the device to pinned memory."""
        self._driver.memcpy_dtoh_async(host, device_buffer, self._stream)

    def wait_ms(self) -> float:
        """Wait for the end mark, other threads running, and return the milliseconds since the begin mark."""
        self._end.synchronize()
        return float(self._end.time_since(self._begin))

    def synchronize(self) -> None:
        """Wait for all work of the stream."""
        self._stream.synchronize()


@functools.cache
def primary_context(device: int = 0) -> CudaContext:
    """The primary context of ``device``, retained once and for the life of the process.

    It is shared with every library of the process. It is not released before the end: PyCUDA's release of a primary
    context leaves it on the thread's stack (``context::detach`` of 2026.1 takes the pop as implied, which it is not).

    Raises:
        MissingPackageError: PyCUDA is absent.
        EngineError: the driver refuses.
    """
    driver = require("pycuda.driver")
    try:
        driver.init()
        return CudaContext(driver, driver.Device(device).retain_primary_context())
    except driver.Error as error:
        raise EngineError(
            f"CUDA device {device} cannot be used ({error})", "check the driver with nvidia-smi"
        ) from error
