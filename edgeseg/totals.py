"""Own the figures of samples without end in memory that does not grow. Know no stage, read no clock."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["RELATIVE_ERROR", "Stream", "Totals", "rank_of"]

#: of a percentile taken from buckets
RELATIVE_ERROR = 0.005
LEAST_MS, MOST_MS = 1e-6, 3.6e6  # a nanosecond and an hour; what lies beyond shares the first and the last bucket
GROWTH = 1.01  # a bucket's upper edge over its lower: its middle is (GROWTH - 1) / (GROWTH + 1) = 0.4975 % from both
MIDDLE = 2 * GROWTH / (GROWTH + 1)  # of a bucket, over its lower edge
PER_E = 1 / math.log(GROWTH)
FIRST = 1 - math.log(LEAST_MS) * PER_E
BUCKETS = int(math.log(MOST_MS) * PER_E + FIRST) + 2
FOLD = 500  # samples brought into the totals at once; arrays of as many stay below 4 KiB
NEAR_WHOLE = 6  # decimals: 99.9 % of 1000 leaves 0.99999999999 out where the reals leave 1


def rank_of(n: int, percent: float) -> int:
    """Index of a percentile among ``n`` ascending samples; see ``edgeseg.latency.percentile``.

    Raises:
        ValueError: not 0 to 100.
    """
    if not 0 <= percent <= 100:  # NaN too
        raise ValueError(f"percentile is {percent}: give 0 to 100")
    return max(n - 1 - int(round((100 - percent) * n / 100, NEAR_WHOLE)), 0)


@dataclass(frozen=True, eq=False)
class Totals:
    """What samples say together. ``buckets`` counts them by size, in steps of ``GROWTH``."""

    buckets: NDArray[np.int64]
    count: int = 0
    sum_ms: float = 0.0
    mean_ms: float = 0.0
    squares: float = 0.0
    swing_ms: float = 0.0
    least_ms: float = math.inf
    most_ms: float = -math.inf
    last_ms: float = 0.0

    @property
    def std_ms(self) -> float:
        """Of the population; there must be a sample, here and below."""
        return math.sqrt(self.squares / self.count)

    @property
    def jitter_ms(self) -> float:
        """Mean absolute difference of successive samples, 0 of a single one."""
        return self.swing_ms / max(self.count - 1, 1)

    def percentile_ms(self, percent: float) -> float:
        """To within ``RELATIVE_ERROR`` of the sample that ``rank_of`` points at, where that is 1 ns to an hour."""
        bucket = int(np.searchsorted(np.cumsum(self.buckets), rank_of(self.count, percent), side="right"))
        if bucket in (0, BUCKETS - 1):
            return self.least_ms if bucket == 0 else self.most_ms
        return min(max(math.exp((bucket - FIRST) / PER_E) * MIDDLE, self.least_ms), self.most_ms)

    def joined(self, samples_ms: NDArray[np.float64], into: NDArray[np.int64]) -> Totals:
        """These and the samples that follow them.

        Args:
            samples_ms: finite, one or more.
            into: ``BUCKETS`` counts, overwritten; the result's own.
        """
        np.copyto(into, self.buckets)
        np.add.at(into, _buckets_of(samples_ms), 1)
        mean_ms, added = float(samples_ms.mean()), len(samples_ms)
        count, away = self.count + added, mean_ms - self.mean_ms
        apart = float(np.square(samples_ms - mean_ms).sum())
        step_ms = abs(float(samples_ms[0]) - self.last_ms) if self.count else 0.0
        return Totals(
            buckets=into,
            count=count,
            sum_ms=self.sum_ms + float(samples_ms.sum()),
            mean_ms=self.mean_ms + away * added / count,
            # parts of a variance put together as Chan, Golub and LeVeque do (1979): a sum of squares would lose it
            squares=self.squares + apart + away * away * self.count * added / count,
            swing_ms=self.swing_ms + step_ms + float(np.abs(np.diff(samples_ms)).sum()),
            least_ms=min(self.least_ms, float(samples_ms.min())),
            most_ms=max(self.most_ms, float(samples_ms.max())),
            last_ms=float(samples_ms[-1]),
        )


def _buckets_of(samples_ms: NDArray[np.float64]) -> NDArray[np.int64]:
    places = np.log(np.clip(samples_ms, LEAST_MS, MOST_MS))
    places *= PER_E
    places += FIRST
    buckets = places.astype(np.int64)
    buckets[samples_ms < LEAST_MS] = 0
    buckets[samples_ms > MOST_MS] = BUCKETS - 1
    return buckets


class Stream:
    """The newest samples in a ring, and the totals of all.

    One thread adds, any may read, without a lock: that would cost the adding thread as much again. A sample is written
    before it is counted, the ring has a cell more than it keeps, and totals are replaced as one object whose buckets
    stay as they are until the totals after them are replaced too. A reader looks again after it has copied.

    Args:
        capacity: samples kept, 1 or more.
    """

    __slots__ = ("_fold", "_spare", "_totals", "capacity", "cells", "count", "fold_at", "ring")

    def __init__(self, capacity: int) -> None:
        self.capacity, self.cells, self.count = capacity, capacity + 1, 0
        self.ring = array("d", [0.0]) * self.cells  # touched now, not over the first 10,000 frames
        self._fold = self.fold_at = min(FOLD, capacity)
        self._totals = Totals(np.frombuffer(bytearray(8 * BUCKETS), np.int64))
        self._spare = np.frombuffer(bytearray(8 * BUCKETS), np.int64)

    def fold(self) -> None:
        """Bring the samples since the last time into the totals; the adding thread does at ``count == fold_at``."""
        before = self._totals
        if self.count > before.count:
            self._totals = before.joined(self._copied(before.count, self.count), self._spare)
            self._spare = before.buckets
        self.fold_at = self.count + self._fold

    def add_many(self, samples_ms: NDArray[np.float64]) -> None:
        """Samples in the order they were taken."""
        self.fold()
        ring = np.frombuffer(self.ring)
        while len(samples_ms):
            place = self.count % self.cells
            part = samples_ms[: min(self.cells - place, self.capacity)]
            ring[place : place + len(part)] = part
            self.count += len(part)
            self.fold()
            samples_ms = samples_ms[len(part) :]

    def newest(self, most: int, *, until: int | None = None) -> NDArray[np.float64]:
        """A copy of at most so many, oldest first; of the first ``until``, where it is given."""
        count = self.count if until is None else until
        begin = count - min(count, self.capacity, most)
        copy = self._copied(begin, count)
        return copy[max(self.count - self.capacity - begin, 0) :]  # without those overwritten meanwhile

    def totals(self) -> Totals:
        """Of all samples; the caller's own."""
        while True:
            totals = self._totals
            newer, own = self._copied(totals.count, self.count), totals.buckets.copy()
            if self._totals is totals:  # so the ring has not come round, and the buckets have not been taken again
                same = replace(totals, buckets=own)
                return same.joined(newer, np.empty_like(own)) if len(newer) else same

    def _copied(self, begin: int, end: int) -> NDArray[np.float64]:
        """Samples ``begin`` to ``end``, at most as many as the ring has cells."""
        place, ring = begin % self.cells, np.frombuffer(self.ring)
        first = ring[place : place + end - begin]
        return np.concatenate((first, ring[: end - begin - len(first)]))
