"""Own `edgeseg evaluate`: words to options, accuracy to a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.console import count_bar

if TYPE_CHECKING:
    from edgeseg.accuracy import EngineAccuracy


@click.command()
@click.argument("engines", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with images/ and labels/.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures there too.")
def evaluate(engines: tuple[Path, ...], data: Path, json_path: Path | None) -> None:
    """Measure engines on labelled frames, side by side; agreement is with the first engine's masks."""
    import msgspec

    from edgeseg.accuracy import evaluate_engines
    from edgeseg.data import LabelledSet
    from edgeseg.files import write_atomically

    labelled = LabelledSet(data)
    with count_bar("frames", total=len(labelled)) as show:
        results = evaluate_engines(engines, labelled, on_frame=show)
    if json_path is not None:
        write_atomically(json_path, msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    _print(results)


def _print(results: list[EngineAccuracy]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{results[0].frames} labelled frames, percent", show_footer=False)
    table.add_column("")
    for one in results:
        table.add_column(f"{Path(one.engine).name}\n{one.precision} {one.backend}", justify="right")
    rows = {
        "mIoU": [one.accuracy.miou for one in results],
        "mean accuracy": [one.accuracy.mean_accuracy for one in results],
        "pixel accuracy": [one.accuracy.pixel_accuracy for one in results],
        "equal to the first": [one.agreement for one in results],
    }
    for name, values in rows.items():
        table.add_row(name, *(f"{value * 100:.2f}" for value in values))
    table.add_section()
    for index, name in enumerate(results[0].classes):
        table.add_row(f"IoU {name}", *(f"{one.accuracy.iou[index] * 100:.2f}" for one in results))
    Console().print(table)
