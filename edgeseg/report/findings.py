"""Own what follows from measurements: ratios between engines, and warnings. Measure nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeseg.accuracy.verdict import TimedEngine, precision_verdicts
from edgeseg.latency import percentile
from edgeseg.report.machine_findings import machine_warnings
from edgeseg.report.record import Comparison, EngineRecord, Environment, Measurement
from edgeseg.report.text import milliseconds, precision_text

__all__ = ["compare", "warnings_of"]

MOST_VARIATION = 0.025  # trtexec warns above it
MOST_ENQUEUE = 0.8  # of the compute time, likewise
FEWEST_FOR_P99 = 100  # below it the index rule of p99 takes the largest sample
MOST_LOAD = 0.1  # of the cores: more, and the engine's threads wait for others


def compare(measurements: Sequence[Measurement]) -> tuple[Comparison, ...]:
    """Every engine against the first one, in every scope.

    Args:
        measurements: in the order of the command line, all with the same number of rounds.
    """
    baselines: dict[str, Measurement] = {}
    found = []
    for one in measurements:
        baseline = baselines.setdefault(one.scope, one)
        if one is not baseline:
            found.append(_comparison(baseline, one))
    return tuple(found)


def warnings_of(
    environment: Environment, engines: Sequence[EngineRecord], measurements: Sequence[Measurement]
) -> tuple[str, ...]:
    """What a reader should know before believing the figures, one sentence each."""
    found = _load_warnings(environment) + machine_warnings(environment, engines, measurements)
    for engine in engines:
        found += _engine_warnings(engine, engines[0])
    found += _precision_warnings(engines, measurements)
    found += _bound_warnings(measurements)
    found += _variation_warnings(measurements) + _count_warnings(measurements)
    return tuple(found)


def _comparison(baseline: Measurement, one: Measurement) -> Comparison:
    pairs = zip(baseline.rounds_ms, one.rounds_ms, strict=True)
    return Comparison(
        engine=one.engine,
        baseline=baseline.engine,
        scope=one.scope,
        ratio=baseline.headline.stats.p50_ms / one.headline.stats.p50_ms,
        round_ratios=tuple(_median(theirs) / _median(ours) for theirs, ours in pairs),
    )


def _median(samples_ms: Sequence[float]) -> float:
    return percentile(np.sort(samples_ms), 50)


def _load_warnings(environment: Environment) -> list[str]:
    load, cores = environment.load_1min, environment.usable_cores
    if load is None or load <= MOST_LOAD * cores:
        return []
    busy = f"The machine was busy: load {load:.2f} on {cores} usable core(s) in the minute before the benchmark."
    return [f"{busy} End other work and measure again; the ratios suffer less than the milliseconds."]


def _engine_warnings(engine: EngineRecord, baseline: EngineRecord) -> list[str]:
    found = []
    if engine.changed_pixels:
        found.append(
            f"{engine.name}: {engine.changed_pixels} pixels of its mask differ after the timing from before it. "
            "The engine does not compute the same every time; do not trust its figures."
        )
    if engine.onnx_sha256 != baseline.onnx_sha256:
        found.append(f"{engine.name} is another net than {baseline.name}: the ratio compares nets, not engines of one.")
    return found


def _precision_warnings(engines: Sequence[EngineRecord], measurements: Sequence[Measurement]) -> list[str]:
    """Of the engines alone: in the scope of that name where it was measured, else by the stage."""
    p50_ms: dict[str, float] = {}
    for one in measurements:
        p50_ms.setdefault(one.engine, one.stages["engine"].stats.p50_ms)
    timed = [
        TimedEngine(
            name=one.name,
            precision=one.precision,
            backend=one.backend,
            size_hw=one.size_hw,
            p50_ms=p50_ms[one.name],
        )
        for one in engines
        if one.name in p50_ms
    ]
    return [f"{precision_text(one)}." for one in precision_verdicts(timed) if not one.is_worth_it]


def _bound_warnings(measurements: Sequence[Measurement]) -> list[str]:
    """trtexec's: where it is not the engine that a device waits for. On a CPU the host is the device."""
    found = []
    for one in measurements:
        p50_ms = {name: stage.stats.p50_ms for name, stage in one.stages.items()}
        what = f"{one.engine} ({one.scope})"
        if one.clock == "cuda-events" and p50_ms.get("enqueue", 0.0) > MOST_ENQUEUE * p50_ms["engine"]:
            found.append(
                f"{what}: the host takes {milliseconds(p50_ms['enqueue'])} ms to enqueue what the device computes in "
                f"{milliseconds(p50_ms['engine'])} ms: the host may be the bound. Compare frame-to-mask, where CUDA "
                "graphs launch all at once."
            )
        found += [
            f"{what}: {copy} takes {milliseconds(p50_ms[copy])} ms, no less than the engine's "
            f"{milliseconds(p50_ms['engine'])} ms: the copies are the bound. Give smaller logits or frames, or keep "
            "them on the device."
            for copy in ("copy-in", "copy-out")
            if p50_ms.get(copy, 0.0) >= p50_ms["engine"]
        ]
    return found


def _variation_warnings(measurements: Sequence[Measurement]) -> list[str]:
    """One sentence for all: on a noisy machine every measurement has it."""
    scattered = [one for one in measurements if one.variation > MOST_VARIATION]
    if not scattered:
        return []
    listed = ", ".join(f"{one.engine} {one.variation:.1%} ({one.scope})" for one in scattered)
    scatter = f"Samples scatter: the coefficient of variation is above {MOST_VARIATION:.1%} for {listed}."
    return [f"{scatter} Lock the clocks and end other work; until then read medians and rounds, not means."]


def _count_warnings(measurements: Sequence[Measurement]) -> list[str]:
    few = [one for one in measurements if one.headline.stats.count < FEWEST_FOR_P99]
    if not few:
        return []
    listed = ", ".join(f"{one.engine} {one.headline.stats.count} ({one.scope})" for one in few)
    return [f"p99 is the largest sample where there are fewer than {FEWEST_FOR_P99}: {listed}. Raise --iterations."]
