"""Own docs/performance.md: every table and sentence of it is made of the suites' JSON. Measure nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fitting import Fit, sentence
from benchmarks.goals import all_goals, goal_table, ratio_told

__all__ = ["SUITES", "page", "read_results"]

#: file of each suite in benchmarks/results, in the order of the page
SUITES = ("limits", "imaging", "engines", "end-to-end", "loop-overhead", "growth")
Report = dict[str, Any]


def read_results(folder: Path) -> dict[str, Report]:
    """Every suite's report.

    Raises:
        SystemExit: one is missing; says how to make it.
    """
    missing = [name for name in SUITES if not (folder / f"{name}.json").exists()]
    if missing:
        only = " ".join(f"--only {name}" for name in missing)
        raise SystemExit(f"{folder} has no {', '.join(missing)}: run 'python -m benchmarks {only}' first")
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in SUITES}


def page(results: Mapping[str, Report], why_missed: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        results: as ``read_results`` gives them.
        why_missed: what a profile says of a case of ``imaging`` that misses its goal.
    """
    lines = [
        "# Performance",
        "",
        "Written by `make bench`; no figure here is typed. Every peer runs in the same rounds as we do; a ratio is the "
        "median of the rounds' own ratios, with the lowest and the highest of them. Above 1 we are faster. Results are "
        "compared after timing, and a run whose results differ writes no page.",
        "",
        *runs_table(results),
        "",
        *goals_part(results, why_missed),
        "",
        *limits_part(results["limits"]),
        "",
        *imaging_part(results["imaging"], results["limits"]),
        "",
        *engines_part(results["engines"]),
        "",
        *end_to_end_part(results["end-to-end"]),
        "",
        *loop_part(results["loop-overhead"]),
        "",
        *growth_part(results["growth"]),
    ]
    return "\n".join(lines) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """In Markdown."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def runs_table(results: Mapping[str, Report]) -> list[str]:
    """When and on what each suite ran, and how busy that was."""
    rows = []
    for name, report in results.items():
        machine = report["environment"]
        before, after, cores = machine["load_1min"], report.get("load_after_1min"), machine["usable_cores"]
        load = f"{before:.1f}" + ("" if after is None else f" before, {after:.1f} after")
        busy = "busy" if before > cores / 2 else "quiet"
        rows.append((name, report["datetime"][:16], f"{machine['cpu']}, {cores} cores", load, busy))
    lines = table(("suite", "when (UTC)", "machine", "load", "machine was"), rows)
    if any(row[-1] == "busy" for row in rows):
        lines += [
            "",
            "Where the machine was busy with other work before the suite began, milliseconds are too high, and ratios "
            "of more threads than were free tell how the threads waited; run it again on a quiet one.",
        ]
    versions = {name: one for report in results.values() for name, one in report.get("versions", {}).items()}
    return [*lines, "", ", ".join(f"{name} {one}" for name, one in sorted(versions.items())) + "."]


def goals_part(results: Mapping[str, Report], why_missed: Mapping[str, str]) -> list[str]:
    """What design asks for beside what was found."""
    return ["## Goals", "", *goal_table(all_goals(results, why_missed))]


def limits_part(report: Report) -> list[str]:
    """Copy bandwidth and arithmetic."""
    kinds = list(report["rows"][0]["operations_per_s"])
    rows = [
        (
            str(one["threads"]),
            f"{one['copy_bytes_per_s'] / 1e9:.1f}",
            *(
                "-" if one["operations_per_s"][kind] is None else f"{one['operations_per_s'][kind] / 1e9:.0f}"
                for kind in kinds
            ),
        )
        for one in report["rows"]
    ]
    heads = ("threads", "copy, read + written, GB/s", *(f"{kind}, Gop/s" for kind in kinds))
    return [
        "## What the machine can do",
        "",
        *table(heads, rows),
        "",
        "Copies of 64 MiB a thread; arithmetic is a convolution in OpenVINO, a multiplication and an addition being "
        "two operations. A dash: the CPU computes in another type.",
    ]


def imaging_part(report: Report, limits: Report) -> list[str]:
    """The ratios, and how far we are from a copy."""
    ours = [row for row in report["benchmarks"] if row["params"]["who"] == "edgeseg"]
    bounds = {row["params"]["case"]: row["extra_info"]["bound_ms"] for row in ours}
    rows = [
        (
            one["case"],
            f"{one['ours_ms']:.2f}",
            one["peer"],
            f"{one['peer_ms']:.2f}",
            ratio_told({"median": one["ratio"], "lowest": one["lowest"], "highest": one["highest"]}),
            f"{bounds[one['case']] / one['ours_ms']:.0%}",
        )
        for one in report["ratios"]
    ]
    shares = [bounds[one["case"]] / one["ours_ms"] for one in report["ratios"]]
    copy = max(row["copy_bytes_per_s"] for row in limits["rows"]) / 1e9
    lines = [
        "## Pixels",
        "",
        *table(("case", "edgeseg ms", "peer", "peer ms", "ratio", "bound over ours"), rows),
        "",
        "The bound is the time of a copy of what the case must read and write at the least, by the copy bandwidth "
        f"measured in the same run (before the suites it was {copy:.1f} GB/s).",
    ]
    if max(shares) > 1:
        lines[-1] += " Above 100 %: what the case reads stays in the caches, which the copy's buffers do not."
    return lines


def engines_part(report: Report) -> list[str]:
    """One at a time, then in flight."""
    heads = ("ours", "ms", "peer", "peer ms", "ratio")
    both = []
    for name in ("alone", "in_flight"):
        rows = [
            (
                one["ours"],
                f"{one['ours_ms']['median']:.2f}",
                one["peer"],
                f"{one['peer_ms']['median']:.2f}",
                ratio_told(one["ratio"]),
            )
            for one in report[name]
        ]
        both.append(table(heads, rows))
    every = [*report["alone"], *report["in_flight"]]
    agreement = {row[who]: row["agreement"][who] for row in every for who in ("ours", "peer")}
    worst = min(agreement, key=lambda who: agreement[who])
    return [
        "## The engine alone",
        "",
        f"The demo net, 256x512, {report['threads']} threads, one inference after the other:",
        "",
        *both[0],
        "",
        "Several in flight, milliseconds a frame. *latency* and *throughput* are OpenVINO's hints, the number is how "
        "many requests; ours are built with the first:",
        "",
        *both[1],
        "",
        f"Pixels with the class that our FP32 engine gives them: at least {agreement[worst]:.2%} ({worst}).",
    ]


def end_to_end_part(report: Report) -> list[str]:
    """A line for each number of threads; the rows are in their own file."""
    rows = []
    for threads in sorted({row["threads"] for row in report["rows"]}):
        told = [row for row in report["rows"] if row["threads"] == threads]
        for peer in ("INT8 to our threads", "INT8 to our threads, logits enlarged", "FP32 to our threads"):
            ratios = [row["ratios"][peer][1] for row in told]
            rows.append(
                (str(threads), peer.replace("our threads", "plain loop"), f"{min(ratios):.1f}x to {max(ratios):.1f}x")
            )
    return [
        "## Camera frame to mask",
        "",
        f"Medians of {len(report['rows'])} combinations of size, format and threads, lowest to highest; each of them "
        "in [end-to-end.md](../benchmarks/results/end-to-end.md). The plain loop: ONNX Runtime FP32, OpenCV, NumPy.",
        "",
        *table(("threads", "what", "ratios"), rows),
    ]


def loop_part(report: Report) -> list[str]:
    """Queues, accounts, threads."""
    rows = [
        (one["frames"], str(one["sinks"]), f"{one['p50_us']:.0f}", f"{one['p99_us']:.0f}", str(one["count"]))
        for one in report["rows"]
    ]
    return [
        "## The loop's own work",
        "",
        "Source, session and sinks cost nothing here. *Back to back*: from one frame to the next; *paced*: from a "
        "frame's arrival to its mask at 500 frames a second.",
        "",
        *table(("frames", "sinks", "p50 us", "p99 us", "frames timed"), rows),
    ]


def growth_part(report: Report) -> list[str]:
    """A table of points and one of laws for each series."""
    lines = [
        "## How cost grows",
        "",
        "`cost = factor * size ^ exponent`, least squares on logarithmic axes; 95 % interval.",
    ]
    for name, one in report["series"].items():
        kinds = list(one["points"][0]["costs"])
        points = [
            (point.get("label", f"{point['size']:g}"), *(cost_told(point["costs"][kind]) for kind in kinds))
            for point in one["points"]
        ]
        lines += ["", f"### {name}", "", *table((one["by"], *(f"{kind}, {one['unit']}" for kind in kinds)), points)]
        laws = [
            (kind, f"{law['exponent']:.2f}", f"{law['low']:.2f} to {law['high']:.2f}", f"{law['r2']:.3f}")
            for kind, law in one["laws"].items()
        ]
        lines += ["", *table(("cost", "exponent", "interval", "r2"), laws), ""]
        told = [sentence(Fit(**law), kind[:1].upper() + kind[1:], one["by"]) for kind, law in one["laws"].items()]
        lines += [" ".join(told + rates_told(one))]
    return lines


def rates_told(one: Mapping[str, Any]) -> list[str]:
    """Frames a second, where a series tells what a frame costs."""
    if "wall time a frame" not in one["laws"]:
        return []
    rates = [(point["size"], 1e3 / point["costs"]["wall time a frame"]["median"]) for point in one["points"]]
    each = ", ".join(f"{rate:.0f} with {size:g}" for size, rate in rates)
    return [f"Frames a second of all {one['by']} together: {each}."]


def cost_told(one: Mapping[str, float]) -> str:
    """The median and the range."""
    middle, low, high = (f"{one[name]:.{3 if one[name] < 1e3 else 5}g}" for name in ("median", "lowest", "highest"))
    return f"{middle} ({low} to {high})"
