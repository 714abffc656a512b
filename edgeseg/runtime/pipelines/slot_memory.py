"""Own a slot's memory for frames and results, on both sides, and where in it what lies. Copy nothing by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgeseg.runtime.cuda import CudaContext, DeviceMemory, DeviceTensor, PinnedRing, Stream
from edgeseg.runtime.cuda.buffers import packed_strides

__all__ = ["Arena", "Mirror", "Place", "SlotMemory"]

ALIGNMENT = 256


@dataclass(frozen=True)
class Place:
    """Where a C-contiguous array begins in a block of memory."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def pitch(self) -> int:
        """Bytes from row to row."""
        return packed_strides(self.shape, self.dtype)[0]

    def view(self, block: NDArray[np.uint8]) -> NDArray[Any]:
        """The array in a block of the host's."""
        return block[self.offset : self.offset + self.nbytes].view(self.dtype).reshape(self.shape)

    def on_device(self, block_ptr: int, owner: object) -> DeviceTensor:
        """The array in a block of the device's, which ``owner`` keeps."""
        pitches = packed_strides(self.shape, self.dtype)
        ptr = block_ptr + self.offset
        return DeviceTensor(ptr=ptr, shape=self.shape, dtype=self.dtype, pitches=pitches, owner=owner)


class Arena:
    """Places one after the other, each aligned to 256 bytes.

    Example:
        >>> arena = Arena()
        >>> arena.take((2, 3)).offset, arena.take((4,)).offset, arena.size
        (0, 256, 260)
    """

    def __init__(self) -> None:
        self.size = 0

    def take(self, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> Place:
        """The next place, for an array of this form."""
        place = Place(-(-self.size // ALIGNMENT) * ALIGNMENT, shape, np.dtype(dtype))
        self.size = place.offset + place.nbytes
        return place


class Mirror:
    """A block that host and device both have: page-locked and device memory, or one that is mapped into both.

    Args:
        cuda: its context, current.
        size: bytes, >= 1.
        is_mapped: one block for both; for devices whose memory is the host's.
    Raises:
        EngineError: no memory.
    """

    def __init__(self, cuda: CudaContext, size: int, *, is_mapped: bool) -> None:
        self.size, self.is_mapped = size, is_mapped
        self._ring = PinnedRing(cuda, slots=1, shape=(size,), dtype=np.uint8, is_mapped=is_mapped)
        self._memory: DeviceMemory | None = None
        if is_mapped:
            self.ptr, self.owner = int(self._ring.device(0)), self._ring.device(0).owner
            return
        try:
            self._memory = DeviceMemory(cuda, size)
        except BaseException:
            self._ring.close()
            raise
        self.ptr, self.owner = self._memory.ptr, self._memory

    def host(self) -> NDArray[np.uint8]:
        """The host's side, as a new array each time: as long as one or a view of it lives, so does the memory."""
        return self._ring.host(0)

    def to_device(self, stream: Stream, size: int) -> None:
        """Enqueue the copy of the first ``size`` bytes; nothing is to be done where the block is mapped."""
        if self._memory is not None and size:
            stream.copy_in(self._memory, self.host()[:size])

    def to_host(self, stream: Stream, size: int) -> None:
        """The other way."""
        if self._memory is not None and size:
            stream.copy_out(self.host()[:size], self._memory)

    def close(self) -> None:
        """Free the device's side; the host's goes with the last array on it. Safe to call twice."""
        self._ring.close()
        if self._memory is not None:
            self._memory.close()


class SlotMemory:
    """What one frame or batch in flight needs beside the engine's tensors; grows, and never shrinks.

    Args:
        cuda: its context.
        is_mapped: see ``Mirror``.
    """

    def __init__(self, cuda: CudaContext, *, is_mapped: bool) -> None:
        self._cuda, self._is_mapped = cuda, is_mapped
        self.frames: Mirror | None = None
        self.results: Mirror | None = None
        self.scratch: DeviceMemory | None = None

    def reserve(self, *, frames: int, results: int, scratch: int) -> bool:
        """Have at least so many bytes of each; nothing of the slot is in flight. Needs the context current.

        Returns:
            Whether anything has moved, so that addresses kept elsewhere are no longer true.
        Raises:
            EngineError: no memory; what was too small is gone then.
        """
        moved = False
        if self.frames is None or self.frames.size < frames:
            self.frames, moved = self._renewed(self.frames, frames), True
        if self.results is None or self.results.size < results:
            self.results, moved = self._renewed(self.results, results), True
        if self.scratch is None or self.scratch.size < scratch:
            self._drop(self.scratch)
            self.scratch = None
            self.scratch, moved = DeviceMemory(self._cuda, max(scratch, 1)), True
        return moved

    def _renewed(self, old: Mirror | None, size: int) -> Mirror:
        """Freed before the new one is asked for: a device may not have room for both."""
        self._drop(old)
        if old is self.frames:
            self.frames = None
        else:
            self.results = None
        return Mirror(self._cuda, max(size, 1), is_mapped=self._is_mapped)

    @staticmethod
    def _drop(old: Mirror | DeviceMemory | None) -> None:
        if old is not None:
            old.close()

    def close(self) -> None:
        """Free all of it. Safe to call twice."""
        for one in (self.frames, self.results, self.scratch):
            self._drop(one)
        self.frames = self.results = self.scratch = None
