"""Own `edgeseg export`: words to options, result to text."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Literal

import click

from edgeseg.cli.console import SizeHW

IMAGENET_MEAN, IMAGENET_STD = "0.485,0.456,0.406", "0.229,0.224,0.225"


class Numbers(click.ParamType[tuple[float, ...]]):
    """``0.5,0.4,0.3``"""

    name = "NUMBERS"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is no list of numbers such as {IMAGENET_MEAN}", param, ctx)


@click.command()
@click.argument("model")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The ONNX file to write.")
@click.option("--input-size", type=SizeHW(), required=True, help="What the net takes, height x width: 512x1024.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights: .safetensors, or a saved state dict.")
@click.option("--arg", "arguments", multiple=True, metavar="NAME=VALUE", help="Argument of the factory (repeatable).")
@click.option("--labels", type=click.Path(path_type=Path), help="JSON of class names and colours.")
@click.option("--classes", type=click.IntRange(1, 255), help="Expected number of classes; checked.")
@click.option("--mean", type=Numbers(), default=IMAGENET_MEAN, show_default=True, help="Of pixels scaled to 0..1.")
@click.option("--std", type=Numbers(), default=IMAGENET_STD, show_default=True, help="Of pixels scaled to 0..1.")
@click.option("--colour", type=click.Choice(["RGB", "BGR", "GRAY"]), default="RGB", show_default=True)
@click.option(
    "--resize",
    type=click.Choice(["stretch", "letterbox", "crop"]),
    default="stretch",
    show_default=True,
    help="How frames are fitted to the input, as in training.",
)
@click.option(
    "--interpolation",
    type=click.Choice(["linear", "antialias"]),
    default="linear",
    show_default=True,
    help="linear: cv2's and torch's; antialias: Pillow's and torchvision's.",
)
@click.option("--pad-value", type=click.FloatRange(0, 255), help="Grey level around a letterbox.  [default: 0]")
@click.option("--output", help="Key or index of the logits where the net returns several tensors.")
@click.option("--opset", type=click.IntRange(17, 23), default=19, show_default=True, help="ONNX operator set.")
@click.option("--sample", type=click.Path(path_type=Path), help="Picture for the comparison with PyTorch.")
def export(
    model: str,
    out: Path,
    input_size: tuple[int, int],
    checkpoint: Path | None,
    arguments: tuple[str, ...],
    labels: Path | None,
    classes: int | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    colour: Literal["RGB", "BGR", "GRAY"],
    resize: Literal["stretch", "letterbox", "crop"],
    interpolation: Literal["linear", "antialias"],
    pad_value: float | None,
    output: str | None,
    opset: int,
    sample: Path | None,
) -> None:
    """Export a PyTorch net to ONNX, checked against PyTorch on a real picture.

    MODEL is package.module:factory or file.py:Class.
    """
    from edgeseg.data import shipped_data
    from edgeseg.export.loading import load_checkpoint, load_module
    from edgeseg.export.onnx_export import ExportOptions, export_model
    from edgeseg.imaging.images import read_image
    from edgeseg.imaging.palettes import labels_for

    if out.suffix != ".onnx":
        raise click.UsageError(f"{out} must end in .onnx")
    if len(mean) != len(std) or len(mean) != (1 if colour == "GRAY" else 3):
        raise click.UsageError(f"{colour} takes {1 if colour == 'GRAY' else 3} values of --mean and of --std")
    if pad_value is not None and resize != "letterbox":
        raise click.UsageError(f"--pad-value does nothing for --resize {resize}")
    if checkpoint is None:
        click.echo("edgeseg export: warning: no --checkpoint: the weights are what the factory makes", err=True)
    sample_bgr = read_image(sample or shipped_data() / "validation" / "images" / "0000.jpg")
    module = load_module(model, dict(_argument(word) for word in arguments))
    if checkpoint is not None:
        load_checkpoint(module, checkpoint)
    options = ExportOptions(
        size_hw=input_size,
        colour=colour,
        mean=mean,
        std=std,
        resize=resize,
        interpolation=interpolation,
        pad_value=pad_value or 0.0,
        output=output,
        opset=opset,
    )
    result = export_model(
        module, out, options, labels=lambda count: labels_for(count, labels, expected=classes), sample_bgr=sample_bgr
    )
    spec = result.spec
    click.echo(
        f"{out}: {result.onnx_bytes / 1e6:.2f} MB, {spec.input.shape} -> {spec.head.shape}, opset {opset}\n"
        f"parity with PyTorch: largest logit error {result.parity.relative_error:.1e} of the largest logit, "
        f"{result.parity.mask_agreement:.3%} of the mask equal"
    )


def _argument(word: str) -> tuple[str, object]:
    """``width=32`` as a number, ``name=resnet`` as text."""
    name, equals, text = word.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--arg '{word}' is not NAME=VALUE")
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return name, text
