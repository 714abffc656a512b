"""Own a CUDA driver that keeps its promises as badly as it may: PyCUDA's names, host memory, adversarial schedules.

Work of one stream is done in order; of different streams in any order that no event forbids, as late as a seeded
scheduler likes, a copy in two halves. Work is done only inside calls, so a schedule is the same for the same seed.
Kernels are Python callables ``kernel(lab, params)`` that reach memory through ``lab.view(ptr, dtype, count)``.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from graph_lab import LabBindings
from stream_objects import (
    CAPTURING,
    DEVICEMAP,
    ERRORS,
    LAUNCH_FAILED,
    Deadlock,
    Error,
    LabCapture,
    LabEvent,
    LabHostMemory,
    LabMark,
    LabMemory,
    LabModule,
    LabQueue,
    LabStream,
    LaunchError,
    LogicError,
    OutOfMemoryError,
    RuntimeFault,
    Stuck,
)

from edgeseg.runtime.cuda import CudaContext

__all__ = ["ERRORS", "LAUNCH_FAILED", "Deadlock", "LabDriver", "Stuck", "context_of"]


class LabDriver:
    """Stands where ``pycuda.driver`` stands, for one context.

    Args:
        seed: of the schedule: which ready stream goes next, and how much is done inside a call that need not wait.
        images: kernels of a module by the bytes of its "cubin".
        total: bytes of the device.
    """

    Error, LogicError, LaunchError, RuntimeError = Error, LogicError, LaunchError, RuntimeFault
    MemoryError = OutOfMemoryError
    host_alloc_flags = SimpleNamespace(DEVICEMAP=DEVICEMAP)
    event_flags = SimpleNamespace(DISABLE_TIMING=2)
    device_attribute = SimpleNamespace(INTEGRATED="integrated", CAN_MAP_HOST_MEMORY="can map")

    def __init__(self, seed: int = 0, images: dict[bytes, dict[str, Any]] | None = None, total: int = 1 << 20) -> None:
        self._rng = random.Random(seed)
        self._eagerness = self._rng.choice([0.0, 0.2, 0.7])  # of a step inside a call that need not wait
        self._is_biased = self._rng.random() < 0.5  # to the stream that came first, or last
        self._favours_last = self._rng.random() < 0.5
        self._images, self._total = images or {}, total
        self._local = threading.local()
        self._fails_at, self._words, self._is_lost_then = 0, "", False
        self._lost_at_step = 0
        self.calls: list[str] = []
        self.steps = 0
        self.lost: str | None = None
        self.is_hung = False  # the host waited for ever, also where a destructor did
        self.is_integrated = False
        self.living: Counter[str] = Counter()
        self.freed: list[str] = []
        self.leaks: list[str] = []  # dropped where no context was current
        self.lock = threading.RLock()  # of all but the order of calls of one thread
        self.blocks: dict[int, Any] = {}
        self.queues: list[LabQueue] = []

    # what tests ask for

    def fail(self, call: int, words: str, *, is_lost: bool = False) -> None:
        """Let the n-th call, from 1, fail; with ``is_lost`` all later ones too, and no work in flight is done."""
        self._fails_at, self._words, self._is_lost_then = call, words, is_lost

    def lose_at(self, step: int) -> None:
        """Lose the device when the n-th piece of work, from 1, is done: no call fails before the device tells."""
        self._lost_at_step = step

    def view(self, ptr: int, dtype: Any, count: int) -> Any:
        """Memory as a kernel has it; a fault where it is not all inside one living block."""
        size = count * np.dtype(dtype).itemsize
        for begin, block in self.blocks.items():
            if begin <= ptr and ptr + size <= begin + block.nbytes:
                return block[ptr - begin : ptr - begin + size].view(dtype)
        raise LogicError("an illegal memory access was encountered")

    @property
    def stack(self) -> list[LabDriver]:
        """Contexts on this thread's stack."""
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[LabDriver] = self._local.stack
        return stack

    # the context

    def push(self) -> None:
        self.called("cuCtxPushCurrent", is_on_device=False)
        self.stack.append(self)

    def pop(self) -> None:
        self.stack.pop()  # also where it tells of an earlier error, as CUDA's may
        self.called("cuCtxPopCurrent", is_on_device=False)

    def synchronize(self) -> None:
        self.called("cuCtxSynchronize", is_safe=False)
        self.run_until(lambda: not any(one.work for one in self.queues))

    # PyCUDA's functions

    def Device(self, ordinal: int) -> LabDriver:
        return self

    def get_attribute(self, name: str) -> int:
        return int(name == "can map" or self.is_integrated)

    def Stream(self, flags: int = 0) -> LabStream:
        return LabStream(self)

    def Event(self, flags: int = 0) -> LabEvent:
        return LabEvent(self, flags)

    def mem_get_info(self) -> tuple[int, int]:
        self.called("cuMemGetInfo")
        return self._total - sum(block.nbytes for block in list(self.blocks.values())), self._total

    def mem_alloc(self, size: int) -> LabMemory:
        self.called("cuMemAlloc", is_safe=False)
        if sum(block.nbytes for block in list(self.blocks.values())) + size > self._total:
            raise OutOfMemoryError("cuMemAlloc failed: out of memory")
        return LabMemory(self, "device", size)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
        self.called("cuMemHostAlloc", is_safe=False)
        return np.asarray(LabHostMemory(self, shape, np.dtype(dtype), mem_flags))

    def module_from_buffer(self, image: bytes) -> LabModule:
        self.called("cuModuleLoadDataEx", is_safe=False)
        if image not in self._images:
            raise RuntimeFault("cuModuleLoadDataEx failed: device kernel image is invalid")
        return LabModule(self, self._images[image])

    def memcpy_htod_async(self, dest: int, src: Any, stream: LabStream) -> None:
        self.called("cuMemcpyHtoDAsync")
        self._copy(stream, dest, src.ctypes.data, src.nbytes)

    def memcpy_dtoh_async(self, dest: Any, src: int, stream: LabStream) -> None:
        self.called("cuMemcpyDtoHAsync")
        self._copy(stream, dest.ctypes.data, src, dest.nbytes)

    def memcpy_dtod_async(self, dest: int, src: int, size: int, stream: LabStream) -> None:
        self.called("cuMemcpyDtoDAsync")
        self._copy(stream, dest, src, size)

    def memset_d8_async(self, dest: int, data: int, size: int, stream: LabStream) -> None:
        self.called("cuMemsetD8Async")
        half = size // 2
        stream.queue.give(
            lambda: self.view(dest, np.uint8, half).fill(data),
            lambda: self.view(dest + half, np.uint8, size - half).fill(data),
        )

    def _copy(self, stream: LabStream, to_ptr: int, from_ptr: int, size: int) -> None:
        """In two halves; both sides are the driver's memory, page-locked where it is the host's."""

        def part(begin: int, end: int) -> Callable[[], None]:
            return lambda: np.copyto(
                self.view(to_ptr + begin, np.uint8, end - begin), self.view(from_ptr + begin, np.uint8, end - begin)
            )

        stream.queue.give(part(0, size // 2), part(size // 2, size))

    # the scheduler

    def called(self, name: str, *, is_on_device: bool = True, is_safe: bool = True) -> None:
        """Note a call, fail where that was asked for, and let the device do some work meanwhile.

        What is not safe may wait for streams, and breaks the capture of a thread that has one.
        """
        with self.lock:
            self._called(name, is_on_device)
            if not is_safe and self.broke_a_capture():
                raise RuntimeFault(f"{name} failed: {CAPTURING}")

    def broke_a_capture(self) -> bool:
        """Break this thread's capture; False where it has none."""
        capture = self.capturing
        if capture is not None:
            capture.is_broken = True
        return capture is not None

    @property
    def capturing(self) -> LabCapture | None:
        """What this thread captures."""
        return getattr(self._local, "capture", None)

    @capturing.setter
    def capturing(self, capture: LabCapture | None) -> None:
        self._local.capture = capture

    def _called(self, name: str, is_on_device: bool) -> None:
        self.calls.append(name)
        assert not is_on_device or self.stack, f"{name} without a current context"
        if len(self.calls) == self._fails_at:
            if self._is_lost_then:
                self._lose(self._words)
            raise ERRORS[self._words](f"{name} failed: {self._words}")
        if is_on_device:
            while self._rng.random() < self._eagerness and self._step():
                pass
            self._tell(name)

    def _tell(self, name: str) -> None:
        if self.lost is not None:
            raise ERRORS.get(self.lost, LaunchError)(f"{name} failed: {self.lost}")

    def _lose(self, words: str) -> None:
        self.lost = words
        for one in self.queues:
            one.work.clear()

    def _ready(self) -> Iterator[LabQueue]:
        return (one for one in self.queues if one.is_ready)

    def _step(self) -> bool:
        """Do one piece of work; False where there is none that can be done."""
        ready = list(self._ready())
        if not ready:
            return False
        chosen = ready[-1 if self._favours_last else 0] if self._is_biased else self._rng.choice(ready)
        head = chosen.work.popleft()
        self.steps += 1
        if self.steps == self._lost_at_step:
            self._lose(LAUNCH_FAILED)
        elif isinstance(head, LabMark):
            head.is_reached, head.at = True, self.steps
        elif not isinstance(head, tuple):
            self._do(chosen, head)
        return True

    def _do(self, queue: LabQueue, work: Callable[[], None]) -> None:
        try:
            work()
        except Stuck:
            queue.is_stuck = True
            queue.work.appendleft(work)
        except Error as fault:
            self._lose(str(fault))

    def run_until(self, is_reached: Callable[[], bool], *, is_clean_up: bool = False) -> None:
        """Work until the host may go on; clean-up goes on whatever happened, as PyCUDA's destructors do."""
        with self.lock:
            self._run_until(is_reached, is_clean_up)

    def _run_until(self, is_reached: Callable[[], bool], is_clean_up: bool) -> None:
        while self.lost is None and not is_reached():
            if not self._step():
                self.is_hung = True
                if is_clean_up:
                    break
                raise Deadlock(f"no stream can go on: {[len(one.work) for one in self.queues]} pieces are left")
        if not is_clean_up:
            self._tell("cuCtxSynchronize")


def context_of(lab: LabDriver) -> CudaContext:
    """The floor on that driver, which is its own context, and on its cuda-bindings."""
    context = CudaContext(lab, lab)  # type: ignore[arg-type]
    context.bindings = LabBindings(lab)  # type: ignore[assignment]
    return context
