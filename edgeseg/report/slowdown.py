"""Own the interval of how much slower one set of samples is than another. Know no report and set no limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgeseg.latency import percentile

__all__ = ["FEWEST_BLOCKS", "Rounds", "Slowdown", "slowdown"]

#: the samples of one run in the order they were taken, milliseconds, one sequence a round
Rounds = Sequence[Sequence[float] | NDArray[np.float64]]

FEWEST_BLOCKS = 8  # of a run: a spread of fewer says little
TELLING_RUNS = 3  # whose spread says something; of two, Student's t is 13 times as wide as of many
KEPT = 100  # order statistics of a block: more cannot move a median by more than their distance
DRAWS = 1000
MOST_LIKENESS = 0.6  # between neighbouring blocks: what is found above it in ten of them is mostly chance
SEED = 20_260_401  # the same files give the same answer


@dataclass(frozen=True, kw_only=True)
class Slowdown:
    """How much slower, as shares: 0.08 is 8 % slower, -0.5 takes half the time; medians in milliseconds.

    ``old_ms`` is the median of the old runs' medians. ``low`` and ``high`` hold the true change with the confidence
    that was asked for, a half of the rest on each side. ``spread`` is the standard deviation that the change to a
    further equal run would have, as a share.
    """

    old_ms: float
    new_ms: float
    change: float
    low: float
    high: float
    spread: float


def slowdown(old: Sequence[Rounds], new: Rounds, *, confidence: float = 0.95) -> Slowdown:
    """The change of the median from old runs to a new one, with an interval that takes samples for what they are.

    Samples of a run hang together, so whole rounds are drawn again, not samples (cluster bootstrap; A. C. Davison and
    D. V. Hinkley, Bootstrap Methods and their Application, 1997, sections 3.8 and 8.2), and the interval is widened as
    Student's t widens one of so few rounds. That knows what happened within the runs alone; but a machine also
    differs from run to run. From ``TELLING_RUNS`` old runs on, how far they lie apart is measured, and the new one is
    held to the prediction interval of a further run where that is the wider one. Fewer cannot tell: then a run is taken
    to lie as far from the next as one round of it from another, which on shared machines has proved to be near enough.

    Args:
        old: one or more runs.
        new: the run to judge. Runs of fewer than ``FEWEST_BLOCKS`` rounds are cut into so many pieces, in order.
        confidence: of the interval, above 0 and below 1.
    Raises:
        ValueError: a run has fewer than ``FEWEST_BLOCKS`` samples.

    Example:
        >>> steady = [[10.0, 10.1, 10.2]] * 10
        >>> found = slowdown([steady], [[11.0, 11.1, 11.2]] * 10)
        >>> round(found.change, 3), found.low > 0.05
        (0.099, True)
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence:g}: give a share above 0 and below 1")
    random = np.random.default_rng(SEED)
    medians = [_median(np.concatenate(run)) for run in old]
    old_ms, new_ms = float(np.median(medians)), _median(np.concatenate(new))
    change = math.log(new_ms / old_ms)
    drawn = np.array([_drawn_logs(run, confidence, random) for run in old])
    pulls = _drawn_logs(new, confidence, random) - np.median(drawn, axis=0)
    outside = 50 * (1 - confidence)
    low, high = np.percentile(pulls, (outside, 100 - outside))
    spread, freedom = _spread_of_runs(old, new, medians)
    reach = _student(freedom, confidence) * spread
    low, high = min(low, change - reach), max(high, change + reach)
    return Slowdown(
        old_ms=old_ms,
        new_ms=new_ms,
        change=math.expm1(change),
        low=math.expm1(min(low, change)),
        high=math.expm1(max(high, change)),
        spread=spread,
    )


def _spread_of_runs(old: Sequence[Rounds], new: Rounds, medians_ms: Sequence[float]) -> tuple[float, int]:
    """Standard deviation of the logarithm of a ratio of equal runs, and its degrees of freedom."""
    if len(old) >= TELLING_RUNS:
        return float(np.log(medians_ms).std(ddof=1)) * math.sqrt(1 + 1 / len(old)), len(old) - 1
    sides = [np.log([_median(block) for run in runs for block in _blocks(run)]) for runs in (old, [new])]
    variance = sum(float(side.var(ddof=1)) for side in sides)
    return math.sqrt(variance), sum(map(len, sides)) - 2


def _drawn_logs(run: Rounds, confidence: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Logarithms of the medians of redrawn runs, float64 (DRAWS,), spread as so few blocks need it."""
    in_turn = _blocks(run)
    blocks = [np.sort(block) for block in in_turn]
    values = np.sort(np.concatenate([block[_spaced(len(block))] for block in blocks]))
    below = np.stack([np.searchsorted(block, values, side="right") for block in blocks])
    times = random.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=DRAWS)
    counts = times.astype(np.float64) @ below.astype(np.float64)
    logs = np.log(values[(counts < times @ [[len(block) / 2] for block in blocks]).sum(axis=1)])
    wider = _student(len(blocks) - 1, confidence) / NormalDist().inv_cdf((1 + confidence) / 2)
    wider *= math.sqrt(len(blocks) / (len(blocks) - 1) * _hanging_together(blocks))
    middle = math.log(_median(np.concatenate(blocks)))
    widened: NDArray[np.float64] = middle + (logs - middle) * wider
    return widened


def _blocks(run: Rounds) -> list[NDArray[np.float64]]:
    """The rounds; a run of few rounds is cut into pieces of following samples, which hang together as rounds do."""
    pieces = math.ceil(FEWEST_BLOCKS / len(run))
    blocks = [piece for one in run for piece in np.array_split(np.asarray(one, np.float64), pieces) if len(piece)]
    if len(blocks) < FEWEST_BLOCKS:
        count = sum(map(len, run))
        raise ValueError(f"{count} samples in {len(run)} round(s), where {FEWEST_BLOCKS} are the fewest to judge by")
    return blocks


def _hanging_together(blocks: Sequence[NDArray[np.float64]]) -> float:
    """How many times the variance of a mean grows because a block resembles the one before it, 1.0 or more.

    ``(1 + r) / (1 - r)`` of a first-order process, r freed of the bias that so few blocks give it (M. G. Kendall,
    Note on Bias in the Estimation of Autocorrelation, Biometrika 41, 1954).
    """
    off = np.log([_median(block) for block in blocks])
    off -= off.mean()
    squares = float(off @ off)
    found = float(off[1:] @ off[:-1]) / squares if squares else 0.0
    count = len(blocks)
    likeness = min(max((count * found + 1) / (count - 4), 0.0), MOST_LIKENESS)
    return (1 + likeness) / (1 - likeness)


def _spaced(count: int) -> NDArray[np.intp]:
    places: NDArray[np.intp] = np.linspace(0, count - 1, min(count, KEPT)).round().astype(np.intp)
    return places


def _median(samples_ms: Sequence[float] | NDArray[np.float64]) -> float:
    return percentile(np.sort(samples_ms), 50)


@cache
def _student(freedom: int, confidence: float) -> float:
    """Student's two-sided quantile: the root of its distribution function, which is integrated here.

    Of one and two degrees it is known in closed form; from three on a quadrature over t = sqrt(n) tan(u) has a smooth
    integrand, cos(u)^(n-1), on a finite range.
    """
    angles = np.linspace(0.0, math.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    area = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    return math.sqrt(freedom) * math.tan(float(np.interp(confidence * area[-1], area, angles)))
