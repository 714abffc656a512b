"""Own the counting of magnitudes, and what percentile and entropy make of the counts. Run no graph, read no image."""

from __future__ import annotations

from math import frexp, inf

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINS", "Histogram"]

#: the peak lies in the upper half of the bins, so between 2048 and 4096 of them are in use: TensorRT's number at least,
#: and 16 or more to each of 128 levels. 32 KiB of counts stay in a core's first cache.
BINS = 4096
CHUNK = 1 << 17  # 1.8-2.4 ns a value, three passes within the second cache; 3-4 ns with 1 << 13
SMALLEST_EXPONENT = -100  # 2**-100 counts as 0: the scale that brings it to a bin is still a float32
#: what Q holds, in values, where P's last level is filled by clipped values alone; see entropy_threshold
SMOOTHING = 1e-4

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class Histogram:
    """Counts of |x| in 4096 equal bins over [0, 2**k), k the smallest that holds the largest |x| seen.

    A bin is found by a multiplication by a power of two, which is exact, and k grows by adding pairs of bins. So the
    counts depend on the values alone: not on their order, nor on how they were shared out among histograms.

    Example:
        >>> import numpy as np
        >>> seen = Histogram()
        >>> seen.add(np.array([0.0, -3.0, 1.5], np.float32))
        >>> seen.peak, seen.total, seen.width * BINS
        (3.0, 3, 4.0)
        >>> seen.percentile_threshold(50) == 1.5 + seen.width / 2
        True
    """

    def __init__(self) -> None:
        self._counts: Counts = np.zeros(BINS, np.int64)
        self._exponent = SMALLEST_EXPONENT
        self._peak = 0.0

    @property
    def counts(self) -> Counts:
        """Of every bin; a copy, (4096,)."""
        counts: Counts = self._counts.copy()
        return counts

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self._counts.sum())

    @property
    def peak(self) -> float:
        """The largest |x|, exactly; 0 before anything is counted."""
        return self._peak

    @property
    def width(self) -> float:
        """Of a bin."""
        return float(2.0**self._exponent / BINS)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count an array of any shape; it is read once and not kept.

        Raises:
            ValueError: NaN or infinity; some of the values may have been counted.
        """
        flat = values.reshape(-1)
        magnitudes: NDArray[np.float32] = np.empty(min(flat.size, CHUNK), np.float32)
        bins: NDArray[np.intp] = np.empty(magnitudes.size, np.intp)
        for start in range(0, flat.size, CHUNK):
            chunk = flat[start : start + CHUNK]
            self._count(np.abs(chunk, out=magnitudes[: chunk.size]), bins[: chunk.size])

    def merge(self, other: Histogram) -> Histogram:
        """A new histogram of all that both have counted."""
        both = Histogram()
        for one in (self, other):
            both._cover(one._peak)
        for one in (self, other):
            both._counts += _coarser(one._counts, both._exponent - one._exponent)
        return both

    def percentile_threshold(self, percentile: float) -> float:
        """The |x| that ``percentile`` % of the values do not exceed, within a bin's width of ``np.percentile``.

        Zeros count as the values that they are, as everywhere where a percentile is given.

        Args:
            percentile: above 0, at most 100; 100 is the peak.
        Raises:
            ValueError: another percentile, or nothing was counted.
        """
        if not 0 < percentile <= 100 or not self.total:
            raise ValueError(f"percentile {percentile} of {self.total} values: above 0 and at most 100 of at least one")
        place = percentile / 100 * (self.total - 1)
        low = self._at_rank(int(place))
        return low + (self._at_rank(int(np.ceil(place))) - low) * (place - int(place))

    def entropy_threshold(self, levels: int = 128) -> float:
        """The threshold whose ``levels`` equal levels tell least from the finer counts that were measured.

        After S. Migacz, 8-bit Inference with TensorRT (GTC 2017), "Entropy Calibration": for every number i of bins
        from ``levels`` up, P is the first i bins with all that lies beyond added to the last of them; Q is the first i
        bins without that, gathered into levels and spread evenly over those bins of each level that P fills; the i
        with the smallest Kullback-Leibler divergence sum P log(P / Q) is taken, the largest on a tie. What the slides
        leave open:

        - Bin j of i is in level floor(j * levels / i).
        - Bin 0 counts as bin 1 does. It is at most a 16th of a level of the peak's, and in it lie the zeros that ReLU
          makes: every scale holds them equally well, but being many they would decide alone.
        - Where nothing but clipped values fills the last level, Q has none of them, and the divergence would be
          infinite: one far value would forbid every threshold short of it. Q is given 1e-4 of a value there, as MXNet
          and ONNX Runtime do.
        - A threshold that clips more than it keeps is out of the question.

        The smallest threshold is ``levels`` bins, for 128 a 16th to a 32nd of the peak: what lies farther out is cut
        by a percentile alone, and beyond some 4000 times the rest it leaves no trace of the rest.

        Args:
            levels: of positive numbers: 128 in INT8.
        Returns:
            The upper edge of the last bin that is kept, or the peak if that is smaller.
        """
        filled = np.flatnonzero(self._counts)
        top = int(filled[-1]) + 1 if filled.size else 0
        if top <= levels:
            return self._peak
        counts = self._counts[:top].astype(np.float64)
        counts[0] = counts[1]
        divergences = _divergences(counts, levels)
        kept = top - int(np.argmin(divergences[::-1]))
        return min(kept * self.width, self._peak)

    def _count(self, magnitudes: NDArray[np.float32], bins: NDArray[np.intp]) -> None:
        peak = float(magnitudes.max())
        if not peak < inf:  # NaN too: NumPy's maximum, unlike ONNX Runtime's, hands it on
            raise ValueError(f"a tensor to be counted holds {peak}")
        self._cover(peak)
        np.multiply(magnitudes, np.float32(1 / self.width), out=bins, casting="unsafe")  # downwards
        self._counts += np.bincount(bins, minlength=BINS)

    def _cover(self, peak: float) -> None:
        """Widen the bins until they reach beyond ``peak``."""
        exponent = max(frexp(peak)[1], self._exponent) if peak else self._exponent
        self._counts = _coarser(self._counts, exponent - self._exponent)
        self._exponent, self._peak = exponent, max(peak, self._peak)

    def _at_rank(self, rank: int) -> float:
        """About the value at a place of the sorted values, from 0; within its bin."""
        if rank == self.total - 1:
            return self._peak
        below = np.concatenate(([0], self._counts.cumsum()))
        found = int(np.searchsorted(below, rank, side="right")) - 1
        within = (rank - below[found] + 0.5) / self._counts[found]
        return min(float(found + within) * self.width, self._peak)


def _coarser(counts: Counts, doublings: int) -> Counts:
    """The counts in bins that are 2**doublings times as wide."""
    if doublings == 0:
        return counts
    joined = counts.reshape(-1, min(1 << doublings, BINS)).sum(axis=1)
    return np.pad(joined, (0, BINS - joined.size))


def _divergences(counts: Floats, levels: int) -> Floats:
    """The divergence for every number of kept bins from ``levels`` to all; see ``Histogram.entropy_threshold``.

    With c the counts, m and f a level's values and filled bins: sum c log(c) - sum m log(m / f) in running sums, a row
    a candidate, instead of a loop over all bins of all candidates.
    """
    total, kept = float(counts.sum()), np.arange(levels, counts.size + 1)
    sums, fills, logs = (_running(each) for each in (counts, (counts > 0).astype(np.float64), _x_log_x(counts)))
    edges = -(-np.arange(levels + 1) * kept[:, None] // levels)  # rounded up
    masses, filled = np.diff(sums[edges]), np.diff(fills[edges])
    clipped, last = total - sums[kept], counts[kept - 1]
    filled[:, -1] += (last == 0) & (clipped > 0)
    shares = np.where(masses > 0, masses / np.maximum(filled, 1), SMOOTHING)
    of_q = (shares * filled).sum(axis=1)
    masses[:, -1] += clipped
    of_p = logs[kept] + _x_log_x(last + clipped) - _x_log_x(last)
    divergences: Floats = (of_p - (masses * np.log(shares)).sum(axis=1)) / total + np.log(of_q / total)
    return np.where(clipped > sums[kept], inf, divergences)


def _running(values: Floats) -> Floats:
    return np.concatenate(([0.0], values.cumsum()))


def _x_log_x(values: Floats) -> Floats:
    return values * np.log(np.maximum(values, 1.0))  # counts: 0, or 1 and more
