"""Own the memory of the cases: sets of device tensors, as many as no cache holds. Time nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.runtime.cuda import CudaContext, DeviceTensor, Stream

__all__ = ["Uploader", "cache_bytes", "sets_for"]

ASSUMED_CACHE_BYTES = 64 << 20  # where the driver does not tell: more than all but the largest have
MOST_SETS = 256


def cache_bytes(cuda: CudaContext) -> int:
    """Of the device's second-level cache."""
    attribute = getattr(cuda.driver.device_attribute, "L2_CACHE_SIZE", None)
    told = 0 if attribute is None else int(cuda.driver.Device(cuda.ordinal).get_attribute(attribute))
    return told or ASSUMED_CACHE_BYTES


def sets_for(bytes_a_run: int, cache: int) -> int:
    """Sets that together are twice the cache, 2 at the least: what a run touches is gone when its turn comes again.

    Example:
        >>> sets_for(10 << 20, 50 << 20), sets_for(1 << 30, 50 << 20)
        (11, 2)
    """
    return min(max(2 * cache // bytes_a_run + 1, 2), MOST_SETS)


@dataclass
class Uploader:
    """Puts arrays on a device. Every method needs the context current."""

    cuda: CudaContext
    stream: Stream

    def put(self, array: NDArray[Any]) -> DeviceTensor:
        """A tensor with an array's values."""
        tensor = self.room(array.shape, array.dtype)
        staged = self.cuda.pinned(array.shape, str(array.dtype))
        staged[...] = array
        self.stream.copy_in(tensor, staged)
        self.stream.synchronize()
        return tensor

    def room(self, shape: Sequence[int], dtype: Any) -> DeviceTensor:
        """A tensor that is not set."""
        return DeviceTensor.empty(self.cuda, tuple(shape), dtype)

    def take(self, tensor: DeviceTensor) -> NDArray[Any]:
        """A tensor's values."""
        staged = self.cuda.pinned(tensor.shape, str(tensor.dtype))
        self.stream.copy_out(staged, tensor)
        self.stream.synchronize()
        return np.array(staged)
