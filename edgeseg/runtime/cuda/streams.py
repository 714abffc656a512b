"""Own streams and events: copies, launches and who waits for whom. Own no memory and no kernel's meaning.

Every call but ``close()`` needs the context current.
"""

from __future__ import annotations

from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.runtime.cuda.buffers import DeviceMemory, DeviceTensor
from edgeseg.runtime.cuda.calls import DriverCalls, driver_calls
from edgeseg.runtime.cuda.counters import HandleKind
from edgeseg.runtime.cuda.handles import ContextHolder, Handle
from edgeseg.runtime.cuda.modules import BoundLaunch, Kernel

__all__ = ["Event", "Stream"]


class Event(Handle):
    """A mark in a stream that others wait for.

    Args:
        holder: its context.
        is_timed: whether it keeps the time when it is reached, which makes waiting for it slower.
    """

    kind: ClassVar[HandleKind] = "event"

    def __init__(self, holder: ContextHolder, *, is_timed: bool = False) -> None:
        flags = () if is_timed else (holder.driver.event_flags.DISABLE_TIMING,)
        super().__init__(holder, holder.driver.Event(*flags))

    @property
    def is_reached(self) -> bool:
        """Whether the work before the mark is done; also where nothing was marked yet."""
        return bool(self.raw.query())

    def synchronize(self) -> None:
        """Wait for the mark, other threads running."""
        self.holder.tally.add(synchronisations=1)
        self.raw.synchronize()

    def ms_since(self, earlier: Event) -> float:
        """Milliseconds between two timed marks that were reached."""
        return float(self.raw.time_since(earlier.raw))


NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING


class Stream(Handle):
    """A queue of the device's work, never the default one. What is given to it must live until the work is done.

    It takes no heed of the legacy default stream, where other libraries work unless told otherwise and which would let
    all streams wait for one another: ``wait_for_foreign`` is for that.
    """

    kind: ClassVar[HandleKind] = "stream"

    def __init__(self, holder: ContextHolder) -> None:
        super().__init__(holder, holder.driver.Stream(NON_BLOCKING))

    @property
    def handle(self) -> int:
        """The CUstream's address."""
        return int(self.raw.handle)

    def copy_in(self, device_buffer: DeviceTensor | DeviceMemory, host: NDArray[Any]) -> None:
        """Enqueue a copy from page-locked memory to the device.

        Raises:
            ShapeError: another number of bytes, or not contiguous.
        """
        _check_copy(device_buffer, host)
        self.holder.driver.memcpy_htod_async(int(device_buffer), host, self.raw)
        self.holder.tally.add(copies_in=1, bytes_in=host.nbytes)

    def copy_out(self, host: NDArray[Any], device_buffer: DeviceTensor | DeviceMemory) -> None:
        """Enqueue a copy from the device to page-locked memory.

        Raises:
            ShapeError: another number of bytes, or not contiguous.
        """
        _check_copy(device_buffer, host)
        self.holder.driver.memcpy_dtoh_async(host, int(device_buffer), self.raw)
        self.holder.tally.add(copies_out=1, bytes_out=host.nbytes)

    def copy_across(self, to: DeviceTensor | DeviceMemory, source: DeviceTensor | DeviceMemory) -> None:
        """Enqueue a copy from one place of the device to another.

        Args:
            to: as many bytes as the source.
            source: contiguous, as ``to`` is; the two do not overlap.
        Raises:
            ShapeError: another number of bytes, or not contiguous.
        """
        size = _whole_bytes(source)
        if _whole_bytes(to) != size:
            raise ShapeError(f"a copy of {size} bytes to {_whole_bytes(to)}", "give as many bytes")
        self.holder.driver.memcpy_dtod_async(int(to), int(source), size, self.raw)
        self.holder.tally.add(copies_across=1, bytes_across=size)

    def fill(self, target: DeviceTensor | DeviceMemory, byte: int = 0) -> None:
        """Enqueue setting every byte of memory of the device.

        Args:
            target: contiguous.
            byte: 0 to 255.
        Raises:
            ShapeError: not contiguous, or no byte.
        """
        if not 0 <= byte <= 255:
            raise ShapeError(f"filling with {byte}", "give a byte, 0 to 255")
        self.holder.driver.memset_d8_async(int(target), byte, _whole_bytes(target), self.raw)
        self.holder.tally.add(fills=1)

    @overload
    def launch(self, kernel: BoundLaunch) -> None: ...
    @overload
    def launch(
        self, kernel: Kernel, params: np.void | NDArray[Any], *, grid: tuple[int, ...], block: tuple[int, int, int]
    ) -> None: ...
    def launch(
        self,
        kernel: Kernel | BoundLaunch,
        params: Any = None,
        *,
        grid: tuple[int, ...] = (),
        block: tuple[int, int, int] = (1, 1, 1),
    ) -> None:
        """Enqueue a kernel.

        Args:
            kernel: of a module of the same context; or one that was bound, which costs the least and takes no more.
            params: its one parameter, a record of the kernel's dtype; read before this returns.
            grid: blocks in x, y, z.
            block: threads in x, y, z.
        Raises:
            ShapeError: the parameter is not of that dtype.
        """
        bound = kernel if isinstance(kernel, BoundLaunch) else kernel.bound(params, grid=grid, block=block)
        bound.enqueue(self.raw)
        self.holder.tally.add(launches=1)

    def record(self, event: Event) -> None:
        """Put a mark behind the work given so far."""
        event.raw.record(self.raw)

    def wait_for(self, event: Event) -> None:
        """Let later work of this stream wait for the event's latest mark; the host does not wait."""
        self.raw.wait_for_event(event.raw)
        self.holder.tally.add(stream_waits=1)

    def wait_for_foreign(self, stream_handle: int, *, calls: DriverCalls | None = None) -> None:
        """Let later work of this stream wait for what another library's stream was given so far; the host does not.

        Not inside a capture, which must not depend on work outside it: wait before the graph is launched.

        Args:
            stream_handle: a CUstream of the same context; 1 is the legacy default stream, 2 the thread's own.
            calls: the driver's functions.
        Raises:
            EngineError: the driver refuses, mostly since the other stream is of another device or has ended.
        """
        if stream_handle == self.handle:
            return  # in order already
        (calls or driver_calls()).let_wait(self.handle, stream_handle)
        self.holder.tally.add(stream_waits=1)

    def synchronize(self) -> None:
        """Wait for all work of the stream, other threads running."""
        self.holder.tally.add(synchronisations=1)
        self.raw.synchronize()


def _check_copy(device_buffer: DeviceTensor | DeviceMemory, host: NDArray[Any]) -> None:
    """A block of memory may be larger than what is copied; a tensor is copied whole."""
    if not host.flags.c_contiguous:
        raise ShapeError(f"a host array of shape {host.shape} is not C-contiguous", "copy from a contiguous one")
    if isinstance(device_buffer, DeviceMemory):
        fits, size = host.nbytes <= device_buffer.size, device_buffer.size
    else:
        fits, size = host.nbytes == device_buffer.nbytes and device_buffer.is_contiguous, device_buffer.nbytes
    if not fits:
        raise ShapeError(
            f"a host array of {host.nbytes} bytes does not fit the device's {size}, contiguous", "give one of its shape"
        )


def _whole_bytes(memory: DeviceTensor | DeviceMemory) -> int:
    """Bytes of memory without gaps."""
    if isinstance(memory, DeviceMemory):
        return memory.size
    if not memory.is_contiguous:
        raise ShapeError(f"a device tensor with pitches {memory.pitches} is not contiguous", "give a contiguous one")
    return memory.nbytes
