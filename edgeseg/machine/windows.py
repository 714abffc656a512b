"""Own what samples say of some stretches of time. Take none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeseg.machine.records import ClockUse, MachineUse, RailUse, TemperatureUse, ThrottleUse
from edgeseg.machine.sensors import Column, Kind, Rule
from edgeseg.machine.table import Rows

__all__ = ["Interval", "use_of"]

#: begin and end in seconds of the clock that the samples have
Interval = tuple[float, float]
#: the kernel counts in ticks of 10 ms: a shorter time tells nothing of other processes
SHORTEST_LOAD_S = 1.0
PARTS = 10  # of a time, by whose means a clock is said to fall


def use_of(columns: Sequence[Column], rows: Rows, intervals: Sequence[Interval]) -> MachineUse:
    """What the machine did in some stretches of time together.

    Args:
        columns: what the values of a row are.
        rows: a table's, the first one a sample by itself.
        intervals: one after another, without overlap.
    """
    return _Window(columns, rows, intervals).use()


class _Window:
    def __init__(self, columns: Sequence[Column], rows: Rows, intervals: Sequence[Interval]) -> None:
        self._columns, self._intervals = columns, intervals
        self._seconds = sum(end_s - begin_s for begin_s, end_s in intervals)
        self._ends_s, self._values = rows[:, 1], rows[:, 2:]
        middles = rows[:, :2].mean(axis=1)
        self._inside = np.zeros(len(rows), bool)
        for begin_s, end_s in intervals:
            self._inside |= (middles >= begin_s) & (middles <= end_s)
        self._inside[:1] = False  # the very first sample is part of the second row too

    def use(self) -> MachineUse:
        return MachineUse(
            seconds=round(self._seconds, 4),
            samples=int(self._inside.sum()),
            rails=tuple(filter(None, map(self._rail, self._of("joules")))),
            clocks=tuple(filter(None, map(self._clock, self._of("mhz", "mean")))),
            temperatures=tuple(filter(None, map(self._temperature, self._of("celsius")))),
            throttled=(*filter(None, map(self._slowed, self._of("share"))), *self._counted_events()),
            other_cores=self._other_cores(),
        )

    def _of(self, kind: Kind, rule: Rule | None = None) -> list[int]:
        places = enumerate(self._columns)
        return [place for place, one in places if one.kind == kind and rule in (None, one.rule)]

    def _beside(self, place: int, kind: Kind, rule: Rule) -> int:
        """The column of another kind or rule for the same thing."""
        name = self._columns[place].name
        return next(one for one in self._of(kind, rule) if self._columns[one].name == name)

    def _seen(self, place: int) -> NDArray[np.float64]:
        values: NDArray[np.float64] = self._values[self._inside, place]
        return values[~np.isnan(values)]

    def _rise(self, place: int) -> float | None:
        """Of a running total over all stretches; None where it was not told at both their ends."""
        is_told = ~np.isnan(self._values[:, place])
        ends_s, values = self._ends_s[is_told], self._values[is_told, place]
        edges = np.array(self._intervals)
        if not len(ends_s) or not len(edges) or edges.min() < ends_s[0] or edges.max() > ends_s[-1]:
            return None
        totals = np.interp(edges, ends_s, values)
        return float((totals[:, 1] - totals[:, 0]).sum())

    def _rail(self, place: int) -> RailUse | None:
        joules, watts = self._rise(place), self._seen(self._beside(place, "watts", "max"))
        if joules is None or self._seconds <= 0:
            return None
        return RailUse(
            name=self._columns[place].name,
            mean_w=round(joules / self._seconds, 4),
            max_w=round(float(watts.max()), 4) if len(watts) else None,
            joules=round(joules, 4),
            is_total=self._columns[place].is_total,
        )

    def _clock(self, place: int) -> ClockUse | None:
        means = self._seen(place)
        if not len(means):
            return None
        low, high = (self._seen(self._beside(place, "mhz", rule)) for rule in ("min", "max"))
        return ClockUse(
            name=self._columns[place].name,
            min_mhz=round(float(low.min()), 1),
            mean_mhz=round(float(means.mean()), 1),
            max_mhz=round(float(high.max()), 1),
            fell=round(_deepest_fall(means), 4),
        )

    def _temperature(self, place: int) -> TemperatureUse | None:
        seen, column = self._seen(place), self._columns[place]
        if not len(seen):
            return None
        return TemperatureUse(name=column.name, start_c=float(seen[0]), max_c=float(seen.max()), limit_c=column.limit)

    def _slowed(self, place: int) -> ThrottleUse | None:
        shares = self._seen(place)
        if not shares.any():
            return None
        seconds = float(shares.mean()) * self._seconds
        return ThrottleUse(reason=self._columns[place].name, seconds=round(seconds, 3), events=None)

    def _counted_events(self) -> list[ThrottleUse]:
        counts = ((self._columns[place].name, self._events(place)) for place in self._of("events"))
        return [ThrottleUse(reason=reason, seconds=None, events=count) for reason, count in counts if count]

    def _events(self, place: int) -> int:
        """Of all steps between samples that touch a stretch: when in the step it was is not known."""
        is_told = ~np.isnan(self._values[:, place])
        ends_s, steps = self._ends_s[is_told], np.diff(self._values[is_told, place])
        touches = np.zeros(len(steps), bool)
        for begin_s, end_s in self._intervals:
            touches |= (ends_s[:-1] < end_s) & (ends_s[1:] > begin_s)
        return int(steps[touches & (steps > 0)].sum())

    def _other_cores(self) -> float | None:
        places = [place for kind in ("total_s", "busy_s", "own_s") for place in self._of(kind)]
        rises = [self._rise(place) for place in places]
        if not rises or None in rises or self._seconds < SHORTEST_LOAD_S:
            return None
        total, busy, own = (rise or 0.0 for rise in rises)
        return round(max(busy - own, 0.0) / self._seconds, 3) if total > 0 else None


def _deepest_fall(values: NDArray[np.float64]) -> float:
    """From the mean of one tenth of the values to that of a later one, as a share of the higher."""
    parts = np.array([part.mean() for part in np.array_split(values, min(PARTS, len(values)))])
    highest = np.maximum.accumulate(parts)
    return float(np.max(1 - parts / highest, initial=0.0, where=highest > 0))
