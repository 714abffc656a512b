"""Own how a series of sizes is measured: its points in turns, and the law of each kind of cost. Know no workload."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.fitting import fit
from benchmarks.rounds import IS_QUICK, settle, spread

__all__ = ["Costs", "series"]

ROUNDS = 2 if IS_QUICK else 5

#: milliseconds by what they were spent on
Costs = Mapping[str, float]


def series(by: str, unit: str, points: Mapping[float, Callable[[], Costs]], *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Costs of every point in alternating rounds, and the law of each kind of cost."""
    found: dict[float, dict[str, list[float]]] = {size: {} for size in points}
    for _ in range(rounds):
        for size, measure in points.items():
            settle()
            for kind, cost in measure().items():
                found[size].setdefault(kind, []).append(cost)
    laws = {
        kind: fit(list(found), [statistics.median(costs[kind]) for costs in found.values()]).as_dict()
        for kind in next(iter(found.values()))
    }
    points_told = [
        {"size": size, "costs": {kind: spread(one) for kind, one in costs.items()}} for size, costs in found.items()
    ]
    return {"by": by, "unit": unit, "rounds": rounds, "points": points_told, "laws": laws}
