"""Own what a process holds: resident memory over time, threads, descriptors, shared memory, children. Judge nothing."""

from __future__ import annotations

import gc
import statistics
import threading
from dataclasses import dataclass
from pathlib import Path

from edgeseg.imaging.colours import forget_sizes
from edgeseg.runtime.heap import give_back

__all__ = ["Held", "Sample", "growth_bytes", "held", "resident", "step_bytes"]

PROC, SHARED = Path("/proc/self"), Path("/dev/shm")
SHARE = 0.1  # of the samples, at either end, whose median is compared
PAIRS = 200  # samples that the slope is taken of, evenly chosen: their pairs are 20,000


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Memory at one moment, after a collection of Python's garbage and with free pages handed back.

    Attributes:
        frames: that had come.
        at_s: since the beginning.
        resident_bytes: of the process, all of it.
        anonymous_bytes: the part that is no file's: heaps, stacks, buffers.
    """

    frames: int
    at_s: float
    resident_bytes: int
    anonymous_bytes: int


@dataclass(frozen=True, kw_only=True)
class Held:
    """What must not be left behind, by name or kind."""

    threads: tuple[str, ...]
    native_threads: int
    descriptors: tuple[str, ...]
    shared: tuple[str, ...]
    children: tuple[int, ...]


def resident() -> tuple[int, int]:
    """Resident and anonymous bytes, as the kernel counts them page by page, once nothing free is among them."""
    gc.collect()
    give_back()
    sizes = dict.fromkeys(("Rss", "Anonymous"), 0)
    for line in (PROC / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, size = line.partition(":")
        if name in sizes:
            sizes[name] = int(size.split()[0]) * 1024
    return sizes["Rss"], sizes["Anonymous"]


def held() -> Held:
    """At this moment, and without what is kept of former sizes, whose threads are not left behind but in store."""
    forget_sizes()
    gc.collect()
    tasks = list((PROC / "task").iterdir())
    children = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    return Held(
        threads=tuple(sorted(one.name for one in threading.enumerate())),
        native_threads=len(tasks),
        descriptors=tuple(sorted(_descriptors())),
        shared=tuple(sorted(one.name for one in SHARED.iterdir())),
        children=tuple(sorted(children)),
    )


def _descriptors() -> list[str]:
    found = []
    for one in (PROC / "fd").iterdir():
        try:
            found.append(str(one.readlink()).split(":")[0])  # of sockets and pipes their kind: the numbers differ
        except FileNotFoundError:  # the listing's own
            continue
    return found


def step_bytes(samples: list[Sample]) -> int:
    """The median of the last tenth of the samples above that of the first tenth."""
    values = [one.resident_bytes for one in samples]
    count = max(int(len(values) * SHARE), 1)
    return int(statistics.median(values[-count:]) - statistics.median(values[:count]))


def growth_bytes(samples: list[Sample], *, part: str = "resident_bytes") -> float:
    """From the first sample to the last, along the line of Theil and Sen, whose slope is the median of all pairs'."""
    chosen = samples[:: max(len(samples) // PAIRS, 1)]
    slopes = [
        (getattr(other, part) - getattr(one, part)) / (other.frames - one.frames)
        for index, one in enumerate(chosen)
        for other in chosen[index + 1 :]
        if other.frames > one.frames
    ]
    return statistics.median(slopes) * (samples[-1].frames - samples[0].frames) if slopes else 0.0
