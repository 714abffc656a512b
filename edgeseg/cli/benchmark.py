"""Own `edgeseg benchmark`: words to options, progress and the report to their places. Measure nothing."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.console import refuse_overwriting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeseg.report.benchmark import OnTurn
    from edgeseg.report.record import Scope, Settings

__all__ = ["benchmark"]

#: trtexec's names of options that mean the same, accepted and not shown
TRTEXEC = {"warmUp": "warm-up-ms", "duration": "duration-s"}
END_TO_END = "end-to-end"


def _own_name(token: str) -> str:
    return TRTEXEC.get(token, token)


def _check_reports(_context: click.Context, _option: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    from edgeseg.report.output import ENDINGS

    for path in paths:
        if path.suffix not in ENDINGS:
            raise click.BadParameter(f"'{path}' must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    return paths


@click.command(context_settings={"token_normalize_func": _own_name})
@click.argument("engines", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_check_reports,
    help="Write a report: .json, .html or .md. May be given several times.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["engine", "frame-to-mask", END_TO_END]),
    help="What to time; both without it. end-to-end is frame-to-mask: no capture is included.",
)
@click.option("--source", help="Picture, folder or video to take frames from; a shipped picture without it.")
@click.option("--warm-up-ms", default=200.0, show_default=True, help="Warm-up of every engine.")
@click.option("--duration-s", default=3.0, show_default=True, help="Least time of every engine in every scope.")
@click.option("--iterations", default=10, show_default=True, help="Fewest iterations, likewise.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a CPU engine; all cores without it.")
def benchmark(
    engines: tuple[Path, ...],
    reports: tuple[Path, ...],
    scopes: tuple[str, ...],
    source: str | None,
    warm_up_ms: float,
    duration_s: float,
    iterations: int,
    threads: int | None,
) -> None:
    """Time engines against each other, in alternating turns.

    The first ENGINE is what the others are compared with. Percentiles are taken as trtexec takes them.
    """
    from rich.console import Console

    from edgeseg.report.benchmark import run_benchmark
    from edgeseg.report.frames import load_frames
    from edgeseg.report.output import require_packages, write_report
    from edgeseg.report.terminal import print_report

    refuse_overwriting(engines, reports)
    settings = _settings(_scopes(scopes), warm_up_ms, duration_s, iterations, threads)
    require_packages(reports)
    with _progress() as on_turn:
        report = run_benchmark(engines, load_frames(source), settings, on_turn=on_turn)
    print_report(report, Console())
    for path in reports:
        write_report(report, path)
        click.echo(f"wrote {path}", err=True)


def _settings(
    scopes: tuple[Scope, ...], warm_up_ms: float, duration_s: float, iterations: int, threads: int | None
) -> Settings:
    from edgeseg.report.record import Settings

    try:
        return Settings(
            warm_up_ms=warm_up_ms, duration_s=duration_s, iterations=iterations, threads=threads, scopes=scopes
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _scopes(names: tuple[str, ...]) -> tuple[Scope, ...]:
    """The scopes in the report's order; both where none is named."""
    from edgeseg.report.record import SCOPES

    if END_TO_END in names:
        click.echo("end-to-end is measured as frame-to-mask: frames come from memory, no capture is included", err=True)
    wanted = {"frame-to-mask" if name == END_TO_END else name for name in names}
    return tuple(scope for scope in SCOPES if not wanted or scope in wanted)


@contextmanager
def _progress() -> Iterator[OnTurn]:
    """A bar on stderr where that is a terminal, drawn between turns: a drawing thread would be timed too."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("loading engines")

        def on_turn(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what, refresh=True)

        yield on_turn
