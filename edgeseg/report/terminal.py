"""Own the report on a terminal. Write no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.report import text
from edgeseg.report.record import SCOPES, Report, Scope

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["print_report"]


def print_report(report: Report, console: Console) -> None:
    """Print the headline, a table a scope, and the warnings.

    Names go to rich as plain text, never as markup: a file's name may hold square brackets.
    """
    console.print(text.headline(report), style="bold", markup=False, highlight=False, soft_wrap=True)
    for scope in SCOPES:
        if report.of_scope(scope):
            about = text.scope_text(report, scope)
            console.print(f"\n{scope}, ms. {about}", markup=False, highlight=False)
            console.print(_table(report, scope))
    for warning in report.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _table(report: Report, scope: Scope) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("engine", overflow="fold")
    for name in text.columns(report, scope):
        table.add_column(name, justify="right", no_wrap=True)
    for row in text.rows(report, scope):
        table.add_row(Text(row.engine), *row.cells)
    return table
