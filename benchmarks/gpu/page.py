"""Own the part of docs/gpu.md that tells what was measured, made of the reports. Measure nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["NOTHING", "with_results"]

BEGIN, END = "<!-- begin: written by make bench-gpu -->", "<!-- end -->"
NOTHING = "Not yet measured on a device."


def with_results(page: str, results: Path) -> str:
    """The page with its part written anew.

    Args:
        page: has the two marks once each.
        results: the folder of the reports; those of other benchmarks are passed over.
    Raises:
        ValueError: a mark is missing.
    """
    before, first, rest = page.partition(BEGIN)
    _, second, after = rest.partition(END)
    if not first or not second:
        raise ValueError(f"the page has no part between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{told(results)}\n{END}{after}"


def told(results: Path) -> str:
    """A row for every device that there is a report of."""
    reports = [(path, json.loads(path.read_text())) for path in sorted(results.glob("gpu-*.json"))]
    if not reports:
        return NOTHING
    rows = [row(path, report) for path, report in reports]
    return "\n".join(["| device | date | goals met | missed |", "|---|---|---|---|", *rows])


def row(path: Path, report: dict[str, Any]) -> str:
    """A link and the count of the goals; those that are missed by their names."""
    goals = report["goals"]
    missed = [one["what"] for one in goals if not one["is_met"]]
    link = f"[{report['device']['name']}](../benchmarks/results/{path.with_suffix('.md').name})"
    return f"| {link} | {report['date']} | {len(goals) - len(missed)} of {len(goals)} | {'; '.join(missed) or '-'} |"
