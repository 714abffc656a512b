"""Own where the rules of the kernels run: as C++ on the CPU, or on a CUDA device. Know no kernel's meaning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
import pytest
from kernel_lab import GUARD_BYTES, POISON, Guarded, Shim
from numpy.typing import DTypeLike, NDArray

from edgeseg.runtime.cuda import CudaContext, DeviceMemory, Stream
from edgeseg.runtime.kernels.loading import KernelSet

__all__ = ["CudaLauncher", "Launcher", "Room", "ShimLauncher"]

pytest.register_assert_rewrite("preprocess_rules", "postprocess_rules", "smooth_rules")

Params = NDArray[Any]


class Room(Protocol):
    """Memory that a kernel writes, poisoned before, between guard bytes."""

    @property
    def ptr(self) -> int:
        """Address of the first byte, as kernels have it."""

    def read(self) -> NDArray[Any]:
        """What it holds when all launches are done; fails where a byte beside it was written."""


class Launcher(ABC):
    """Runs kernels one after the other; what it was given stays where it is until the launcher goes."""

    @abstractmethod
    def put(self, array: NDArray[Any]) -> int:
        """The address of an array's first element, as kernels have it: with all its memory around it, as it lies."""

    @abstractmethod
    def room(
        self, shape: tuple[int, ...], dtype: DTypeLike, *, offset: int = 0, start: NDArray[Any] | None = None
    ) -> Room:
        """Room for an array, ``offset`` bytes behind an address that 256 divides; ``start`` instead of the poison."""

    @abstractmethod
    def launch(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], params: Params, *, backwards: bool = False
    ) -> None:
        """Run ``edgeseg_<name>``; the last thread first when ``backwards``, where the order is ours to choose."""


class ShimRoom:
    """Host memory."""

    def __init__(self, guarded: Guarded) -> None:
        self._guarded = guarded

    @property
    def ptr(self) -> int:
        return self._guarded.array.ctypes.data

    def read(self) -> NDArray[Any]:
        self._guarded.check()
        return self._guarded.array


class ShimLauncher(Launcher):
    """The kernels as C++; arrays stay where they are, so that a sanitizer sees what is read beside them."""

    def __init__(self, shim: Shim) -> None:
        self._shim = shim
        self._kept: list[NDArray[Any]] = []

    def put(self, array: NDArray[Any]) -> int:
        self._kept.append(array)
        return array.ctypes.data

    def room(
        self, shape: tuple[int, ...], dtype: DTypeLike, *, offset: int = 0, start: NDArray[Any] | None = None
    ) -> Room:
        guarded = Guarded(shape, dtype, offset=offset)
        if start is not None:
            guarded.array[...] = start
        return ShimRoom(guarded)

    def launch(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], params: Params, *, backwards: bool = False
    ) -> None:
        self._shim.launch(name, grid, block, params, backwards=backwards)


class CudaRoom:
    """Device memory, its guards in the same block."""

    def __init__(
        self, launcher: CudaLauncher, shape: tuple[int, ...], dtype: DTypeLike, offset: int, start: Any
    ) -> None:
        self._launcher, self._shape, self._dtype = launcher, shape, np.dtype(dtype)
        self._begin = GUARD_BYTES + offset
        size = int(np.prod(shape)) * self._dtype.itemsize
        self._end = self._begin + size
        content = np.full(self._end + GUARD_BYTES, POISON, np.uint8)
        if start is not None:
            content[self._begin : self._end] = np.ascontiguousarray(start, self._dtype).reshape(-1).view(np.uint8)
        self._block = launcher.uploaded(content)

    @property
    def ptr(self) -> int:
        return int(self._block) + self._begin

    def read(self) -> NDArray[Any]:
        found = self._launcher.downloaded(self._block)
        assert (found[: self._begin] == POISON).all(), "bytes in front of the array were written"
        assert (found[self._end :] == POISON).all(), "bytes behind the array were written"
        return found[self._begin : self._end].view(self._dtype).reshape(self._shape)


class CudaLauncher(Launcher):
    """The kernels as a device runs them, on one stream; the order of the threads is the device's.

    Args:
        context: of the device; the kernels are loaded as a session loads them.
    """

    def __init__(self, context: CudaContext) -> None:
        self._context = context
        self._kept: list[DeviceMemory] = []
        self._staging = np.zeros(0, np.uint8)
        with context.current():
            self._kernels, self._stream = KernelSet(context), Stream(context)

    def put(self, array: NDArray[Any]) -> int:
        owner = array if array.base is None else array.base
        assert isinstance(owner, np.ndarray) and owner.flags.c_contiguous
        block = self.uploaded(owner.reshape(-1).view(np.uint8))
        self._kept.append(block)
        return int(block) + array.ctypes.data - owner.ctypes.data

    def room(
        self, shape: tuple[int, ...], dtype: DTypeLike, *, offset: int = 0, start: NDArray[Any] | None = None
    ) -> Room:
        return CudaRoom(self, shape, dtype, offset, start)

    def launch(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], params: Params, *, backwards: bool = False
    ) -> None:
        with self._context.current():
            self._stream.launch(self._kernels.bound(name, params, grid=grid, block=block))
            self._stream.synchronize()  # a kernel's fault is told where it is launched

    def forget(self) -> None:
        """Free what was put."""
        for block in self._kept:
            block.close()
        self._kept.clear()

    def uploaded(self, content: NDArray[np.uint8]) -> DeviceMemory:
        """A block of device memory with these bytes."""
        with self._context.current():
            block = DeviceMemory(self._context, max(content.nbytes, 1))
            staged = self._staged(content.nbytes)
            staged[:] = content
            self._stream.copy_in(block, staged)
            self._stream.synchronize()
        return block

    def downloaded(self, block: DeviceMemory) -> NDArray[np.uint8]:
        """The bytes of a block."""
        with self._context.current():
            staged = self._staged(block.size)
            self._stream.copy_out(staged, block)
            self._stream.synchronize()
            return staged.copy()

    def _staged(self, size: int) -> NDArray[np.uint8]:
        """Page-locked bytes, used for one copy at a time."""
        if self._staging.nbytes < size:
            self._staging = self._context.pinned((2 * size,), "uint8")
        staged: NDArray[np.uint8] = self._staging[:size]
        return staged
