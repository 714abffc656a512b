"""Own the law of a series: cost against size on logarithmic axes, least squares, what it says. Measure nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

__all__ = ["Fit", "fit", "sentence"]

#: Student's t, two-sided 95 %, by degrees of freedom from 1 on; beyond the table the last is a little too wide
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
FLAT = 0.1  # an exponent that near to 0 or to 1 is called that: a doubling moves the cost by 7 % more or less
WIDE = 1.0  # an interval wider than this holds "not at all" beside "in proportion"


@dataclass(frozen=True, kw_only=True)
class Fit:
    """``cost = factor * size ** exponent``, the exponent's 95 % interval, and the share of the variance it explains.

    The interval takes each point's departure from the law for chance; that the law bends is not chance, so a series
    that begins with a fixed cost has a wide one.
    """

    exponent: float
    low: float
    high: float
    factor: float
    r2: float
    points: int

    def as_dict(self) -> dict[str, float]:
        """For a report."""
        return asdict(self)


def fit(sizes: Sequence[float], costs: Sequence[float]) -> Fit:
    """Least squares through the logarithms.

    Args:
        sizes: three or more, above 0, not all the same.
        costs: as many, above 0.
    Raises:
        ValueError: not such points.
    """
    if len(sizes) != len(costs) or len(sizes) < 3 or min(*sizes, *costs) <= 0 or len(set(sizes)) < 2:
        raise ValueError(
            f"{len(sizes)} sizes and {len(costs)} costs: give three or more of each, above 0, unlike sizes"
        )
    xs, ys = [math.log(one) for one in sizes], [math.log(one) for one in costs]
    n, mean_x, mean_y = len(xs), math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    across = math.fsum((x - mean_x) ** 2 for x in xs)
    exponent = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / across
    left = math.fsum((y - mean_y - exponent * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    whole = math.fsum((y - mean_y) ** 2 for y in ys)
    half = T95[min(n - 2, len(T95)) - 1] * math.sqrt(left / (n - 2) / across)
    return Fit(
        exponent=exponent,
        low=exponent - half,
        high=exponent + half,
        factor=math.exp(mean_y - exponent * mean_x),
        r2=1 - left / whole if whole else 1.0,
        points=n,
    )


def sentence(found: Fit, what: str, by: str) -> str:
    """What the law says, by rule: the interval first, then how near the exponent is to 0 and to 1."""
    doubled = f"twice as many {by} cost {2**found.exponent:.2f} times as much"
    if found.high - found.low > WIDE:
        return f"{what}: no one law from these points ({found.low:.2f} to {found.high:.2f}); {doubled} on the whole."
    if abs(found.exponent) <= FLAT:
        return f"{what} hardly depends on the {by}."
    if found.low <= 0 <= found.high:
        return f"{what} shows no dependence on the {by} beyond its scatter."
    if found.exponent < 0:
        return f"{what} falls with the {by}: {doubled}."
    if abs(found.exponent - 1) <= FLAT or (found.low <= 1 <= found.high):
        return f"{what} grows in proportion to the {by}."
    grows = "more slowly than" if found.exponent < 1 else "faster than"
    return f"{what} grows {grows} in proportion to the {by}: {doubled}."
