"""Own `edgeseg quantize`: words to options, result to text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from edgeseg.cli.calibration_options import calibration_options
from edgeseg.cli.console import progress_bar
from edgeseg.cli.promise_options import promise_options
from edgeseg.cli.source_options import source_options

if TYPE_CHECKING:
    from edgeseg.builder.measuring import CalibrationOptions
    from edgeseg.builder.promise import Promise
    from edgeseg.builder.source import SourceOptions
    from edgeseg.spec import BackendName


@click.command()
@click.argument("onnx", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="[default: ONNX with .int8.onnx]")
@click.option("--precision", type=click.Choice(["int8", "fp8"]), default="int8", show_default=True)
@calibration_options
@promise_options
@click.option(
    "--judge",
    type=click.Choice(["openvino", "tensorrt-rtx"]),
    help="Whose arithmetic --max-miou-drop is judged by; what does not run here is emulated.  [default: openvino]",
)
@click.option("--keep", multiple=True, metavar="NODE", help="A node that shall not be quantised; may be repeated.")
@source_options
def quantize(
    onnx: Path,
    out: Path | None,
    precision: Literal["int8", "fp8"],
    calibration: Callable[[], CalibrationOptions | None],
    promise: Callable[[Path | None], Promise | None],
    judge: BackendName | None,
    keep: tuple[str, ...],
    source: Callable[[], SourceOptions],
) -> None:
    """Calibrate and quantise ONNX on the host, for a device that has neither torch nor Model Optimizer.

    `edgeseg build-engine net.int8.onnx` builds an engine of the result on any back end.
    """
    from edgeseg.builder.quantizing import quantize_file
    from edgeseg.sidecars import sidecar_path

    given = calibration()
    if given is None:
        raise click.UsageError("give --calib-data FOLDER with about 32 typical frames")
    promised = promise(given.source)
    if judge and promised is None:
        raise click.UsageError("--judge does nothing without --max-miou-drop")
    target = out or onnx.with_suffix(f".{precision}.onnx")
    if target.suffix != ".onnx":
        raise click.UsageError(f"{target} is to be an ONNX file; name it {target.stem}.onnx")
    if target.resolve() == onnx.resolve():
        raise click.UsageError(f"{target} is the float32 net itself; give -o another name")
    notes: list[str] = []
    with progress_bar() as progress:
        spec = quantize_file(
            onnx,
            target,
            precision,
            given,
            source(),
            promise=promised,
            judge=judge or "openvino",
            kept=keep,
            progress=progress,
            note=notes.append,
        )
    for text in notes:
        click.echo(text)
    told = spec.precision
    if told is not None:
        click.echo(
            f"{target}: {target.stat().st_size / 1e6:.2f} MB, {told.quantised_layers} of {told.layers} layers in "
            f"{told.kind}, calibrated on {told.calibration_images} images ({told.calibration_method})\n"
            f"copy it and {sidecar_path(target).name}, then: edgeseg build-engine {target.name}"
        )
