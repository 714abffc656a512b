"""Own the rule that says whether a low precision is worth it. Measure nothing, word nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LEAST_RATIO", "TimedEngine", "Verdict", "precision_verdicts"]

#: how many times as fast as the best higher precision a low one must be: less is not worth the accuracy that it costs
LEAST_RATIO = 1.05
LOW_PRECISIONS = frozenset({"int8", "fp8"})


@dataclass(frozen=True, kw_only=True)
class TimedEngine:
    """One engine as it was timed beside others; ``p50_ms`` is of the engine alone, ``size_hw`` the net's input."""

    name: str
    precision: str
    backend: str
    size_hw: tuple[int, int]
    p50_ms: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A low-precision engine against the fastest engine of a higher precision on the same back end.

    ``ratio`` is the baseline's median over the engine's: above 1, the engine is faster. It ``is_worth_it`` from
    ``LEAST_RATIO`` on.
    """

    engine: str
    precision: str
    backend: str
    p50_ms: float
    baseline: str
    baseline_precision: str
    baseline_p50_ms: float
    ratio: float
    is_worth_it: bool


def precision_verdicts(engines: Sequence[TimedEngine]) -> tuple[Verdict, ...]:
    """One verdict for every INT8 or FP8 engine that has a higher precision beside it, in the given order.

    Engines of another back end or another input size are no measure for each other.

    Example:
        >>> high = TimedEngine(name="a", precision="fp32", backend="openvino", size_hw=(8, 8), p50_ms=6.2)
        >>> low = TimedEngine(name="b", precision="int8", backend="openvino", size_hw=(8, 8), p50_ms=6.1)
        >>> [one.is_worth_it for one in precision_verdicts([high, low])]
        [False]
    """
    found = []
    for one in engines:
        rivals = [other for other in engines if _is_higher(other, one)]
        if one.precision in LOW_PRECISIONS and rivals:
            found.append(_verdict(one, min(rivals, key=lambda rival: rival.p50_ms)))
    return tuple(found)


def _is_higher(other: TimedEngine, one: TimedEngine) -> bool:
    is_comparable = (other.backend, other.size_hw) == (one.backend, one.size_hw)
    return is_comparable and other.precision not in LOW_PRECISIONS


def _verdict(one: TimedEngine, baseline: TimedEngine) -> Verdict:
    ratio = baseline.p50_ms / one.p50_ms
    return Verdict(
        engine=one.name,
        precision=one.precision,
        backend=one.backend,
        p50_ms=one.p50_ms,
        baseline=baseline.name,
        baseline_precision=baseline.precision,
        baseline_p50_ms=baseline.p50_ms,
        ratio=ratio,
        is_worth_it=ratio >= LEAST_RATIO,
    )
