"""Own the timing of stages: samples to percentiles, jitter, counters. Read no clock but for ``timed``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeseg.totals import RELATIVE_ERROR, Stream, Totals, rank_of

__all__ = ["RELATIVE_ERROR", "LatencyLog", "StageStats", "percentile", "summarise"]

LONGEST_MS = 1e300  # finite, and so are sums of it


@dataclass(frozen=True, kw_only=True)
class StageStats:
    """What the samples of one stage say. All in milliseconds, but for the counts.

    ``count`` and ``sum_ms`` are of every sample ever added; the other figures describe ``kept`` of them: the newest, or
    all (see ``LatencyLog.stats`` and ``overall``). ``std_ms`` is the population's; ``jitter_ms`` is the mean absolute
    difference of successive samples, 0 of a single one.
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

    That is numpy's ``method="inverted_cdf"``: the least value that ``percent`` of all do not exceed. Let f be the
    fraction of ``n * p / 100``, 1 where that is whole. It is numpy's ``"lower"`` exactly where f >= p / 100, and its
    ``"higher"`` exactly where f <= p / 100; so of 100 samples p50, p90, p95 and p99 are all ``"lower"``, and for
    p = 0 and p = 100 all three are one.

    Args:
        ordered: ascending, at least one value.
        percent: 0 to 100.

    Example:
        >>> percentile([1.0, 2.0, 3.0, 4.0], 50)
        2.0
    """
    return float(ordered[rank_of(len(ordered), percent)])


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
    """Samples of every stage in memory that does not grow: the newest of them, and what all of them say.

    A stage takes 8 bytes for each sample it keeps and 46 kB for its histogram, from its first sample on, for ever.

    One thread at a time adds to a stage, several may add to different ones, and any may read meanwhile: whatever one
    call tells of one stage (``stats``, ``overall``, ``samples_ms``) is of the samples up to one instant, none missing,
    none twice. ``clear`` may lose a sample that another thread adds at that moment. This holds where Python runs one
    thread at a time; a build without the interpreter lock needs a lock around the log.

    Args:
        capacity: samples kept a stage, 1 or more.

    Example:
        >>> log = LatencyLog()
        >>> for ms in (1.0, 2.0, 3.0):
        ...     log.add("engine", ms)
        >>> log.stats()["engine"].p50_ms
        2.0
    """

    def __init__(self, *, capacity: int = 10_000) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: give 1 sample or more")
        self._capacity = capacity
        self._streams: dict[str, Stream] = {}

    def add(self, stage: str, sample_ms: float) -> None:
        """Add one sample in milliseconds; the stage is made on its first sample.

        Raises:
            ValueError: not a finite number; nothing was added.
        """
        if not -LONGEST_MS < sample_ms < LONGEST_MS:  # NaN too
            raise ValueError(f"a sample of '{stage}' is {sample_ms} ms: give a finite number")
        one = self._streams.get(stage)
        if one is None:
            one = self._streams[stage] = Stream(self._capacity)
        count = one.count
        one.ring[count % one.cells] = sample_ms
        one.count = count = count + 1  # after the sample, for those who read meanwhile
        if count == one.fold_at:
            one.fold()

    def add_many(self, stage: str, samples_ms: ArrayLike) -> None:
        """As ``add`` of each in turn, a few times faster.

        Args:
            stage: of all of them.
            samples_ms: (n,), milliseconds, in the order they were taken; nothing happens for none.
        Raises:
            ValueError: not one row of finite numbers; nothing was added.
        """
        samples = np.asarray(samples_ms, np.float64)
        if samples.ndim != 1 or not bool((np.abs(samples) < LONGEST_MS).all()):
            raise ValueError(f"samples of '{stage}', shape {samples.shape}: give one row of finite numbers")
        if len(samples):
            self._streams.setdefault(stage, Stream(self._capacity)).add_many(samples)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall time of a block that ends without an exception."""
        start = time.perf_counter()
        yield
        self.add(stage, (time.perf_counter() - start) * 1e3)

    def stages(self) -> tuple[str, ...]:
        """Names in the order they first appeared."""
        return tuple(self._streams)

    def count(self, stage: str) -> int:
        """How many samples a stage ever got; 0 for one that has none."""
        one = self._streams.get(stage)
        return 0 if one is None else one.count

    def sum_ms(self, stage: str) -> float:
        """Of all samples that a stage ever got; 0 for one that has none."""
        one = self._streams.get(stage)
        return 0.0 if one is None else one.totals().sum_ms

    def newest_ms(self) -> dict[str, float]:
        """The newest sample of every stage."""
        return {stage: float(newest[0]) for stage, one in list(self._streams.items()) if len(newest := one.newest(1))}

    def samples_ms(self, stage: str) -> NDArray[np.float64]:
        """A copy of the kept samples, oldest first, float64 (n,).

        Raises:
            KeyError: the stage has none.
        """
        return self._streams[stage].newest(self._capacity)

    def stats(self, *, newest: int | None = None) -> dict[str, StageStats]:
        """Statistics of the newest samples of every stage, exact, in the order the stages first appeared.

        Args:
            newest: of at most so many, 1 or more; of all that are kept without it.
        """
        most = self._capacity if newest is None else newest
        found = {}
        for stage, one in list(self._streams.items()):
            totals = one.totals()
            samples = one.newest(most, until=totals.count)
            if len(samples):  # a stage that another thread makes at this moment has none yet
                found[stage] = summarise(samples, count=totals.count, sum_ms=totals.sum_ms)
        return found

    def overall(self) -> dict[str, StageStats]:
        """Statistics of all samples of every stage since the log was made or cleared, of any number of them.

        Percentiles are within ``RELATIVE_ERROR`` of the samples that ``percentile`` takes of all, where those are a
        nanosecond to an hour; every other figure is exact but for rounding.
        """
        found = {stage: one.totals() for stage, one in list(self._streams.items())}
        return {stage: _stats_of(totals) for stage, totals in found.items() if totals.count}

    def percentile_ms(self, stage: str, percent: float) -> float:
        """Any percentile of all samples of a stage, as close as those of ``overall``.

        Raises:
            KeyError: the stage has no samples.
            ValueError: not 0 to 100.
        """
        totals = self._streams[stage].totals()
        if not totals.count:  # another thread makes it at this moment
            raise KeyError(stage)
        return totals.percentile_ms(percent)

    def clear(self) -> None:
        """Forget every sample (after a warm-up)."""
        self._streams.clear()


def _stats_of(totals: Totals) -> StageStats:
    return StageStats(
        count=totals.count,
        sum_ms=totals.sum_ms,
        kept=totals.count,
        mean_ms=totals.mean_ms,
        std_ms=totals.std_ms,
        min_ms=totals.least_ms,
        p50_ms=totals.percentile_ms(50),
        p90_ms=totals.percentile_ms(90),
        p95_ms=totals.percentile_ms(95),
        p99_ms=totals.percentile_ms(99),
        max_ms=totals.most_ms,
        jitter_ms=totals.jitter_ms,
    )
