"""Own a diagnosis on a terminal. Write no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.report import diagnosis_text as text
from edgeseg.report.diagnosis_record import DiagnosisReport

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_diagnosis"]


def print_diagnosis(report: DiagnosisReport, console: Console, *, top: int) -> None:
    """Print what was looked at, the ``top`` worst nodes, who makes up most of it, and what to do.

    Names go to rich as plain text, never as markup: a node's name may hold square brackets.
    """
    from rich.table import Table
    from rich.text import Text

    nodes = report.found.nodes
    table = Table()
    table.add_column("#", justify="right")
    table.add_column("node", overflow="fold")
    table.add_column("module", overflow="fold")
    for name in ("own output\ndB", "logits\ndB", "mask\nchanges, %"):
        table.add_column(name, justify="right", no_wrap=True)
    for rank, one in enumerate(nodes[:top], start=1):
        ratios = text.decibels(one.output_snr_db), text.decibels(one.logits_snr_db)
        table.add_row(str(rank), Text(one.name), Text(one.module), *ratios, text.percent(one.disagreement))
    console.print(text.about(report), markup=False, highlight=False)
    console.print(table)
    if len(nodes) > top:
        console.print(f"and {len(nodes) - top} nodes more; --top {len(nodes)} shows them", highlight=False)
    console.print(text.blame(report.found), style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print(text.advice(report), markup=False, highlight=False, soft_wrap=True)
