"""Own the form of a sweep's table, schema 1: its JSON, its lines for a terminal and for Markdown. Measure nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edgeseg.files import write_atomically
from edgeseg.records import Record
from edgeseg.report.markdown import escaped, table
from edgeseg.report.record import Scope, indented_json
from edgeseg.report.text import milliseconds, ratio_text
from edgeseg.spec import BackendName, PrecisionKind

__all__ = ["COLUMNS", "Sweep", "SweepFailure", "SweepRow", "about", "cells", "write_sweep"]

COLUMNS = ("net", "input", "type", "batch", "threads", "p50", "p99", "1/s", "ratio", "MB")


class SweepRow(Record, frozen=True, kw_only=True):
    """One engine at one batch and number of threads, in one scope.

    Attributes:
        net: name of the ONNX file.
        size_hw: of the input.
        threads: of a CPU back end; None are all cores.
        p50_ms, p99_ms, count: of the scope's headline stage.
        rate_hz: images a second.
        ratio: median of the group's first precision over this one's: above 1 is faster. They took turns.
        warnings: that the group's report gives.
        report: name of that report, in the folder of the sweep.
    """

    net: str
    size_hw: tuple[int, int]
    precision: PrecisionKind
    batch: int
    threads: int | None
    backend: BackendName
    scope: Scope
    p50_ms: float
    p99_ms: float
    count: int
    rate_hz: float
    ratio: float
    plan_bytes: int
    warnings: int
    report: str


class SweepFailure(Record, frozen=True, kw_only=True):
    """What could not be built or timed, and why."""

    what: str
    reason: str


class Sweep(Record, frozen=True, kw_only=True):
    """One table of all combinations, in the order that was asked for."""

    schema: Literal[1] = 1
    created_utc: str
    rows: tuple[SweepRow, ...]
    failures: tuple[SweepFailure, ...]


def write_sweep(sweep: Sweep, path: Path) -> None:
    """Write the JSON form, and Markdown beside it, each atomically.

    Raises:
        OutputError: a file cannot be written.
    """
    write_atomically(path, indented_json(sweep))
    write_atomically(path.with_suffix(".md"), _markdown(sweep))


def cells(row: SweepRow) -> tuple[str, ...]:
    """A row as text, in the order of ``COLUMNS``; milliseconds, images a second, megabytes of the plan."""
    return (
        row.net,
        f"{row.size_hw[0]}x{row.size_hw[1]}",
        row.precision,
        str(row.batch),
        "all" if row.threads is None else str(row.threads),
        milliseconds(row.p50_ms),
        milliseconds(row.p99_ms),
        f"{row.rate_hz:.1f}",
        ratio_text(row.ratio),
        f"{row.plan_bytes / 1e6:.2f}",
    )


def about(sweep: Sweep) -> str:
    """What the table says, as sentences."""
    scopes = ", ".join(dict.fromkeys(row.scope for row in sweep.rows))
    said = (
        f"Scope {scopes}, milliseconds; input is height x width; 1/s is images over wall time. A ratio is the first "
        "type's median over this one's, which took turns with it; rows of different inputs, batches or threads were "
        "timed one after the other."
    )
    doubtful = ", ".join(dict.fromkeys(row.report for row in sweep.rows if row.warnings))
    return f"{said} Read the warnings in {doubtful} before you believe these figures." if doubtful else said


def _markdown(sweep: Sweep) -> str:
    measured = f"Measured {sweep.created_utc}. {about(sweep)}"
    parts = ["# edgeseg sweep", escaped(measured), table(COLUMNS, [cells(row) for row in sweep.rows])]
    if sweep.failures:
        parts.append("## Not built or not timed")
        parts.append("\n".join(_failure(one) for one in sweep.failures))
    return "\n\n".join(parts) + "\n"


def _failure(one: SweepFailure) -> str:
    return f"- {escaped(one.what)}: {escaped(one.reason)}"
