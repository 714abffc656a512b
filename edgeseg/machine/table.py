"""Own a day's samples in constant memory. Read no sensor, judge nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeseg.machine.sensors import Rule

__all__ = ["Rows", "Table"]

Rows = NDArray[np.float64]
CAPACITY = 8192  # rows: 14 minutes at 10 Hz; a day's come to be of 13 s each


class Table:
    """Rows of samples; when it is full, every two rows become one, and so do the samples from then on.

    A row is begin and end in seconds, then one value a column. What adds up is kept as a running total (rule ``last``),
    so that no resolution is lost in it but at the edges of a time; extremes stay extremes.

    Args:
        rules: how the values of each column become one.
        capacity: rows, even.
    """

    def __init__(self, rules: Sequence[Rule], *, capacity: int = CAPACITY) -> None:
        self._rules = {rule: np.array([False, False, *(one == rule for one in rules)]) for rule in set(rules)}
        self._rows = np.full((capacity, 2 + len(rules)), np.nan)
        self._pending = np.full((1, 2 + len(rules)), np.nan)
        self._first: Rows = self._pending[:0]
        self._count = self._held = 0
        self._stride = 1

    def add(self, now_s: float, values: Sequence[float]) -> None:
        """One sample; ``now_s`` rises."""
        sample = np.array([[now_s, now_s, *values]])
        if not len(self._first):
            self._first = sample
        self._held += 1
        self._pending = sample if self._held == 1 else self._merged(self._pending, sample, 1 / self._held)
        if self._held == self._stride:
            self._rows[self._count] = self._pending
            self._count, self._held = self._count + 1, 0
            if self._count == len(self._rows):
                self._halve()

    def rows(self) -> Rows:
        """A copy of all of them, the last one of fewer samples; before them the very first sample by itself."""
        pending = self._pending if self._held else self._pending[:0]
        return np.concatenate([self._first, self._rows[: self._count], pending])

    def _halve(self) -> None:
        self._count //= 2
        self._rows[: self._count] = self._merged(self._rows[0::2], self._rows[1::2], 0.5)
        self._stride *= 2

    def _merged(self, earlier: Rows, later: Rows, share: float) -> Rows:
        """A value that is not told (NaN) leaves the other one; ``share`` is the later one's in a mean."""
        out = np.where(np.isnan(later), earlier, later)
        out[:, 0], out[:, 1] = earlier[:, 0], later[:, 1]
        for rule, columns in self._rules.items():
            before, after = earlier[:, columns], later[:, columns]
            if rule == "min":
                out[:, columns] = np.fmin(before, after)
            elif rule == "max":
                out[:, columns] = np.fmax(before, after)
            elif rule == "mean":
                mean = before + (after - before) * share
                out[:, columns] = np.where(np.isnan(mean), np.fmax(before, after), mean)
        return out
