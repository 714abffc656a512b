"""Own how the suites take turns and what of it is kept: rounds, ratios of one round, the head of a report.

In every round each way has its turn, so that a machine that slows down or is busy with something else hits all of them;
a ratio is that of a peer's time and ours in the same round. Where the files go and whether a run is a short try comes
from ``python -m benchmarks`` by the environment, to each suite alike.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.report.environment import read_environment

__all__ = ["IS_QUICK", "RESULTS", "described", "ratio_of", "settle", "spread", "turns", "versions_of", "write"]

SHIPPED = Path(__file__).parent / "results"
RESULTS = Path(os.environ.get("EDGESEG_BENCH_RESULTS", SHIPPED))
IS_QUICK = os.environ.get("EDGESEG_BENCH_QUICK") == "1"
TICK_S, REST, PATIENCE_S = 0.02, 0.05, 2.0  # a process rests that works less than this share of a tick

Way = Callable[[], Any]


def settle() -> None:
    """ONNX Runtime's threads go on spinning after a run, on the cores of whoever is next: wait until they rest."""
    worked_s, end_s = TICK_S, time.perf_counter() + PATIENCE_S
    while worked_s > TICK_S * REST and time.perf_counter() < end_s:
        before_s = time.process_time()
        time.sleep(TICK_S)
        worked_s = time.process_time() - before_s


def turns(ways: Mapping[str, Way], rounds: int, *, calls: int) -> dict[str, list[float]]:
    """Milliseconds of a call of every way, a figure a round: the median of the turn's ``calls``.

    A call before them is not timed; it brings back the caches and the threads that the way before has taken.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            settle()
            way()
            found[name].append(statistics.median(_timed_ms(way) for _ in range(calls)))
    return found


def _timed_ms(way: Way) -> float:
    start_s = time.perf_counter()
    way()
    return (time.perf_counter() - start_s) * 1e3


def spread(samples: list[float]) -> dict[str, float]:
    """The middle of the rounds, and the lowest and the highest of them."""
    return {"median": statistics.median(samples), "lowest": min(samples), "highest": max(samples)}


def ratio_of(theirs: list[float], ours: list[float]) -> dict[str, float]:
    """Of each round, their time over ours: above 1 we are faster."""
    return spread([their / our for their, our in zip(theirs, ours, strict=True)])


def versions_of(*distributions: str) -> dict[str, str]:
    """Of installed distributions."""
    return {name: version(name) for name in distributions}


def described(*distributions: str) -> dict[str, Any]:
    """What a report begins with: when, on which machine, how busy it is, which versions."""
    return {
        "datetime": datetime.now(tz=timezone.utc).isoformat(timespec="seconds"),
        "is_quick": IS_QUICK,
        "environment": msgspec.to_builtins(read_environment()),
        "versions": versions_of(*distributions),
    }


def write(name: str, report: Mapping[str, Any]) -> Path:
    """The report as JSON, with the load at the end of the run beside that of its beginning."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**report, "load_after_1min": os.getloadavg()[0]}, indent=1) + "\n")
    return path
