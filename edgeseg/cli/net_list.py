"""Own the list of the built-in nets on the terminal. Import no torch, make no net."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from edgeseg.export.catalogue import BuiltIn
    from edgeseg.export.measured import Measured, NetFigures

__all__ = ["print_nets", "refuse_company"]

Layout = Literal["columns", "stacked", "short"]
LAYOUTS: tuple[Layout, ...] = ("columns", "stacked", "short")
UNLIMITED = 1000  # columns of a file or a pipe: a line a net
UNKNOWN = "-"
#: right-aligned, behind name, title and source
FIGURES = ("input", "params", "MACs", "FP32 ms", "INT8 ms")
OWN_MACHINE = (
    "On your own machine: edgeseg export NAME -o net.onnx, edgeseg build-engine net.onnx, edgeseg benchmark net.engine"
)


def refuse_company(option: str) -> None:
    """Hold that ``option`` stands alone on the command line of the running command.

    Raises:
        click.UsageError: something else is there.
    """
    context = click.get_current_context()
    for one in context.command.params:
        is_given = context.get_parameter_source(one.name or "") is click.core.ParameterSource.COMMANDLINE
        if is_given and option not in one.opts:
            given = one.opts[-1] if isinstance(one, click.Option) else one.human_readable_name
            raise click.UsageError(f"{option} stands alone: leave out {given}")


def print_nets() -> None:
    """Print what is built in, and what it takes on the machine on which it was measured."""
    from rich.console import Console

    from edgeseg.export.measured import MEASURED_PATH, read_measured

    measured = read_measured(MEASURED_PATH) if MEASURED_PATH.exists() else None
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=UNLIMITED)
    console.print(_fitting(console, measured))
    for line in (_machine_line(measured), OWN_MACHINE):
        console.print(f"\n{line}", markup=False, highlight=False, soft_wrap=not console.is_terminal)


def _fitting(console: Console, measured: Measured | None) -> Table:
    """A line a net; where that is too wide, titles below the names, at last without authors."""
    from rich.measure import Measurement

    wide = console.options.update(width=UNLIMITED)
    tables = [_table(measured, layout) for layout in LAYOUTS]
    fitting = (one for one in tables if Measurement.get(console, wide, one).maximum <= console.width)
    return next(fitting, tables[-1])


def _table(measured: Measured | None, layout: Layout) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from edgeseg.export.catalogue import BUILT_IN

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in ("net", "what it is", "authors") if layout == "columns" else ("net",):
        table.add_column(name, overflow="fold")
    for name in FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    for name, net in BUILT_IN.items():
        row = None if measured is None else measured.nets.get(name)
        table.add_row(*_words(net, layout), *_figures(net, row))
    return table


def _words(net: BuiltIn, layout: Layout) -> list[RenderableType]:
    from rich.console import Group
    from rich.padding import Padding

    if layout == "columns":
        return [net.name, net.title, net.source]
    title = f"{net.title}, {net.source}" if layout == "stacked" else net.title
    return [Group(f"[bold]{net.name}[/]", Padding(title, (0, 0, 0, 2)))]


def _figures(net: BuiltIn, row: NetFigures | None) -> list[str]:
    size = f"{net.size_hw[0]}x{net.size_hw[1]}"
    if row is None:
        return [size, *[UNKNOWN] * 4]
    macs = UNKNOWN if row.macs is None else f"{row.macs / 1e9:.1f} G"
    return [size, f"{row.parameters / 1e6:.1f} M", macs, f"{row.fp32_ms:.1f}", f"{row.int8_ms:.1f}"]


def _machine_line(measured: Measured | None) -> str:
    if measured is None:
        return "No latencies have been measured."
    machine = measured.machine
    return (
        f"Medians of the engine alone, batch 1, on {machine.cores} cores of {machine.cpu}, {machine.date}, OpenVINO "
        f"{machine.versions.get('openvino', UNKNOWN)}; {UNKNOWN} was not measured."
    )
