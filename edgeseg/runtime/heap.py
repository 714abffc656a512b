"""Own what glibc's malloc is told in a process that runs for months. Allocate nothing.

Left alone, a loop that loads engines and opens cameras again and again does not leak and yet grows: holes between what
lives long are kept. Two habits hold it level. An engine's large parts get mappings of their own, which go back whole
when it is closed; and free pages are handed back once something rare has let go of memory. What a frame costs is not
touched by either: its large arrays come from the heap, where the kernel need not clear them each time. Other C
libraries than glibc have nothing of this, and nothing is done there.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

__all__ = ["few_arenas", "give_back", "long_lived"]

# mallopt(3)
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
ARENAS = 2
LARGE_BYTES = 128 << 10  # glibc's own threshold at the start of a process
FRAME_BYTES = 32 << 20  # the highest that glibc takes
KEPT_TOP_BYTES = 2 * FRAME_BYTES  # as glibc's own rule has it


def few_arenas() -> None:
    """Let all threads share two heaps, where glibc makes eight a core; of the whole process, and before its threads.

    Threads that come and go with sources then leave their holes in two places.
    """
    _tell(ARENA_MAX, ARENAS)


@contextlib.contextmanager
def long_lived() -> Iterator[None]:
    """What the block allocates in large pieces goes back to the system whole when it is freed."""
    _tell(MMAP_THRESHOLD, LARGE_BYTES)
    try:
        yield
    finally:
        _tell(MMAP_THRESHOLD, FRAME_BYTES)
        _tell(TRIM_THRESHOLD, KEPT_TOP_BYTES)


def give_back() -> None:
    """Hand free pages to the system; other threads' allocations wait meanwhile, some milliseconds in a large heap."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _tell(parameter: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ctypes.c_int(parameter), ctypes.c_int(value))
