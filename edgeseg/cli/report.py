"""Own `edgeseg report`: saved reports shown, checked, compared and exported. Measure nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.console import refuse_unwritable
from edgeseg.cli.gate_options import allow_different, gate_of, gate_options
from edgeseg.cli.output_options import output_option

if TYPE_CHECKING:
    from edgeseg.report.exports import Form
    from edgeseg.report.likeness import Kind
    from edgeseg.report.record import Scope

__all__ = ["report"]

#: those of ``edgeseg.report.record.SCOPES`` and of ``edgeseg.report.exports.FORMS``, which --help does not wait for; a
#: test holds them equal
SCOPE_NAMES = ("engine", "engine+copies", "frame-to-mask", "end-to-end")
FORM_NAMES = ("trtexec-times", "pytest-benchmark", "github-action")
JSON_REPORT = click.Path(path_type=Path, dir_okay=False)


@click.group()
def report() -> None:
    """Saved JSON reports of 'edgeseg benchmark': show, check, compare, export."""


@report.command()
@click.argument("path", metavar="REPORT", type=JSON_REPORT)
@output_option("-o", "output", (".html", ".md"), "Write it in this form too: .html or .md.")
def show(path: Path, output: Path | None) -> None:
    """Show a saved report again, or write its page."""
    from rich.console import Console

    from edgeseg.report.record import read_report
    from edgeseg.report.terminal import print_report

    outputs = _ready([path], output)
    saved = read_report(path)
    print_report(saved, Console())
    for one in outputs:
        from edgeseg.report.output import write_report

        write_report(saved, one)
        click.echo(f"wrote {one}", err=True)


@report.command()
@click.argument("path", metavar="REPORT", type=JSON_REPORT)
@gate_options(is_required=True)
def check(
    path: Path, baseline_paths: tuple[Path, ...], limit: float | None, allowed: tuple[Kind, ...], each_stage: bool
) -> None:
    """Hold a report to earlier ones: exit with 1 where a median is slower than allowed, beyond chance."""
    from edgeseg.report.record import read_report

    gate_of(baseline_paths, limit, allowed, each_stage=each_stage).judge(read_report(path))


@report.command()
@click.argument("paths", metavar="REPORT...", nargs=-1, required=True, type=JSON_REPORT)
@click.option(
    "--accuracy",
    "accuracy_paths",
    multiple=True,
    type=JSON_REPORT,
    help="JSON of 'edgeseg evaluate --json'; matched by the plan's hash. May be given several times.",
)
@click.option("--scope", type=click.Choice(SCOPE_NAMES), help="The fullest that all reports have without it.")
@allow_different
@output_option("-o", "output", (".html", ".md", ".json"), "Write it there too: .html (with the plot), .md or .json.")
def compare(
    paths: tuple[Path, ...],
    accuracy_paths: tuple[Path, ...],
    scope: Scope | None,
    allowed: tuple[Kind, ...],
    output: Path | None,
) -> None:
    """Put the engines of several reports side by side, speed beside accuracy."""
    from rich.console import Console

    from edgeseg.report.record import read_report
    from edgeseg.report.side_by_side import read_accuracies, side_by_side
    from edgeseg.report.side_by_side_forms import print_side_by_side, write_side_by_side

    outputs = _ready([*paths, *accuracy_paths], output)
    reports = [(str(path), read_report(path)) for path in paths]
    compared = side_by_side(reports, read_accuracies(accuracy_paths), scope=scope, allowed=allowed)
    print_side_by_side(compared, Console())
    for one in outputs:
        write_side_by_side(compared, one)
        click.echo(f"wrote {one}", err=True)


@report.command()
@click.argument("path", metavar="REPORT", type=JSON_REPORT)
@click.option("--form", required=True, type=click.Choice(FORM_NAMES), help="The tool that is to read it.")
@click.option("--engine", help="Name of the engine to export; all without it (trtexec's form has room for one).")
@output_option("-o", "output", (".json",), "Write it there; to standard output without it.")
def export(path: Path, form: Form, engine: str | None, output: Path | None) -> None:
    """Write a report in the form of another tool."""
    from edgeseg.files import write_atomically
    from edgeseg.report.exports import exported
    from edgeseg.report.record import read_report

    outputs = _ready([path], output)
    data = exported(read_report(path), form, engine=engine)
    if not outputs:
        click.echo(data, nl=False)
    for one in outputs:
        write_atomically(one, data)
        click.echo(f"wrote {one}", err=True)


def _ready(inputs: list[Path], output: Path | None) -> list[Path]:
    """The output, where one is asked for, once nothing speaks against writing it."""
    from edgeseg.report.output import require_packages

    if output is None:
        return []
    if output.resolve() in {path.resolve() for path in inputs}:
        raise click.UsageError(f"'{output}' is read here: choose another name")
    refuse_unwritable([output])
    require_packages([output])
    return [output]
