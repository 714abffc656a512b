"""Own what design asks of the figures: each goal beside what was found, and why it is missed. Measure nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Goal", "all_goals", "goal_table", "ratio_told"]

INT8_GOAL, FRAME_GOAL, PIXELS_GOAL, LOOP_GOAL_US = 3.0, 4.0, 0.15, 150.0
Report = dict[str, Any]


class Goal:
    """What design asks for, what was found, and why it is missed where it is."""

    def __init__(self, what: str, wanted: float, found: float, told: str, *, is_at_most: bool = False, why: str = ""):
        self.what, self.told, self.why = what, told, why
        self.wanted = f"{'<=' if is_at_most else '>='} {wanted:g}"
        self.is_met = found <= wanted if is_at_most else found >= wanted

    def line(self) -> str:
        """A row of the table."""
        return f"| {self.what} | {self.told} | {self.wanted} | {'met' if self.is_met else 'MISSED'} |"


def all_goals(results: Mapping[str, Report], why_missed: Mapping[str, str]) -> list[Goal]:
    """Of every suite that has one.

    Args:
        results: by the suites' names.
        why_missed: what a profile says of a case of ``imaging``.
    """
    return [
        *imaging_goals(results["imaging"], why_missed),
        *engine_goals(results["engines"]),
        *end_to_end_goals(results["end-to-end"]),
        *loop_goals(results["loop-overhead"]),
    ]


def goal_table(goals: Sequence[Goal]) -> list[str]:
    """Every goal, then why those that are missed are."""
    lines = ["| what | found | goal | |", "|---|---|---|---|", *(one.line() for one in goals)]
    for one in goals:
        if not one.is_met:
            lines += ["", f"**{one.what}**: {one.why or 'missed, and no profile says why: take one.'}"]
    return lines


def ratio_told(one: Mapping[str, float]) -> str:
    """The median and the range."""
    return f"{one['median']:.2f}x ({one['lowest']:.2f} to {one['highest']:.2f})"


def imaging_goals(report: Report, why_missed: Mapping[str, str]) -> list[Goal]:
    """Of pre-processing, post-processing and overlay."""
    return [
        Goal(
            f"{one['case']}, against {one['peer']}",
            one["goal"],
            one["ratio"],
            ratio_told({"median": one["ratio"], "lowest": one["lowest"], "highest": one["highest"]}),
            why=why_missed.get(one["case"], ""),
        )
        for one in report["ratios"]
        if one["goal"] is not None
    ]


def engine_goals(report: Report) -> list[Goal]:
    """INT8 against FP32, both ours."""
    one = next(row for row in report["alone"] if (row["ours"], row["peer"]) == ("edgeseg INT8", "edgeseg FP32"))
    same = next(row for row in report["alone"] if (row["ours"], row["peer"]) == ("edgeseg INT8", "OpenVINO INT8"))
    why = (
        f"the engine is OpenVINO's: its own INT8 of the same net takes {same['peer_ms']['median']:.1f} ms where ours "
        f"takes {same['ours_ms']['median']:.1f} ms, so what is missing is missing there."
    )
    what = "the engine alone, INT8 against FP32"
    return [Goal(what, INT8_GOAL, one["ratio"]["median"], ratio_told(one["ratio"]), why=why)]


def end_to_end_goals(report: Report) -> list[Goal]:
    """Of the worst row; what the engine alone takes says how far pixels could help."""
    peer = "INT8 to our threads"
    slowest = min(report["rows"], key=lambda row: row["ratios"][peer][1])
    heaviest = max(report["rows"], key=lambda row: row["pixels"]["INT8"])
    low, middle, high = slowest["ratios"][peer]
    engine_ms = slowest["ms"]["INT8"] * (1 - slowest["pixels"]["INT8"])
    bound = slowest["ms"]["our threads"] / engine_ms
    why = (
        f"of {slowest['ms']['INT8']:.1f} ms {engine_ms:.1f} ms are the engine and what is around it; with pixels that "
        f"cost nothing the ratio would be {bound:.1f}x."
    )
    share, what_share = heaviest["pixels"]["INT8"], f"share of pixels, the worst row ({row_name(heaviest)})"
    why_share = (
        f"of {heaviest['ms']['INT8']:.1f} ms of an INT8 frame {heaviest['ms']['INT8'] * share:.1f} ms are pixels; of "
        f"an FP32 frame of the same net they are {heaviest['pixels']['FP32']:.0%}."
    )
    return [
        Goal(
            f"camera frame to mask against ONNX Runtime FP32, OpenCV and NumPy, the worst row ({row_name(slowest)})",
            FRAME_GOAL,
            middle,
            f"{middle:.2f}x (quartiles {low:.2f} to {high:.2f})",
            why=why,
        ),
        Goal(
            what_share,
            PIXELS_GOAL,
            share,
            f"{share:.2f}",
            is_at_most=True,
            why=why_share,
        ),
    ]


def row_name(row: Mapping[str, Any]) -> str:
    """Of a row of ``end-to-end``."""
    return f"{row['frame']}, {row['threads']} {'thread' if row['threads'] == 1 else 'threads'}"


def loop_goals(report: Report) -> list[Goal]:
    """What the loop itself costs a frame, with one sink."""
    one = next(row for row in report["rows"] if row["frames"] == "back to back" and row["sinks"] == 1)
    told = f"{one['p50_us']:.0f} (p99 {one['p99_us']:.0f})"
    return [Goal("the loop's own work a frame, one sink, us", LOOP_GOAL_US, one["p50_us"], told, is_at_most=True)]
