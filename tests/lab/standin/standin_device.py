"""Own the stand-in's device: host memory for the device's, streams that work in order. Know no TensorRT, no PyCUDA."""

from __future__ import annotations

import ctypes
import itertools
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import ClassVar

__all__ = ["Event", "Memory", "Stream", "driver_works", "enqueue", "read", "stream_of", "write"]

ALIGNMENT = 256  # of cuMemAlloc
PATIENCE_S = 60
ILLEGAL = "an illegal memory access was encountered"


class Memory:
    """A block, alive until ``free``; its address is aligned as the driver's are."""

    blocks: ClassVar[dict[int, int]] = {}

    def __init__(self, size: int) -> None:
        self._buffer = ctypes.create_string_buffer(size + ALIGNMENT)
        self.address = -(-ctypes.addressof(self._buffer) // ALIGNMENT) * ALIGNMENT
        self.size = size
        ctypes.memset(self.address, 0xAB, size)  # a device's memory is not zeroed
        Memory.blocks[self.address] = size

    def free(self) -> None:
        Memory.blocks.pop(self.address, None)


def _check(address: int, size: int) -> None:
    """A device's fault: the bytes are not all inside one living block."""
    if not any(begin <= address and address + size <= begin + length for begin, length in Memory.blocks.items()):
        raise MemoryError(ILLEGAL)


def read(address: int, size: int) -> bytes:
    _check(address, size)
    return ctypes.string_at(address, size)


def write(address: int, data: bytes) -> None:
    _check(address, len(data))
    ctypes.memmove(address, data, len(data))


def _wait(event: threading.Event) -> None:
    """A device that hangs is a failing test, not a test that hangs."""
    if not event.wait(PATIENCE_S):
        raise TimeoutError(f"a stream did not come to its mark in {PATIENCE_S} s")


class Stream:
    """Work in the order of submission, in a thread of its own; the first fault stays and stops what follows."""

    _handles = itertools.count(0x5EED0000, 0x100)
    living: ClassVar[dict[int, Stream]] = {}

    def __init__(self) -> None:
        self.handle = next(Stream._handles)
        self.fault: str | None = None
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"stream-{self.handle:x}")
        self._thread.start()
        Stream.living[self.handle] = self

    def submit(self, work: Callable[[], None]) -> None:
        self._work.put(work)

    def synchronize(self) -> None:
        done = threading.Event()
        self._work.put(done.set)
        _wait(done)

    def close(self) -> None:
        Stream.living.pop(self.handle, None)
        self._work.put(None)

    def _run(self) -> None:
        for work in iter(self._work.get, None):
            if self.fault is not None and getattr(work, "__name__", "") != "set":
                continue
            try:
                work()
            except Exception as error:  # noqa: BLE001  whatever it is, the stream is broken
                self.fault = self.fault or f"{error}"


class Event:
    """A mark in a stream with the time when it was reached."""

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.reached_s: float | None = None
        self._is_reached = threading.Event()

    def record(self, stream: Stream) -> None:
        self.stream, self.reached_s = stream, None
        self._is_reached = reached = threading.Event()

        def reach() -> None:
            self.reached_s = time.perf_counter()
            reached.set()

        reach.__name__ = "set"
        stream.submit(reach)

    def synchronize(self) -> None:
        if self.stream is not None:
            _wait(self._is_reached)

    def query(self) -> bool:
        return self.stream is None or self._is_reached.is_set()


def stream_of(handle: int) -> Stream | None:
    """The living stream of a handle; None is the default stream, where all work is done at once."""
    return Stream.living.get(handle)


def enqueue(handle: int, work: Callable[[], None]) -> None:
    stream = stream_of(handle)
    if stream is None and handle != 0:
        raise RuntimeError(f"invalid resource handle: {handle:#x} is no living stream")
    work() if stream is None else stream.submit(work)


def driver_works(library: str | None = None) -> bool:
    """Whether the driver's library is there and initialises."""
    try:
        return ctypes.CDLL(library or os.environ.get("STANDIN_LIBCUDA", "libcuda.so.1")).cuInit(0) == 0
    except (OSError, AttributeError):
        return False
