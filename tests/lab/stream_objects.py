"""Own what the lab's driver gives out, by PyCUDA's names: streams, events, memory, modules; and its errors.

They are counted while they live, and noted as leaked where they are dropped without a current context, as PyCUDA's are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stream_lab import LabDriver

ALIGNMENT = 256
FIRST_STREAM = 0x5EED00  # the address of a stream is this and its number
DEVICEMAP = 2
LAUNCH_FAILED = "unspecified launch failure"
CAPTURING = "operation not permitted when stream is capturing"
INVALIDATED = "operation failed due to a previous error during capture"
ISOLATED = "dependency created on uncaptured work in another stream"
CAPTURED = "operation not permitted on an event last recorded in a capturing stream"
NOT_READY = "device not ready"
POISON = 0xAB  # neither a device's memory nor page-locked memory is zeroed


#: freeing these may wait for streams, which a thread that captures must not
UNSAFE_TO_FREE = ("device", "pinned", "module")


class Deadlock(AssertionError):
    """The host waits for what no stream can ever do."""


class Stuck(Exception):
    """Raised by a kernel that never ends; its stream goes no further."""


class Error(Exception):
    """PyCUDA's base."""


class LogicError(Error): ...


class LaunchError(Error): ...


class OutOfMemoryError(Error): ...


class RuntimeFault(Error): ...


#: CUDA's errors by the class that PyCUDA gives them
ERRORS: dict[str, type[Error]] = {
    "invalid argument": LogicError,
    "invalid resource handle": LogicError,
    "an illegal memory access was encountered": LogicError,
    "out of memory": OutOfMemoryError,
    LAUNCH_FAILED: LaunchError,
    "the launch timed out and was terminated": LaunchError,
    "device kernel image is invalid": RuntimeFault,
    "unknown error": RuntimeFault,
    CAPTURING: RuntimeFault,
    INVALIDATED: RuntimeFault,
    ISOLATED: RuntimeFault,
    CAPTURED: RuntimeFault,
    NOT_READY: RuntimeFault,
}


@dataclass
class LabMark:
    """One recording of an event; of a capture, where it is nothing that the device reaches."""

    is_reached: bool = False
    at: int = 0  # the scheduler's step when it was reached
    capture: LabCapture | None = None


@dataclass
class LabCapture:
    """What a capturing stream was given, in order; ``broken`` once something forbidden was done."""

    nodes: list[Any] = field(default_factory=list)
    is_broken: bool = False
    has_ended: bool = False


@dataclass
class LabQueue:
    """A stream on the device: work, marks to reach, and marks to wait for; while it captures, that alone grows."""

    number: int
    is_stuck: bool = False
    is_destroyed: bool = False
    capture: LabCapture | None = None
    work: deque[Any] = field(default_factory=deque)

    def give(self, *pieces: Any) -> None:
        """Enqueue or capture."""
        assert not self.is_destroyed, "work is given to a destroyed stream"
        if self.capture is None:
            self.work.extend(pieces)
            return
        if self.capture.is_broken:
            raise RuntimeFault(INVALIDATED)
        self.capture.nodes.extend(pieces)

    @property
    def is_ready(self) -> bool:
        if not self.work or self.is_stuck:
            return False
        head = self.work[0]
        return head[0].is_reached if isinstance(head, tuple) else True


class LabRaw:
    """What PyCUDA makes: counted, and to be dropped where its context is current."""

    def __init__(self, lab: LabDriver, kind: str) -> None:
        self._lab, self._kind = lab, kind
        with lab.lock:
            lab.living[kind] += 1

    def free(self) -> None:
        """What the driver does at the end."""

    def __del__(self) -> None:
        if not hasattr(self, "_kind"):  # its making failed
            return
        if not self._lab.stack:
            self._lab.leaks.append(self._kind)
            return
        with self._lab.lock:
            if self._kind in UNSAFE_TO_FREE and self._lab.broke_a_capture():
                self._lab.leaks.append(f"{self._kind} in a capture")
            self._lab.living[self._kind] -= 1
            self._lab.freed.append(self._kind)
            self.free()


class LabMemory(LabRaw):
    """Aligned bytes; freeing waits for all work, as cuMemFree and cuMemFreeHost do."""

    def __init__(self, lab: LabDriver, kind: str, size: int) -> None:
        super().__init__(lab, kind)
        space = np.full(size + ALIGNMENT, POISON, np.uint8)
        begin = -space.ctypes.data % ALIGNMENT
        self.bytes = space[begin : begin + size]
        self.ptr = int(self.bytes.ctypes.data)
        with lab.lock:
            lab.blocks[self.ptr] = self.bytes

    def __int__(self) -> int:
        return self.ptr

    def free(self) -> None:
        self._lab.run_until(lambda: not any(one.work for one in self._lab.queues), is_clean_up=True)
        self._lab.blocks.pop(self.ptr, None)


class LabHostMemory(LabMemory):
    """NumPy takes it for the owner of the array on it."""

    def __init__(self, lab: LabDriver, shape: tuple[int, ...], dtype: np.dtype[Any], flags: int) -> None:
        self._is_mapped = flags == DEVICEMAP
        super().__init__(lab, "pinned", int(np.prod(shape)) * dtype.itemsize)
        self.__array_interface__ = {
            "shape": shape,
            "typestr": dtype.str,
            "data": (self.ptr, False),
            "version": 3,
        }

    def get_device_pointer(self) -> int:
        if not self._is_mapped:
            raise LogicError("cuMemHostGetDevicePointer failed: invalid argument")
        return self.ptr


class LabStream(LabRaw):
    def __init__(self, lab: LabDriver) -> None:
        lab.called("cuStreamCreate")
        super().__init__(lab, "stream")
        self.queue = LabQueue(len(lab.queues))
        lab.queues.append(self.queue)
        self.handle = FIRST_STREAM + self.queue.number

    def free(self) -> None:
        self.queue.is_destroyed = True

    def synchronize(self) -> None:
        self._lab.called("cuStreamSynchronize", is_safe=False)
        self._lab.run_until(lambda: not self.queue.work)

    def is_done(self) -> bool:
        self._lab.called("cuStreamQuery", is_safe=False)
        return not self.queue.work

    def wait_for_event(self, event: LabEvent) -> None:
        self._lab.called("cuStreamWaitEvent")
        mark, capture = event.mark, self.queue.capture
        if mark is None or (capture is not None and mark.capture is capture):
            return
        if mark.capture is not None:
            assert mark.capture.has_ended, "the lab has no capture of several streams"
            raise RuntimeFault(f"cuStreamWaitEvent failed: {CAPTURED}")
        if capture is not None:
            capture.is_broken = True
            raise RuntimeFault(f"cuStreamWaitEvent failed: {ISOLATED}")
        self.queue.give((mark,))


class LabEvent(LabRaw):
    def __init__(self, lab: LabDriver, flags: int) -> None:
        lab.called("cuEventCreate")
        super().__init__(lab, "event")
        self.mark: LabMark | None = None
        self.is_timed = flags == 0

    def record(self, stream: LabStream) -> LabEvent:
        self._lab.called("cuEventRecord")
        capture = stream.queue.capture
        mark = LabMark(capture=capture)
        if capture is None or capture.is_broken:
            stream.queue.give(mark)
        self.mark = mark
        return self

    def synchronize(self) -> LabEvent:
        self._lab.called("cuEventSynchronize", is_safe=False)
        mark = self._uncaptured("cuEventSynchronize")
        self._lab.run_until(lambda: mark is None or mark.is_reached)
        return self

    def query(self) -> bool:
        self._lab.called("cuEventQuery", is_safe=False)
        mark = self._uncaptured("cuEventQuery")
        return mark is None or mark.is_reached

    def time_since(self, earlier: LabEvent) -> float:
        self._lab.called("cuEventElapsedTime")
        if not (self.is_timed and earlier.is_timed):
            raise LogicError("cuEventElapsedTime failed: invalid resource handle")
        return milliseconds(earlier._uncaptured("cuEventElapsedTime"), self._uncaptured("cuEventElapsedTime"))

    def _uncaptured(self, name: str) -> LabMark | None:
        if self.mark is not None and self.mark.capture is not None:
            self.mark.capture.is_broken = True
            raise RuntimeFault(f"{name} failed: {CAPTURED}")
        return self.mark


def milliseconds(earlier: LabMark | None, later: LabMark | None) -> float:
    """The scheduler's steps between two marks: at least 1 in one stream, whose every mark is a step."""
    if earlier is None or later is None:
        raise LogicError("cuEventElapsedTime failed: invalid resource handle")
    if not (earlier.is_reached and later.is_reached):
        raise RuntimeFault(f"cuEventElapsedTime failed: {NOT_READY}")
    return float(later.at - earlier.at)


class LabModule(LabRaw):
    def __init__(self, lab: LabDriver, kernels: dict[str, Any]) -> None:
        super().__init__(lab, "module")
        self._kernels = kernels

    def get_function(self, name: str) -> LabFunction:
        self._lab.called("cuModuleGetFunction")
        if name not in self._kernels:
            raise LogicError("cuModuleGetFunction failed: named symbol not found")
        return LabFunction(self._lab, self, self._kernels[name])


class LabFunction:
    """PyCUDA's function, which keeps its module."""

    def __init__(self, lab: LabDriver, module: LabModule, kernel: Callable[..., None]) -> None:
        self._lab, self._module, self._kernel = lab, module, kernel

    def prepare(self, formats: list[str]) -> LabFunction:
        self._size = int(formats[0].removesuffix("s"))
        return self

    def prepared_async_call(
        self, grid: tuple[int, ...], block: tuple[int, ...], stream: LabStream, params: bytes
    ) -> None:
        self._lab.called("cuLaunchKernel")
        assert len(params) == self._size and len(block) == 3
        kernel = self._kernel
        stream.queue.give(lambda: kernel(self._lab, params))
