"""Own `edgeseg build-engine`: words to options, result to text."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from edgeseg.cli.console import SizeHW, progress_bar
from edgeseg.cli.frame_options import FrameWords, frame_options


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
@click.option("--input-size", type=SizeHW(), help="Which size of a dynamic net; its optimum without it.")
@click.option("--output", help="Name of the output, where the graph has several.")
@click.option("--keep-tail", is_flag=True, help="Leave Resize, Softmax and ArgMax at the net's end in the engine.")
@click.option(
    "--fold-normalisation",
    "--fold-normalization",
    is_flag=True,
    help="Let the engine take uint8 pixels and normalise them itself.",
)
@click.option("--labels", type=click.Path(path_type=Path), help="JSON of class names and colours; without a sidecar.")
@click.option("--classes", type=click.IntRange(1, 255), help="Expected number of classes; without a sidecar.")
@frame_options
def build_engine(
    onnx: Path,
    out: Path | None,
    backend: Literal["auto", "tensorrt", "tensorrt-rtx", "openvino"],
    precision: Literal["fp32", "fp16", "int8"],
    calib_data: Path | None,
    calib_method: Literal["max", "entropy"] | None,
    input_size: tuple[int, int] | None,
    output: str | None,
    keep_tail: bool,
    fold_normalisation: bool,
    labels: Path | None,
    classes: int | None,
    frame: FrameWords,
) -> None:
    """Build an engine out of ONNX and the sidecar that `edgeseg export` wrote beside it.

    An ONNX file of any other origin has no sidecar: say with --mean, --std, --colour, --resize, --interpolation and
    --labels what the net was trained with.
    """
    from edgeseg.builder.backends import best_backend
    from edgeseg.builder.build import BuildOptions, ReadyModel
    from edgeseg.builder.build import build_engine as build
    from edgeseg.graph.preparing import PrepareOptions

    if precision != "int8" and (calib_data or calib_method):
        raise click.UsageError(f"--calib-data and --calib-method do nothing for --precision {precision}")
    if precision == "int8" and calib_data is None:
        raise click.UsageError("--precision int8 needs --calib-data FOLDER with about 32 typical frames")
    target = out or onnx.with_suffix(".engine")
    if target.suffix in (".onnx", ".json"):
        raise click.UsageError(
            f"{target} would take the place of a model or a sidecar; name the engine {target.stem}.engine"
        )
    ready = ReadyModel(frame=frame.over(), labels=labels, classes=classes)
    options = BuildOptions(
        backend=best_backend() if backend == "auto" else backend,
        precision=precision,
        calibration_folder=calib_data,
        calibration_method=calib_method or "max",
        prepare=PrepareOptions(
            size_hw=input_size, output=output, keep_tail=keep_tail, fold_normalisation=fold_normalisation
        ),
        ready=ready if frame or labels or classes else None,
    )
    notes: list[str] = []
    with progress_bar() as progress:
        spec = build(onnx, target, options, progress=progress, note=notes.append)
    for text in notes:
        click.echo(text)
    image, head = spec.model.input, spec.model.head
    click.echo(
        f"{target}: {spec.plan_bytes / 1e6:.2f} MB, {precision}, {spec.backend} {spec.backend_version}, {spec.device}\n"
        f"{image.dtype} {image.shape} -> {head.dtype} {head.shape}"
    )
    if spec.precision.kind == "int8":
        click.echo(f"calibrated on {spec.precision.calibration_images} images ({spec.precision.calibration_method})")
