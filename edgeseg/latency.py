"""Own the timing of stages: samples to percentiles, jitter, counters. Read no clock but for ``timed``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LatencyLog", "StageStats", "percentile", "summarise"]


@dataclass(frozen=True, kw_only=True)
class StageStats:
    """What the samples of one stage say. All in milliseconds, but for the counts.

    ``count`` and ``sum_ms`` are of every sample ever added; the other figures describe the newest ``kept`` of them.
    ``jitter_ms`` is the mean absolute difference of successive samples.
    """

    count: int
    sum_ms: float
    kept: int
    mean_ms: float
    std_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    jitter_ms: float


def percentile(ordered: Sequence[float] | NDArray[np.float64], percent: float) -> float:
    """Percentile without interpolation, as trtexec takes it: index ``max(n - 1 - int((1 - p/100) * n), 0)``.

    Args:
        ordered: ascending, at least one value.
        percent: 0 to 100.

    Example:
        >>> percentile([1.0, 2.0, 3.0, 4.0], 50)
        2.0
    """
    n = len(ordered)
    excluded = int((100 - percent) * n / 100)  # in this order whole results stay whole: 10 % of 100 samples are 10
    return float(ordered[max(n - 1 - excluded, 0)])


def summarise(samples_ms: NDArray[np.float64], *, count: int | None = None, sum_ms: float | None = None) -> StageStats:
    """Statistics of samples in the order they were taken; at least one.

    Args:
        samples_ms: float64 (n,), milliseconds.
        count: how many were taken in all, where ``samples_ms`` is the newest part.
        sum_ms: of all that were taken, there.
    """
    ordered = np.sort(samples_ms)
    p50, p90, p95, p99 = (percentile(ordered, p) for p in (50, 90, 95, 99))
    return StageStats(
        count=len(ordered) if count is None else count,
        sum_ms=float(ordered.sum()) if sum_ms is None else sum_ms,
        kept=len(ordered),
        mean_ms=float(ordered.mean()),
        std_ms=float(ordered.std()),
        min_ms=float(ordered[0]),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(ordered[-1]),
        jitter_ms=float(np.abs(np.diff(samples_ms)).mean()) if len(samples_ms) > 1 else 0.0,
    )


class LatencyLog:
    """The newest samples of every stage, in memory that does not grow.

    Args:
        capacity: samples kept a stage.

    Example:
        >>> log = LatencyLog()
        >>> for ms in (1.0, 2.0, 3.0):
        ...     log.add("engine", ms)
        >>> log.stats()["engine"].p50_ms
        2.0
    """

    def __init__(self, *, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._rings: dict[str, NDArray[np.float64]] = {}
        self._counts: dict[str, int] = {}
        self._sums_ms: dict[str, float] = {}

    def add(self, stage: str, sample_ms: float) -> None:
        """Add one sample in milliseconds; the stage is made on its first sample."""
        ring = self._rings.get(stage)
        if ring is None:
            self._counts[stage], self._sums_ms[stage] = 0, 0.0
            ring = self._rings[stage] = np.full(self._capacity, 0.0)  # touched now, not over the first 10,000 frames
        ring[self._counts[stage] % self._capacity] = sample_ms
        self._counts[stage] += 1
        self._sums_ms[stage] += sample_ms

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall time of a block that ends without an exception."""
        start = time.perf_counter()
        yield
        self.add(stage, (time.perf_counter() - start) * 1e3)

    def stages(self) -> tuple[str, ...]:
        """Names in the order they first appeared; may be asked by another thread than the one that adds."""
        return tuple(self._rings)

    def count(self, stage: str) -> int:
        """How many samples a stage ever got; 0 for one that has none."""
        return self._counts.get(stage, 0)

    def sum_ms(self, stage: str) -> float:
        """Of all samples that a stage ever got; 0 for one that has none."""
        return self._sums_ms.get(stage, 0.0)

    def newest_ms(self) -> dict[str, float]:
        """The newest sample of every stage."""
        return {
            stage: float(ring[(self._counts[stage] - 1) % self._capacity]) for stage, ring in list(self._rings.items())
        }

    def samples_ms(self, stage: str) -> NDArray[np.float64]:
        """A copy of the kept samples, oldest first, float64 (n,)."""
        count, ring = self._counts[stage], self._rings[stage]
        oldest = count % self._capacity if count > self._capacity else 0
        samples: NDArray[np.float64] = np.concatenate((ring[oldest : min(count, self._capacity)], ring[:oldest]))
        return samples

    def stats(self) -> dict[str, StageStats]:
        """Statistics of every stage, in the order the stages first appeared."""
        return {
            stage: summarise(self.samples_ms(stage), count=self._counts[stage], sum_ms=self._sums_ms[stage])
            for stage in self._rings
        }

    def clear(self) -> None:
        """Forget every sample (after a warm-up)."""
        self._rings.clear()
        self._counts.clear()
        self._sums_ms.clear()
