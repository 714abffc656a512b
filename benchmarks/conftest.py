"""Own the ratios of a benchmark run: ours against each peer of the same group and turn, as a table and in the JSON."""

from __future__ import annotations

import json
import statistics
from typing import Any

import msgspec

from benchmarks.rounds import IS_QUICK, RESULTS
from edgeseg.report.environment import read_environment

OURS = "edgeseg"
NO_PROFILE = "A goal is missed and no profile says why: take one, and add it to WHY_MISSED."
#: shown where the case misses its goal; one thread, perf record -e cpu-clock, 2026-11-21, AMD EPYC with AVX-512
NV12_PROFILE = (
    "Why NV12 misses its goal: of one thread's time 23 % go into turning luma and chroma of two rows into blended RGB, "
    "21 % into the columns, 16 % into the chroma's share of RGB and 15 % into storing: every source pixel becomes "
    "three floats before the picture shrinks, which is what the exact conversion asks for, where OpenCV converts in "
    "8-bit fixed point. Five times OpenCV would be the time that BGR alone takes."
)
BGR_BOUND = (
    "Why BGR misses its goal: it is near the memory's speed, so the shared machine's memory decides. The goal would be "
    "little above a plain copy of the bytes that it must move (the bound). On 2026-11-21 it was 0.50 ms and 4.4x; in "
    "two runs on 2026-11-22 0.72 ms and 3.5x, 0.61 ms and 3.9x."
)
WHY_MISSED = {"1080p NV12 -> 1x3x512x1024": NV12_PROFILE, "1080p BGR -> 1x3x512x1024": BGR_BOUND}


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Add every ratio to the JSON, and write the same as Markdown beside it."""
    del config, benchmarks
    output_json["ratios"] = ratios(output_json["benchmarks"])
    output_json["is_quick"] = IS_QUICK
    output_json["environment"] = msgspec.to_builtins(read_environment())
    for key in ("commit_info", "machine_info"):  # a user's and a host's names say nothing to a reader
        output_json.pop(key, None)
    table = markdown(output_json)
    (RESULTS / "imaging.md").write_text(table)
    print("\n" + table)  # noqa: T201  # the run's own result


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For every case and peer: medians over the turns, and the ratio of each turn, so that drift cancels."""
    medians: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        key = (row["params"]["case"], row["params"]["who"])
        medians.setdefault(key, []).append(row["stats"]["median"] * 1e3)
    goals = {(row["params"]["case"], row["params"]["who"]): row["extra_info"].get("goal") for row in rows}
    found = []
    for (case, who), theirs in medians.items():
        if who == OURS:
            continue
        ours = medians[case, OURS]
        each = [their / our for our, their in zip(ours, theirs, strict=True)]
        found.append(
            {
                "case": case,
                "peer": who,
                "ours_ms": statistics.median(ours),
                "peer_ms": statistics.median(theirs),
                "ratio": statistics.median(each),
                "lowest": min(each),
                "highest": max(each),
                "goal": goals[case, who],
            }
        )
    return found


def is_missed(one: dict[str, Any]) -> bool:
    """Whether a ratio has a goal and does not reach it."""
    return one["goal"] is not None and one["ratio"] < one["goal"]


def markdown(report: dict[str, Any]) -> str:
    """The ratios as a table, with what they were measured on and the bound that memory sets."""
    machine = report["environment"]
    bounds = {row["params"]["case"]: row["extra_info"] for row in report["benchmarks"] if row["params"]["who"] == OURS}
    first = bounds[next(iter(bounds))]
    lines = [
        "# Pixels: pre- and post-processing against peers",
        "",
        f"{report['datetime'][:10]}, {machine['cpu']}, load {machine['load_1min']}, {first['threads']} threads; "
        f"{json.dumps(first['versions'])[1:-1]}. Medians; turns of ours and each peer alternate.",
        "",
        "| case | edgeseg ms | peer | peer ms | ratio (lowest to highest turn) | goal | bound by copy ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in report["ratios"]:
        goal = "-" if one["goal"] is None else f">= {one['goal']}x {'MISSED' if is_missed(one) else 'met'}"
        lines.append(
            f"| {one['case']} | {one['ours_ms']:.2f} | {one['peer']} | {one['peer_ms']:.2f} | "
            f"{one['ratio']:.1f}x ({one['lowest']:.1f} to {one['highest']:.1f}) | {goal} | "
            f"{bounds[one['case']]['bound_ms']:.2f} |"
        )
    lines += ["", "The bound is what the case must read and write over the copy bandwidth measured beside it."]
    for one in filter(is_missed, report["ratios"]):
        lines += ["", WHY_MISSED.get(one["case"], NO_PROFILE)]
    return "\n".join(lines) + "\n"
