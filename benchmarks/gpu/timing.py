"""Own how work on a device is timed: by events, behind work that keeps it busy, in turns. Know no kernel.

A run is timed between two events of one stream. What is enqueued takes the host longer than the device takes to do it,
so each round of runs is enqueued behind copies that last longer than the enqueuing: the device never waits for the
host between the events. An event pair around nothing costs what ``empty_ms`` tells; it is not subtracted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edgeseg.latency import percentile
from edgeseg.runtime.cuda import CudaContext, DeviceTensor, Event, Stream

__all__ = ["Clock", "Timing", "alternating"]

#: enqueues the i-th of the rotating sets of buffers on a stream
Run = Callable[[int, Stream], None]

ROUND = 20
MARGIN = 2.0  # the hold-up lasts that much longer than the enqueuing took
MOST_COPIES = 2000


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds of single runs, in the order they were taken."""

    samples_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """The middle one."""
        return statistics.median(self.samples_ms)

    def percentile_ms(self, percent: float) -> float:
        """As trtexec takes it."""
        return percentile(sorted(self.samples_ms), percent)


@dataclass
class Clock:
    """Times runs on one stream of a device.

    Args:
        cuda: the device's context; every method needs it current.
        stream: of its own.
        held_bytes: of the copies that hold the stream up.
        round_runs: runs behind one hold-up.
    """

    cuda: CudaContext
    stream: Stream
    held_bytes: int = 256 << 20
    round_runs: int = ROUND
    _buffers: list[DeviceTensor] = field(init=False)
    _events: list[Event] = field(init=False)

    def __post_init__(self) -> None:
        self._buffers = [DeviceTensor.empty(self.cuda, (self.held_bytes,), "uint8") for _ in range(2)]
        self._events = [Event(self.cuda, is_timed=True) for _ in range(self.round_runs + 1)]

    def timed(self, run: Run, *, sets: int, runs: int) -> Timing:
        """Time ``runs`` runs or a few more, each on the next of ``sets`` sets of buffers."""
        enqueue_s = self._warm(run, sets) * self.round_runs
        copies = self._copies_for(enqueue_s * MARGIN)
        samples: list[float] = []
        while len(samples) < runs:
            samples += self._round(run, sets, len(samples), copies)
        return Timing(samples_ms=tuple(samples))

    def empty_ms(self) -> float:
        """What is measured of a run that does nothing."""
        return self.timed(lambda index, stream: None, sets=1, runs=5 * self.round_runs).median_ms

    def copy_bytes_per_s(self, runs: int) -> float:
        """The device's own copy bandwidth, bytes read plus bytes written, of buffers no cache holds."""
        first, second = self._buffers

        def run(index: int, stream: Stream) -> None:
            stream.copy_across(first if index % 2 else second, second if index % 2 else first)

        return 2 * self.held_bytes / (self.timed(run, sets=2, runs=runs).median_ms / 1e3)

    def _warm(self, run: Run, sets: int) -> float:
        """Seconds that the host takes to enqueue one run, the slowest of the later half of a round."""
        slowest_s = 0.0
        for index in range(self.round_runs):
            start_s = time.perf_counter()
            run(index % sets, self.stream)
            if index >= self.round_runs // 2:
                slowest_s = max(slowest_s, time.perf_counter() - start_s)
        self.stream.synchronize()
        return slowest_s

    def _copies_for(self, seconds: float) -> int:
        start, end = self._events[:2]
        self.stream.record(start)
        self.stream.copy_across(*self._buffers)
        self.stream.record(end)
        end.synchronize()
        copy_s = max(end.ms_since(start) / 1e3, 1e-6)
        return min(1 + int(seconds / copy_s), MOST_COPIES)

    def _round(self, run: Run, sets: int, begin: int, copies: int) -> Iterator[float]:
        for _ in range(copies):
            self.stream.copy_across(*self._buffers)
        self.stream.record(self._events[0])
        for index in range(self.round_runs):
            run((begin + index) % sets, self.stream)
            self.stream.record(self._events[index + 1])
        self._events[-1].synchronize()
        return (later.ms_since(earlier) for earlier, later in zip(self._events, self._events[1:], strict=False))


def alternating(clock: Clock, ways: dict[str, Run], *, sets: int, runs: int, turns: int) -> dict[str, list[Timing]]:
    """Time several ways of one thing in turns, so that a drift of the device's clock meets all of them."""
    found: dict[str, list[Timing]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, run in ways.items():
            found[name].append(clock.timed(run, sets=sets, runs=-(-runs // turns)))
    return found
