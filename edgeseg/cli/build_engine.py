"""Own `edgeseg build-engine`: words to options, result to text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from edgeseg.cli.calibration_options import calibration_options
from edgeseg.cli.console import TrtexecOption, progress_bar, refuse_unwritable
from edgeseg.cli.figures import profile_words, scaled
from edgeseg.cli.promise_options import promise_options
from edgeseg.cli.shape_options import ScoresDtype, shape_options
from edgeseg.cli.source_options import source_options
from edgeseg.cli.tensorrt_options import tensorrt_options
from edgeseg.cli.verify_options import verify_options

if TYPE_CHECKING:
    from edgeseg.builder.backends.tensorrt import TensorRTOptions
    from edgeseg.builder.build_options import BuildOptions, VerifyOptions
    from edgeseg.builder.measuring import CalibrationOptions
    from edgeseg.builder.promise import Promise
    from edgeseg.builder.source import SourceOptions
    from edgeseg.spec import BackendName, EngineSpec, PrecisionKind, ProfileSpec


@click.command("build-engine")
@click.argument("onnx", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    "--saveEngine",
    cls=TrtexecOption,
    type=click.Path(path_type=Path),
    help="The engine file; ONNX with .engine without it.",
)
@click.option(
    "--backend",
    type=click.Choice(["auto", "tensorrt", "tensorrt-rtx", "openvino"]),
    default="auto",
    show_default=True,
    help="auto: TensorRT where a GPU works, else OpenVINO on the CPU.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "bf16", "int8", "fp8"]),
    help="[default: what 'edgeseg quantize' made of the file, else fp32]",
)
@calibration_options
@promise_options
@click.option("--keep", multiple=True, metavar="NODE", help="A node that int8 shall leave alone; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option("--force", is_flag=True, help="Build although an engine of the same inputs is there.")
@verify_options
@source_options
@shape_options
@tensorrt_options
def build_engine(
    onnx: Path,
    out: Path | None,
    backend: Literal["auto", "tensorrt", "tensorrt-rtx", "openvino"],
    precision: PrecisionKind | None,
    calibration: Callable[[], CalibrationOptions | None],
    promise: Callable[[Path | None], Promise | None],
    keep: tuple[str, ...],
    dry_run: bool,
    force: bool,
    verify: Callable[[CalibrationOptions | None], VerifyOptions | None],
    source: Callable[[], SourceOptions],
    profiles: Callable[[Path, SourceOptions], tuple[ProfileSpec, ...]],
    scores: ScoresDtype,
    tensorrt: Callable[[BackendName], TensorRTOptions | None],
) -> None:
    """Build an engine out of ONNX and the sidecar that `edgeseg export` wrote beside it.

    An ONNX file of any other origin has no sidecar: say with --mean, --std, --colour, --resize, --interpolation and
    --labels what the net was trained with.
    """
    from edgeseg.builder.backends import best_backend
    from edgeseg.builder.build_options import BuildOptions

    target = out or onnx.with_suffix(".engine")
    if target.suffix in (".onnx", ".json"):
        raise click.UsageError(
            f"{target} would take the place of a model or a sidecar; name the engine {target.stem}.engine"
        )
    refuse_unwritable([target])
    images = calibration()
    chosen: BackendName = best_backend() if backend == "auto" else backend
    prepared = source()
    options = BuildOptions(
        backend=chosen,
        precision=precision,
        calibration=images,
        source=prepared,
        promise=promise(images.source if images else None),
        kept=keep,
        profiles=profiles(onnx, prepared),
        scores=scores,
        tensorrt=tensorrt(chosen),
        verify=verify(images),
        is_forced=force,
    )
    (_plan if dry_run else _build)(onnx, target, options)


def _plan(onnx: Path, target: Path, options: BuildOptions) -> None:
    from edgeseg.builder.work_plan import work_plan

    for line in work_plan(onnx, target, options):
        click.echo(line)


def _build(onnx: Path, target: Path, options: BuildOptions) -> None:
    from edgeseg.builder.build import build_engine

    notes: list[str] = []
    with progress_bar() as progress:
        spec = build_engine(onnx, target, options, progress=progress, note=notes.append)
    for text in notes:
        click.echo(text)
    click.echo(f"{target}: {_engine_words(spec)}")


def _engine_words(spec: EngineSpec) -> str:
    """What was built, for whom, and how much of it is quantised; a few lines."""
    image, head, precision = spec.model.input, spec.model.head, spec.precision
    lines = [
        f"{scaled(spec.plan_bytes, 'B')}, {precision.kind}, {spec.backend} {spec.backend_version}, {spec.device}",
        f"{image.dtype} {image.shape} -> {head.dtype} {head.shape}",
    ]
    lines += [f"profile {index}: {profile_words(profile)}" for index, profile in enumerate(spec.profiles)]
    if precision.quantised_layers:
        lines.append(
            f"{precision.quantised_layers} of {precision.layers} layers in {precision.kind}, the rest in "
            f"{precision.high_precision}; calibrated on {precision.calibration_images} images "
            f"({precision.calibration_method})"
        )
    return "\n".join(lines)
