"""Own `edgeseg benchmark`: words to options, progress and the report to their places. Measure nothing."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.console import refuse_overwriting, refuse_unwritable
from edgeseg.cli.gate_options import gate_of, gate_options
from edgeseg.cli.output_options import output_option
from edgeseg.cli.profile_options import TRTEXEC_PROFILE, profile_options, profile_wish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeseg.report.benchmark import OnTurn
    from edgeseg.report.likeness import Kind
    from edgeseg.report.record import Report, Scope, Settings

__all__ = ["benchmark"]

#: trtexec's names of options that mean the same, accepted and not shown
TRTEXEC = {
    "warmUp": "warm-up-ms",
    "duration": "duration-s",
    "infStreams": "streams",
    "exportTimes": "export-times",
    **TRTEXEC_PROFILE,
}


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
    type=click.Choice(["engine", "engine+copies", "frame-to-mask", "end-to-end"]),
    help="What to time, may be given several times; engine and frame-to-mask without it (with --batch the latter "
    "alone). end-to-end is the loop of 'edgeseg run', from the capture of a frame to its mask.",
)
@click.option(
    "--source", help="Where frames come from: a picture, or whatever 'edgeseg run' takes; a shipped picture without it."
)
@click.option(
    "--camera-hz",
    type=click.FloatRange(min=0.01),
    help="End-to-end: give the frames at this rate, and count those that are missed; as fast as they are taken without "
    "it.",
)
@click.option("--warm-up-ms", default=200.0, show_default=True, help="Warm-up of every engine.")
@click.option("--duration-s", default=3.0, show_default=True, help="Least time of every engine in every scope.")
@click.option("--iterations", default=10, show_default=True, help="Fewest iterations, likewise.")
@click.option("--streams", default=1, show_default=True, help="Inferences in flight at once.")
@click.option("--batch", default=1, show_default=True, help="Frames in one run of the engine (frame-to-mask).")
@click.option("--cuda-graphs/--no-cuda-graphs", "uses_graphs", default=True, help="CUDA graphs on a device.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a CPU engine; all cores without it.")
@output_option("--export-times", "times_path", (".json",), "Write the times of one engine as trtexec does: .json.")
@gate_options(is_required=False)
@profile_options
def benchmark(
    engines: tuple[Path, ...],
    reports: tuple[Path, ...],
    scopes: tuple[str, ...],
    source: str | None,
    camera_hz: float | None,
    times_path: Path | None,
    baseline_paths: tuple[Path, ...],
    limit: float | None,
    allowed: tuple[Kind, ...],
    each_stage: bool,
    profile: bool,
    nets: tuple[Path, ...],
    export_profile: Path | None,
    **method: Any,
) -> None:
    """Time engines against each other, in alternating turns.

    The first ENGINE is what the others are compared with. Percentiles are taken as trtexec takes them.
    """
    from rich.console import Console

    from edgeseg.report.benchmark import run_benchmark
    from edgeseg.report.exports import refuse_without_times
    from edgeseg.report.frames import load_frames
    from edgeseg.report.output import require_packages, write_report
    from edgeseg.report.terminal import print_report

    outputs = [*reports, *([times_path] if times_path else [])]
    refuse_overwriting((*engines, *nets, *baseline_paths), outputs)
    wish = profile_wish(engines, profile=profile, nets=nets, export_profile=export_profile)
    settings = _settings(_scopes(scopes, method["batch"]), camera_hz=camera_hz, **method)
    gate = gate_of(baseline_paths, limit, allowed, each_stage=each_stage)
    gate.refuse_unlike(settings)
    if times_path is not None:
        refuse_without_times(len(engines), settings.scopes)
    refuse_unwritable(outputs)
    require_packages(reports)
    wish.check(engines)
    with _progress() as on_turn:
        frames = load_frames(source)
        report = run_benchmark(engines, frames, settings, on_turn=on_turn)
        report = wish.fulfilled(report, engines, frames, on_turn)
    print_report(report, Console())
    for path in reports:
        write_report(report, path)
        click.echo(f"wrote {path}", err=True)
    wish.write(report)
    if times_path is not None:
        _write_times(report, times_path)
    gate.judge(report)


def _write_times(report: Report, path: Path) -> None:
    from edgeseg.files import write_atomically
    from edgeseg.report.exports import exported

    write_atomically(path, exported(report, "trtexec-times"))
    click.echo(f"wrote {path}", err=True)


def _settings(scopes: tuple[Scope, ...], **method: Any) -> Settings:
    from edgeseg.report.record import Settings

    if method["camera_hz"] is not None and "end-to-end" not in scopes:
        raise click.UsageError("--camera-hz is of the scope end-to-end: add --scope end-to-end")
    try:
        return Settings(scopes=scopes, **method)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _scopes(names: tuple[str, ...], batch: int) -> tuple[Scope, ...]:
    """The scopes in the report's order; without a name what can be timed of such a batch."""
    from edgeseg.report.record import DEFAULT_SCOPES, SCOPES

    if not names:
        return DEFAULT_SCOPES if batch == 1 else ("frame-to-mask",)
    return tuple(scope for scope in SCOPES if scope in names)


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
