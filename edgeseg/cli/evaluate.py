"""Own `edgeseg evaluate`: words to options, accuracy to a table and to reports."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.console import count_bar, refuse_overwriting, refuse_unwritable
from edgeseg.cli.output_options import output_option

if TYPE_CHECKING:
    from edgeseg.data import LAYOUTS
    from edgeseg.runtime.session import Session

__all__ = ["evaluate"]

#: those of ``edgeseg.data.LAYOUTS``, which --help does not wait for; a test holds them equal
LAYOUT_NAMES = ("auto", "plain", "cityscapes", "cityscapes-ids", "voc", "ade20k", "camvid")


@click.command()
@click.argument("engines", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of the labelled frames.")
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    help="ONNX file to agree with, run in FP32 on the CPU; the first engine without it.",
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUT_NAMES),
    default="auto",
    show_default=True,
    help="How the folder is laid out; plain is images/ and labels/.",
)
@click.option("--split", help="Part of the data set: val, test, ...; what the layout takes for judging without it.")
@click.option(
    "--ignore",
    type=click.IntRange(0, 255),
    help="Label id that does not count; what the layout, else the model says without it.",
)
@click.option("--skip-bad", is_flag=True, help="Pass over frames that cannot be read or lack a label, and name them.")
@output_option("--json", "json_path", (".json",), "Write all figures there: .json.")
@output_option(
    "--report",
    "report_path",
    (".html",),
    "Write a page with confusion matrix and worst frames: .html.",
)
def evaluate(
    engines: tuple[Path, ...],
    data: Path,
    reference: Path | None,
    layout: LAYOUTS,
    split: str | None,
    ignore: int | None,
    skip_bad: bool,
    json_path: Path | None,
    report_path: Path | None,
) -> None:
    """Measure engines on labelled frames, side by side.

    Shares are of all frames together, at the frames' own size. The latencies are as run here, one frame in flight.
    """
    from rich.console import Console

    from edgeseg.accuracy import evaluate_engines
    from edgeseg.data import LabelledSet
    from edgeseg.report.accuracy_html import write_accuracy_html
    from edgeseg.report.accuracy_record import accuracy_report, write_accuracy_json
    from edgeseg.report.accuracy_terminal import print_accuracy
    from edgeseg.report.environment import read_environment
    from edgeseg.report.output import require_packages

    outputs = [path for path in (json_path, report_path) if path is not None]
    refuse_overwriting([*engines, *([reference] if reference else [])], outputs)
    refuse_unwritable(outputs)
    require_packages(outputs)
    labelled = LabelledSet(data, layout=layout, split=split, skip_bad=skip_bad)
    environment = read_environment()
    with ExitStack() as stack:
        session = stack.enter_context(_reference_session(reference, engines[0])) if reference else None
        show = stack.enter_context(count_bar("frames", total=len(labelled)))
        found = evaluate_engines(
            engines,
            labelled,
            reference=session,
            reference_name=reference.name if reference else None,
            ignore=ignore,
            on_frame=show,
        )
    report = accuracy_report(found, labelled, environment)
    print_accuracy(report, Console())
    if json_path is not None:
        write_accuracy_json(report, json_path)
    if report_path is not None:
        write_accuracy_html(report, found, report_path)
    for path in outputs:
        click.echo(f"wrote {path}", err=True)


def _reference_session(onnx_path: Path, engine_path: Path) -> Session:
    from edgeseg.builder.reference import reference_session
    from edgeseg.sidecars import read_engine_spec

    spec, _ = read_engine_spec(engine_path)
    return reference_session(onnx_path, like=spec.model, note=lambda text: click.echo(text, err=True))
