"""Own the accuracy report on a terminal. Write no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.report import accuracy_text as text
from edgeseg.report.accuracy_record import AccuracyReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["print_accuracy"]


def print_accuracy(report: AccuracyReport, console: Console) -> None:
    """Print what was judged, a table with the engines side by side, and the notes.

    Names go to rich as plain text, never as markup: a file's name may hold square brackets.
    """
    console.print(text.about(report), markup=False, highlight=False)
    console.print(_table(report))
    console.print(text.latency_text(report), markup=False, highlight=False)
    for note in text.notes(report):
        console.print(note, style="bold", markup=False, highlight=False, soft_wrap=True)


def _table(report: AccuracyReport) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("percent")
    for one in report.engines:
        table.add_column(Text(f"{one.name}\n{one.precision} {one.backend}"), justify="right")
    classes = [text.Line(name=f"IoU {line.name}", cells=line.cells) for line in text.class_lines(report)]
    for lines in (
        text.accuracy_lines(report) + text.agreement_lines(report),
        text.latency_lines(report),
        classes,
    ):
        for line in lines:
            table.add_row(Text(line.name), *line.cells)
        table.add_section()
    return table
