"""Own the words and the terminal's table of a check against baselines. Decide nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.report.gate import Check, CheckRow
from edgeseg.report.text import milliseconds

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["finding", "interval_text", "percent", "print_check", "regression_text"]

CLEARER = "measure longer (--duration-s), end other work, lock the clocks"
ENOUGH_BASELINES = 5  # of three the interval is 1.6 times as wide
FEW = (
    "baseline(s) tell little of how far equal runs lie apart: five or more (--baseline a.json --baseline b.json ...) do"
)
COLUMNS = ("engine", "scope", "stage", "old", "new", "change", "interval", "")


def percent(share: float) -> str:
    """A share with its sign: ``+8.1 %``; of what has become more than eleven times as slow, only that."""
    if share > 10.0:
        return "above +1000 %"
    return f"{100 * share:+.1f} %" if share < 1.0 else f"{100 * share:+.0f} %"


def interval_text(row: CheckRow) -> str:
    """``+6.0 % to +10.2 %``."""
    return f"{percent(row.slowdown.low)} to {percent(row.slowdown.high)}"


def regression_text(row: CheckRow, limit: float) -> str:
    """One row that failed, in a line."""
    found = row.slowdown
    return (
        f"{row.engine}, {row.scope}, {row.stage}: {milliseconds(found.old_ms)} ms -> {milliseconds(found.new_ms)} ms, "
        f"{percent(found.change)} (interval {interval_text(row)}), limit {percent(limit)}"
    )


def finding(check: Check) -> str:
    """The outcome in a sentence; what could not be seen is said beside it."""
    if check.regressions:
        return "regression: " + "; ".join(regression_text(row, check.limit) for row in check.regressions)
    judged = sum(row.is_judged for row in check.rows)
    unclear = f", {len(check.unclear)} of them unclear" if check.unclear else ""
    return f"no regression above {100 * check.limit:g} % is shown in {judged} row(s){unclear}"


def print_check(check: Check, console: Console) -> None:
    """Print all rows, what is missing, what differs, and the outcome last."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in COLUMNS:
        table.add_column(name, overflow="fold", justify="right" if name in COLUMNS[3:7] else "left")
    for row in check.rows:
        table.add_row(*map(Text, _cells(row)), style=None if row.is_judged else "dim")
    console.print(f"\nAgainst {check.baselines} baseline(s), median ms. {_about(check)}", markup=False, highlight=False)
    console.print(table)
    for note in _notes(check):
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(finding(check), style="bold", markup=False, highlight=False, soft_wrap=True)


def _cells(row: CheckRow) -> tuple[str, ...]:
    found = row.slowdown
    times = milliseconds(found.old_ms), milliseconds(found.new_ms), percent(found.change)
    return row.engine, row.scope, row.stage, *times, interval_text(row), _verdict(row)


def _verdict(row: CheckRow) -> str:
    if not row.is_judged:
        return "not judged"
    if row.is_regression:
        return "REGRESSION"
    return "unclear" if row.is_unclear else "ok"


def _about(check: Check) -> str:
    sure = f"Intervals hold the change with {100 * check.confidence:.3g} % confidence"
    return f"{sure}; a row fails where all of its interval lies above the limit."


def _notes(check: Check) -> list[str]:
    found = [f"{one}: not compared" for one in check.missing] + list(check.notes)
    for row in check.unclear:
        reach = f"the interval reaches {percent(row.slowdown.high)}, so a regression up to that would not be seen"
        found.append(f"{row.engine}, {row.scope}, {row.stage}: {reach}: {CLEARER}")
    if check.baselines < ENOUGH_BASELINES:
        found.append(f"{check.baselines} {FEW}")
    return found
