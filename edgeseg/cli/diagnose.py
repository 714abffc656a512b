"""Own `edgeseg diagnose`: words to options, a ranking of nodes to a table and to reports."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.calibration_options import calibration_options
from edgeseg.cli.console import progress_bar, refuse_overwriting, refuse_unwritable
from edgeseg.cli.output_options import output_option
from edgeseg.cli.source_options import source_options

if TYPE_CHECKING:
    from edgeseg.builder.measuring import CalibrationOptions
    from edgeseg.builder.source import Source, SourceOptions
    from edgeseg.data import CalibrationSet
    from edgeseg.graph.qdq import QuantisedKind

__all__ = ["diagnose"]


@click.command()
@click.argument("onnx", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Frames to compare masks on, as for --calib-data; the calibration images without it.",
)
@click.option("--frames", type=click.IntRange(1), default=8, show_default=True, help="How many of them, evenly spread.")
@click.option(
    "--precision", type=click.Choice(["int8", "fp8"]), help="[default: what the file is quantised to, else int8]"
)
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="How many nodes to print.")
@output_option("--json", "json_path", (".json",), "Write all figures there: .json.")
@output_option(
    "--report",
    "report_path",
    (".html", ".png"),
    "Write a page with table and picture, .html, or the picture alone, .png.",
)
@calibration_options
@source_options
def diagnose(
    onnx: Path,
    data: Path | None,
    frames: int,
    precision: QuantisedKind | None,
    top: int,
    json_path: Path | None,
    report_path: Path | None,
    calibration: Callable[[], CalibrationOptions | None],
    source: Callable[[], SourceOptions],
) -> None:
    """Quantise each node of ONNX alone, and rank the nodes by what that changes of the masks.

    A float32 net is calibrated first, as by `edgeseg quantize`, and needs --calib-data. A net that is quantised already
    needs --data. No labels are needed.
    """
    from edgeseg.builder.diagnosing import diagnose as diagnosed
    from edgeseg.builder.measuring import measured
    from edgeseg.builder.source import open_source
    from edgeseg.report.environment import read_environment

    given, options = calibration(), source()
    outputs = [path for path in (json_path, report_path) if path is not None]
    _check_outputs(onnx, given, outputs)
    if given is None and data is None:
        raise click.UsageError("give --calib-data FOLDER for a float32 net, --data FOLDER for a quantised one")
    notes: list[str] = []
    net = open_source(onnx, options, note=notes.append)
    kind = _check_quantised(net, given, precision)
    chosen = _chosen(data, given, frames)
    environment = read_environment()
    with progress_bar() as progress:
        found = measured(
            net,
            kind,
            given,
            options,
            on_image=lambda count, total: progress(min(count / total, 1.0), "calibrate"),
            note=notes.append,
        )
        wanted = min(frames, len(chosen))
        result = diagnosed(
            found.master,
            net.spec,
            islice(chosen, frames),
            on_frame=lambda done: progress(min(done / wanted, 1.0), "diagnose"),
        )
    for note in notes:
        click.echo(note)
    from rich.console import Console

    from edgeseg.report.diagnosis import write_diagnosis
    from edgeseg.report.diagnosis_record import diagnosis_report
    from edgeseg.report.diagnosis_terminal import print_diagnosis

    report = diagnosis_report(
        result,
        net=onnx,
        onnx_sha256=net.spec.onnx_sha256,
        precision=kind,
        data=chosen.source,
        calibration_data=None if given is None else given.source,
        environment=environment,
    )
    print_diagnosis(report, Console(), top=top)
    for path in outputs:
        write_diagnosis(report, path)
        click.echo(f"wrote {path}", err=True)


def _check_outputs(onnx: Path, given: CalibrationOptions | None, outputs: list[Path]) -> None:
    """Find out before the work what would fail after it, or take the place of what the work stands on."""
    from edgeseg.builder.measuring import calibration_path
    from edgeseg.report.diagnosis import require_diagnosis_packages

    kept = calibration_path(onnx) if given is None or given.file is None else given.file
    taken = [path for path in outputs if path.resolve() == kept.resolve()]
    if taken:
        raise click.UsageError(f"'{taken[0]}' is where the calibration is kept: choose another name")
    refuse_overwriting([onnx], outputs)
    refuse_unwritable(outputs)
    require_diagnosis_packages(outputs)


def _check_quantised(net: Source, given: CalibrationOptions | None, precision: QuantisedKind | None) -> QuantisedKind:
    """What is there decides whether calibration images are needed or of no use; what the layers become."""
    if net.quantisation is None:
        if given is None:
            raise click.UsageError(f"{net.path} is a float32 net: give --calib-data FOLDER to calibrate it on")
        return precision or "int8"
    if given is not None:
        raise click.UsageError(f"{net.path} is quantised already: give --data instead of --calib-data")
    kind = net.quantisation.kind
    if precision not in (None, kind):
        raise click.UsageError(f"{net.path} is quantised to {kind}: leave --precision {precision} out")
    return kind


def _chosen(data: Path | None, given: CalibrationOptions | None, frames: int) -> CalibrationSet:
    """The frames, ``frames`` of them from first to last or a few more."""
    from edgeseg.data import CalibrationSet

    skip_bad = given is not None and given.skip_bad
    if data is not None:
        where, every = data, 1
    elif given is not None:
        where, every = given.source, given.every
    else:
        raise click.UsageError("give --data FOLDER, for the net is quantised already")
    whole = CalibrationSet(where, every=every, skip_bad=skip_bad)
    return CalibrationSet(where, every=every * max(len(whole) // frames, 1), skip_bad=skip_bad)
