"""Own how fast this machine's processors, or a CUDA device, copy large buffers. Judge nothing by it."""

from __future__ import annotations

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edgeseg.runtime.cuda import CudaContext, DeviceTensor, Event, Stream

__all__ = ["device_copy_bytes_per_s", "host_copy_bytes_per_s"]

TRIES = 7
HOST_BYTES = 64 << 20  # a thread's buffer; more than a core's share of any cache
DEVICE_BYTES = 256 << 20


def host_copy_bytes_per_s(*, threads: int | None = None, buffer_bytes: int = HOST_BYTES) -> float:
    """Of memory, read plus written, best of several.

    Args:
        threads: that copy at once, each between two buffers of its own; all cores of this process without it.
        buffer_bytes: of one such buffer.
    """
    count = len(os.sched_getaffinity(0)) if threads is None else threads
    source = np.ones((count, buffer_bytes), np.uint8)
    target = np.zeros_like(source)  # its pages are there before the clock runs
    best_s = float("inf")
    with ThreadPoolExecutor(count) as pool:
        for _ in range(TRIES):
            start_s = time.perf_counter()
            list(pool.map(np.copyto, target, source))
            best_s = min(best_s, time.perf_counter() - start_s)
    return 2 * source.nbytes / best_s


def device_copy_bytes_per_s(cuda: CudaContext, *, buffer_bytes: int = DEVICE_BYTES) -> float:
    """Of a device's memory, read plus written, best of several.

    Raises:
        EngineError: the device has no room for two such buffers, or fails.
    """
    with cuda.current():
        stream, marks = Stream(cuda), [Event(cuda, is_timed=True) for _ in range(TRIES + 1)]
        source, target = (DeviceTensor.empty(cuda, (buffer_bytes,), "uint8") for _ in range(2))
        stream.copy_across(target, source)
        stream.record(marks[0])
        for mark in marks[1:]:
            stream.copy_across(target, source)
            stream.record(mark)
        marks[-1].synchronize()
        best_ms = min(later.ms_since(earlier) for earlier, later in itertools.pairwise(marks))
        source.close()
        target.close()
    return 2 * buffer_bytes / best_ms * 1e3
