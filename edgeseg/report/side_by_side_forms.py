"""Own the forms of engines side by side: terminal, Markdown, HTML with the Pareto plot, JSON. Compute nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.files import write_atomically
from edgeseg.report import markdown, pareto
from edgeseg.report.page import render
from edgeseg.report.record import indented_json
from edgeseg.report.side_by_side import Contender, SideBySide
from edgeseg.report.terminal import fitted
from edgeseg.report.text import milliseconds

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["about", "cells", "columns", "print_side_by_side", "write_side_by_side"]

TEMPLATE = "side_by_side.html.j2"


def columns(compared: SideBySide) -> tuple[str, ...]:
    """The headings beside the engine's name."""
    machine = ("machine",) if len(compared.machines) > 1 else ()
    return ("precision", "back end", "net input", *machine, "p50", "p99", "n", "1/s", "mIoU", "")


def cells(compared: SideBySide, one: Contender) -> tuple[str, ...]:
    """One engine's line, as text; it follows ``columns``."""
    machine = (one.machine,) if len(compared.machines) > 1 else ()
    times = milliseconds(one.p50_ms), milliseconds(one.p99_ms), str(one.count), f"{one.rate_hz:.1f}"
    miou = "not given" if one.miou is None else f"{100 * one.miou:.2f} %"
    size = f"{one.size_hw[0]} x {one.size_hw[1]}"
    return one.precision.upper(), one.backend, size, *machine, *times, miou, _standing(one)


def about(compared: SideBySide) -> str:
    """What the figures are, in sentences."""
    words = f"Scope {compared.scope}, milliseconds; net inputs are H x W."
    if compared.judged_on:
        words += f" mIoU on {compared.judged_on}. On the front: no other is at least as fast and as accurate."
    return words


def print_side_by_side(compared: SideBySide, console: Console) -> None:
    """Print the table, the machines where there are several, and the notes."""
    console.print(about(compared), markup=False, highlight=False)
    lines = [(one.name, *cells(compared, one)) for one in compared.contenders]
    console.print(fitted(("engine", *columns(compared)), lines, console))
    for line in machine_lines(compared):
        console.print(line, markup=False, highlight=False)
    for note in compared.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def machine_lines(compared: SideBySide) -> list[str]:
    """``A: CPU, cores``; empty of one machine."""
    several = compared.machines.items() if len(compared.machines) > 1 else ()
    return [f"{letter}: {words}" for letter, words in several]


def write_side_by_side(compared: SideBySide, path: Path) -> None:
    """Write the form that the ending names, .json, .md or .html, atomically.

    Raises:
        MissingPackageError: HTML without matplotlib or jinja2.
        OutputError: the file cannot be written.
        ValueError: another ending.
    """
    if path.suffix == ".json":
        write_atomically(path, indented_json(compared))
    elif path.suffix == ".md":
        write_atomically(path, _markdown(compared))
    elif path.suffix == ".html":
        plot = pareto.pareto_plot(compared) if pareto.points(compared) else ""
        lines = [(one, cells(compared, one)) for one in compared.contenders]
        words = {"columns": columns(compared), "about": about(compared), "machine_lines": machine_lines(compared)}
        write_atomically(path, render(TEMPLATE, compared=compared, lines=lines, plot_svg=plot, **words))
    else:
        raise ValueError(f"{path} ends in none of .json .md .html")


def _markdown(compared: SideBySide) -> str:
    rows = [[one.name, *cells(compared, one)] for one in compared.contenders]
    parts = ["# edgeseg report compare", markdown.escaped(about(compared))]
    parts.append(markdown.table(["engine", *columns(compared)], rows))
    lines = [*machine_lines(compared), *compared.notes]
    if lines:
        parts.append("\n".join(f"- {markdown.escaped(line)}" for line in lines))
    return "\n\n".join(parts) + "\n"


def _standing(one: Contender) -> str:
    if one.beaten_by is None:
        return ""
    return f"beaten by {', '.join(one.beaten_by)}" if one.beaten_by else "on the front"
