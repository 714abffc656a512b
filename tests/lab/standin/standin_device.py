"""Own the stand-in's device: host memory for the device's, streams that work in order, kernels as C++ that they run.

Know no TensorRT, no PyCUDA.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable
from typing import ClassVar

__all__ = ["Event", "Image", "Memory", "Stream", "driver_works", "enqueue", "read", "settle", "stream_of", "write"]

ALIGNMENT = 256  # of cuMemAlloc
PATIENCE_S = 60
ILLEGAL = "an illegal memory access was encountered"


class Memory:
    """A block, alive until ``free``; its address is aligned as the driver's are."""

    blocks: ClassVar[dict[int, int]] = {}  # also the host's that are mapped, which a stream reaches as well

    def __init__(self, size: int, *, is_reachable: bool = True) -> None:
        self._buffer = ctypes.create_string_buffer(size + ALIGNMENT)
        self.address = -(-ctypes.addressof(self._buffer) // ALIGNMENT) * ALIGNMENT
        self.size = size
        ctypes.memset(self.address, 0xAB, size)  # a device's memory is not zeroed
        if is_reachable:
            Memory.blocks[self.address] = size

    def free(self) -> None:
        Memory.blocks.pop(self.address, None)


def _check(address: int, size: int) -> None:
    """A device's fault: the bytes are not all inside one living block."""
    blocks = list(Memory.blocks.items())  # other threads allocate meanwhile
    if not any(begin <= address and address + size <= begin + length for begin, length in blocks):
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
        self.captured: list[Callable[[], None]] | None = None  # while work is taken for a graph, and not done
        self.is_capture_broken = False
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"stream-{self.handle:x}")
        self._thread.start()
        Stream.living[self.handle] = self

    def submit(self, work: Callable[[], None]) -> None:
        if self.captured is not None:
            self.captured.append(work)
        else:
            self._work.put(work)

    def synchronize(self) -> None:
        """Wait for its work; what waits for a capture breaks it."""
        self.is_capture_broken = self.captured is not None
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


def settle() -> None:
    """Wait for all work; work that is being captured is none."""
    for stream in list(Stream.living.values()):
        if stream.captured is None:
            stream.synchronize()


class Event:
    """A mark in a stream with the time when it was reached."""

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.reached_s: float | None = None
        self._is_reached = threading.Event()

    def reach(self) -> None:
        """As a node of a graph, each time anew."""
        self.reached_s = time.perf_counter()

    def record(self, stream: Stream) -> None:
        if stream.captured is not None:
            stream.is_capture_broken = True  # CUDA takes it, as a wait within the graph; we mean a time
            return
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

    def wait_in(self, stream: Stream) -> None:
        """Let a stream wait for the latest mark; one that is recorded later is another."""
        if self.stream is not None:
            reached = self._is_reached
            stream.submit(lambda: _wait(reached))


class Image:
    """Kernels of ours, compiled as C++: what the device takes for a cubin. A process loads the same ones once."""

    _libraries: ClassVar[dict[str, ctypes.CDLL]] = {}

    def __init__(self, image: bytes) -> None:
        key = hashlib.sha256(image).hexdigest()
        if key not in Image._libraries:
            with tempfile.NamedTemporaryFile(suffix=".so") as file:
                file.write(image)
                file.flush()
                Image._libraries[key] = ctypes.CDLL(file.name)  # OSError for what is none
        self._library = Image._libraries[key]

    def parameter_bytes(self, name: str) -> int:
        """Of a kernel's one parameter; AttributeError for a name that is none."""
        size: int = self._library[f"edgeseg_sizeof_{name.removeprefix('edgeseg_')}"]()
        return size

    def run(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], params: bytes) -> None:
        """All threads of a launch, one after the other."""
        triple = ctypes.c_uint * 3
        sizes = [triple(*size, *(1,) * (3 - len(size))) for size in (grid, block)]
        self._library[f"edgeseg_run_{name.removeprefix('edgeseg_')}"](*sizes, 0, params)


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


_marks: dict[int, Event] = {}
_numbers = itertools.count(0xE0)


def _has(address: int, _: int) -> int:
    try:
        _check(address, 1)
    except MemoryError:
        return -1
    return 0


def _create(*_: int) -> int:
    number = next(_numbers)
    _marks[number] = Event()
    return number


def _record(mark: int, handle: int) -> int:
    _marks[mark].record(Stream.living[handle])
    return 0


def _let_wait(handle: int, mark: int) -> int:
    _marks[mark].wait_in(Stream.living[handle])
    return 0


def _destroy(mark: int, _: int) -> int:
    del _marks[mark]
    return 0


def _synchronize(handle: int, _: int) -> int:
    Stream.living[handle].synchronize()
    return 0


ANSWERS: dict[bytes, Callable[[int, int], int]] = {
    b"has": _has,
    b"create": _create,
    b"record": _record,
    b"wait": _let_wait,
    b"destroy": _destroy,
    b"synchronize": _synchronize,
}


@ctypes.CFUNCTYPE(ctypes.c_longlong, ctypes.c_char_p, ctypes.c_ulonglong, ctypes.c_ulonglong)
def _answer(question: bytes, one: int, other: int) -> int:
    """What the driver's library asks; -1 is a no."""
    try:
        return ANSWERS[question](one, other)
    except KeyError:  # no living stream, no event
        return -1


def _answer_the_driver() -> None:
    """The library outlives this module where a test drops it, so it keeps what it calls."""
    try:
        library = ctypes.CDLL(os.environ.get("STANDIN_LIBCUDA", "libcuda.so.1"))
    except OSError:
        return  # a machine without a driver
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_answer))
    library.standin_answers(_answer)


_answer_the_driver()
