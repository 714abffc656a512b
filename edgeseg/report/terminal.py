"""Own the report on a terminal. Write no file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeseg.report import profile_text, text
from edgeseg.report.profile_record import Profile
from edgeseg.report.record import SCOPES, Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["fitted", "print_report"]

WIDEST = 10_000  # columns: what a table would take is not to be bounded by the console


def print_report(report: Report, console: Console) -> None:
    """Print the headline, a table a scope, and the warnings.

    Names go to rich as plain text, never as markup: a file's name may hold square brackets.
    """
    console.print(text.headline(report), style="bold", markup=False, highlight=False, soft_wrap=True)
    for scope in SCOPES:
        if report.of_scope(scope):
            about = text.scope_text(report, scope)
            console.print(f"\n{scope}, ms. {about}", markup=False, highlight=False)
            lines = [(row.engine, *row.cells) for row in text.rows(report, scope)]
            console.print(fitted(("engine", *text.columns(report, scope)), lines, console))
    for profile in report.profiles:
        _print_profile(profile, console)
    for warning in report.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _print_profile(profile: Profile, console: Console) -> None:
    console.print(f"\n{profile_text.summary(profile)}", style="bold", markup=False, highlight=False)
    for table in profile_text.tables(profile):
        console.print(f"\n{table.title}", markup=False, highlight=False)
        console.print(_drawn(table.columns, table.rows, words=table.words))
    for note in profile_text.notes(profile):
        console.print(note, markup=False, highlight=False)


def fitted(names: Sequence[str], lines: Sequence[Sequence[str]], console: Console) -> Table:
    """A line a row; where that is wider than the console, a line a column."""
    table = _drawn(names, lines)
    needed = console.measure(table, options=console.options.update(width=WIDEST)).maximum
    if needed <= console.width:
        return table
    first, *rest = zip(names, *lines, strict=True)
    return _drawn(first, rest)


def _drawn(names: Sequence[str], lines: Sequence[Sequence[str]], *, words: int = 1) -> Table:
    """A table of plain texts; the first ``words`` columns stand at the left, the others at the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for index, name in enumerate(names):
        table.add_column(Text(name), justify="left" if index < words else "right", overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    return table
