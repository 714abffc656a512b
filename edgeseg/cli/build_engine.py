"""Own `edgeseg build-engine`: words to options, result to text."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from edgeseg.cli.console import progress_bar


@click.command("build-engine")
@click.argument("onnx", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The engine file; ONNX with .engine without it.")
@click.option(
    "--backend",
    type=click.Choice(["auto", "tensorrt", "tensorrt-rtx", "openvino"]),
    default="auto",
    show_default=True,
    help="auto: TensorRT where a GPU works, else OpenVINO on the CPU.",
)
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), default="fp32", show_default=True)
@click.option("--calib-data", type=click.Path(path_type=Path), help="Folder of typical images, for int8.")
@click.option(
    "--calib-method",
    type=click.Choice(["max", "entropy"]),
    help="How ranges are taken from the images.  [default: max]",
)
def build_engine(
    onnx: Path,
    out: Path | None,
    backend: Literal["auto", "tensorrt", "tensorrt-rtx", "openvino"],
    precision: Literal["fp32", "fp16", "int8"],
    calib_data: Path | None,
    calib_method: Literal["max", "entropy"] | None,
) -> None:
    """Build an engine out of ONNX and the sidecar that `edgeseg export` wrote beside it."""
    from edgeseg.builder.backends import best_backend
    from edgeseg.builder.build import BuildOptions
    from edgeseg.builder.build import build_engine as build

    if precision != "int8" and (calib_data or calib_method):
        raise click.UsageError(f"--calib-data and --calib-method do nothing for --precision {precision}")
    if precision == "int8" and calib_data is None:
        raise click.UsageError("--precision int8 needs --calib-data FOLDER with about 32 typical frames")
    target = out or onnx.with_suffix(".engine")
    if target.suffix in (".onnx", ".json"):
        raise click.UsageError(
            f"{target} would take the place of a model or a sidecar; name the engine {target.stem}.engine"
        )
    chosen = best_backend() if backend == "auto" else backend
    options = BuildOptions(
        backend=chosen, precision=precision, calibration_folder=calib_data, calibration_method=calib_method or "max"
    )
    with progress_bar() as progress:
        spec = build(onnx, target, options, progress=progress)
    click.echo(
        f"{target}: {spec.plan_bytes / 1e6:.2f} MB, {precision}, {spec.backend} {spec.backend_version}, {spec.device}"
    )
    if spec.precision.kind == "int8":
        click.echo(f"calibrated on {spec.precision.calibration_images} images ({spec.precision.calibration_method})")
