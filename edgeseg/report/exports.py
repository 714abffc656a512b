"""Own the forms of a report that other tools read: trtexec, pytest-benchmark, github-action. Measure nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Literal, get_args

import numpy as np

from edgeseg.errors import InputError
from edgeseg.report.record import Measurement, Report, Scope, indented_json
from edgeseg.report.text import milliseconds

__all__ = ["FORMS", "Form", "exported", "refuse_without_times", "trtexec_times"]

Form = Literal["trtexec-times", "pytest-benchmark", "github-action"]
FORMS: tuple[Form, ...] = get_args(Form)
#: scopes that hold what trtexec times, the fuller one first
TRTEXEC_SCOPES: tuple[Scope, ...] = ("engine+copies", "engine")
DIRTY = "-dirty"  # what git says of a changed tree
BENCHMARK_FORM_VERSION = "5.0.0"  # of pytest-benchmark's JSON, which has been the same since
Json = dict[str, object]


def exported(report: Report, form: Form, *, engine: str | None = None) -> bytes:
    """A report in another tool's form, UTF-8 JSON.

    Args:
        report: what was measured.
        form: one of ``FORMS``.
        engine: name of the one to export; all without it, but of trtexec's form, which has room for one.
    Raises:
        InputError: the report has no such engine, several where one can be told, or not the scope that the form needs.
    """
    names = [one.name for one in report.engines]
    if engine is not None and engine not in names:
        raise InputError(f"the report has no engine '{engine}'", f"name one of: {', '.join(names)}")
    chosen = [engine] if engine is not None else names
    makers: dict[Form, Callable[[Report, Sequence[str]], object]] = {
        "trtexec-times": trtexec_times,
        "pytest-benchmark": _pytest_benchmark,
        "github-action": _github_action,
    }
    return indented_json(makers[form](report, chosen))


def refuse_without_times(engines: int, scopes: Sequence[Scope]) -> None:
    """Find out before the measuring whether trtexec's form can hold what will be measured.

    Raises:
        InputError: more than one engine, or neither of the scopes that trtexec knows.
    """
    if engines != 1:
        raise InputError(f"trtexec's times are of one engine, not of {engines}", "name one engine")
    if not set(scopes) & set(TRTEXEC_SCOPES):
        raise InputError(
            f"trtexec's times are of the scopes {' and '.join(TRTEXEC_SCOPES)}, not of {', '.join(scopes)}",
            "measure with --scope engine+copies",
        )


def trtexec_times(report: Report, engines: Sequence[str]) -> list[dict[str, float]]:
    """What ``trtexec --exportTimes`` writes, an object an iteration, milliseconds since the first turn's begin.

    Durations are measured; each part begins where the one before it ends, from the iteration's begin on. What was not
    measured is 0 long: enqueue in reports without it, and the copies in the scope ``engine``, as of ``trtexec
    --noDataTransfers``.
    """
    refuse_without_times(len(engines), list(dict.fromkeys(one.scope for one in report.measurements)))
    scope = next(scope for scope in TRTEXEC_SCOPES if report.of_scope(scope))
    (one,) = (lane for lane in report.of_scope(scope) if lane.engine == engines[0])
    stages = ("enqueue", "copy-in", "engine", "copy-out")
    parts = zip(one.started_s, *(_samples(one, stage) for stage in stages), strict=False)
    return [_times(*part) for part in parts]


def _samples(one: Measurement, stage: str) -> Sequence[float] | repeat[float]:
    return one.stages[stage].samples_ms if stage in one.stages else repeat(0.0)


def _times(started_s: float, enqueue_ms: float, h2d_ms: float, compute_ms: float, d2h_ms: float) -> dict[str, float]:
    begin = started_s * 1e3
    ends = [begin + h2d_ms, begin + h2d_ms + compute_ms, begin + h2d_ms + compute_ms + d2h_ms]
    values = {
        "startEnqMs": begin,
        "endEnqMs": begin + enqueue_ms,
        "startH2dMs": begin,
        "endH2dMs": ends[0],
        "startComputeMs": ends[0],
        "endComputeMs": ends[1],
        "startD2hMs": ends[1],
        "endD2hMs": ends[2],
        "h2dMs": h2d_ms,
        "computeMs": compute_ms,
        "d2hMs": d2h_ms,
        "latencyMs": h2d_ms + compute_ms + d2h_ms,
    }
    return {name: round(value, 4) for name, value in values.items()}


def _pytest_benchmark(report: Report, engines: Sequence[str]) -> Json:
    """``--benchmark-json``: an entry an engine and scope, seconds, every sample in ``data``.

    Of the commit its hash and whether something was changed are known; what else pytest-benchmark asks git for is null.
    """
    environment = report.environment
    commit: Json = dict.fromkeys(("id", "time", "author_time", "dirty", "project", "branch"))
    if environment.commit is not None:
        commit |= {"id": environment.commit.removesuffix(DIRTY), "dirty": environment.commit.endswith(DIRTY)}
    return {
        "machine_info": {
            "node": environment.machine,
            "machine": environment.machine,
            "system": environment.system,
            "release": environment.kernel,
            "python_version": environment.python,
            "cpu": {"brand_raw": environment.cpu, "count": environment.cores},
            "packages": environment.packages,
        },
        "commit_info": commit,
        "benchmarks": [_benchmark(one) for one in _of(report, engines)],
        "datetime": report.created_utc,
        "version": BENCHMARK_FORM_VERSION,
    }


def _benchmark(one: Measurement) -> Json:
    name = f"{one.engine} {one.scope}"
    return {
        "group": one.scope,
        "name": name,
        "fullname": f"edgeseg::{name}",
        "params": None,
        "param": None,
        "extra_info": {"engine_covers": one.engine_covers},
        "options": {},
        "stats": _stats(np.asarray(one.headline.samples_ms) / 1e3),
    }


def _stats(data: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Json:
    """pytest-benchmark's figures, which are not this report's: its median interpolates, its deviation is a sample's."""
    q1, median, q3 = (float(one) for one in np.quantile(data, (0.25, 0.5, 0.75), method="hazen"))
    mean, stddev = float(data.mean()), float(data.std(ddof=1)) if len(data) > 1 else 0.0
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    far = int(((data < mean - stddev) | (data > mean + stddev)).sum())
    outside = int(((data < low) | (data > high)).sum())
    return {
        "min": float(data.min()),
        "max": float(data.max()),
        "mean": mean,
        "stddev": stddev,
        "rounds": len(data),
        "median": median,
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": outside,
        "stddev_outliers": far,
        "outliers": f"{far};{outside}",
        "ld15iqr": float(data[data >= low].min()),
        "hd15iqr": float(data[data <= high].max()),
        "ops": len(data) / math.fsum(data),
        "total": math.fsum(data),
        "data": data.tolist(),
        "iterations": 1,
    }


def _github_action(report: Report, engines: Sequence[str]) -> list[Json]:
    """What github-action-benchmark takes as ``customSmallerIsBetter``; ``range`` is of the rounds' medians."""
    found: list[Json] = []
    for one in _of(report, engines):
        stats, rounds = one.headline.stats, [float(np.median(part)) for part in one.rounds_ms]
        p99 = f"p99 {milliseconds(stats.p99_ms)} ms"
        found.append(
            {
                "name": f"{one.engine}, {one.scope}, median",
                "unit": "ms",
                "value": stats.p50_ms,
                "range": f"{milliseconds(min(rounds))} - {milliseconds(max(rounds))}",
                "extra": f"{p99}, n = {stats.count}, {report.environment.cpu}",
            }
        )
    return found


def _of(report: Report, engines: Sequence[str]) -> list[Measurement]:
    return [one for one in report.measurements if one.engine in engines]
