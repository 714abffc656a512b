"""Own `edgeseg sweep`: words to a request, steps and the table to the terminal. Build and measure nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from edgeseg.cli.calibration_options import calibration_options
from edgeseg.cli.console import SizeHW

if TYPE_CHECKING:
    from edgeseg.builder.measuring import CalibrationOptions
    from edgeseg.report.sweep_record import Sweep
    from edgeseg.spec import PrecisionKind

__all__ = ["sweep"]


@click.command()
@click.argument("nets", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of engines and reports.")
@click.option(
    "--input-size", "sizes", multiple=True, type=SizeHW(), help="A size of dynamic nets; each net's own without it."
)
@click.option(
    "--precision", "precisions", multiple=True, default=["fp32"], show_default=True,
    type=click.Choice(["fp32", "fp16", "bf16", "int8", "fp8"]), help="The first is what the others are compared with.",
)  # fmt: skip
@click.option(
    "--batch", "batches", multiple=True, default=[1], show_default=True, type=click.IntRange(1),
    help="Frames in one run of the engine (TensorRT).",
)  # fmt: skip
@click.option(
    "--threads", "threads", multiple=True, type=click.IntRange(1), help="Of a CPU engine; all cores without it."
)
@click.option(
    "--backend", type=click.Choice(["auto", "tensorrt", "tensorrt-rtx", "openvino"]), default="auto", show_default=True,
    help="auto: TensorRT where a GPU works, else OpenVINO on the CPU.",
)  # fmt: skip
@calibration_options
@click.option("--source", help="Where frames come from; a shipped picture without it.")
@click.option("--duration-s", default=3.0, show_default=True, help="Least time of every engine in every combination.")
@click.option("--iterations", default=10, show_default=True, help="Fewest iterations, likewise.")
def sweep(
    nets: tuple[Path, ...],
    out: Path,
    sizes: tuple[tuple[int, int], ...],
    precisions: tuple[PrecisionKind, ...],
    batches: tuple[int, ...],
    threads: tuple[int, ...],
    backend: Literal["auto", "tensorrt", "tensorrt-rtx", "openvino"],
    calibration: Callable[[], CalibrationOptions | None],
    source: str | None,
    duration_s: float,
    iterations: int,
) -> None:
    """Build and time NETS at every size, precision, batch and number of threads; one table.

    All options but the folder may be given several times. What is there of the same inputs is kept: after a stop the
    same line goes on where it was.
    """
    from edgeseg.builder.backends import best_backend
    from edgeseg.builder.build_options import BuildOptions
    from edgeseg.report.frames import load_frames
    from edgeseg.report.record import Settings
    from edgeseg.sweep import SweepRequest, run_sweep

    try:
        settings = Settings(scopes=("frame-to-mask",), duration_s=duration_s, iterations=iterations)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    request = SweepRequest(
        nets=nets,
        out=out,
        sizes_hw=sizes,
        precisions=precisions,
        batches=batches,
        threads=threads or (None,),
        build=BuildOptions(backend=best_backend() if backend == "auto" else backend, calibration=calibration()),
        settings=settings,
    )
    found = run_sweep(request, load_frames(source), tell=lambda text: click.echo(text, err=True))
    _show(found)
    click.echo(f"wrote {out / 'sweep.json'} and {out / 'sweep.md'}", err=True)
    if found.failures:
        raise click.exceptions.Exit(1)


def _show(found: Sweep) -> None:
    from rich.console import Console

    from edgeseg.report.sweep_record import COLUMNS, about, cells
    from edgeseg.report.terminal import fitted

    if found.rows:
        console = Console()
        console.print(fitted(COLUMNS, [cells(row) for row in found.rows], console))
        click.echo(about(found))
    for one in found.failures:
        click.echo(f"not done: {one.what}: {one.reason}", err=True)
