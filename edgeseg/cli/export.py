"""Own `edgeseg export`: words to options, result to text."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.console import SizeHW
from edgeseg.cli.frame_options import FrameWords, frame_options
from edgeseg.cli.net_list import print_nets, refuse_company
from edgeseg.cli.net_options import Weights, frame_lines, given_word, image_of

if TYPE_CHECKING:
    from edgeseg.export.parity import Parity
    from edgeseg.spec import ProfileSpec

Size = tuple[int, int]


@click.command()
@click.argument("model", required=False, metavar="MODEL")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The ONNX file to write.  [required]")
@click.option("--list", "lists_nets", is_flag=True, help="Show the built-in nets, and do nothing else.")
@click.option(
    "--input-size", type=SizeHW(), help="What the net takes, height x width: 512x1024; built-in nets know it."
)
@click.option("--min-size", type=SizeHW(), help="Smallest size, where height and width stay free.")
@click.option("--max-size", type=SizeHW(), help="Largest size, where height and width stay free.")
@click.option("--size-step", type=click.IntRange(1), help="Free heights and widths are multiples of this.")
@click.option("--max-batch", type=click.IntRange(1), help="Largest batch, where the batch stays free.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights: .safetensors, .pt, .pth, .ckpt.")
@click.option(
    "--backbone-checkpoint",
    type=click.Path(path_type=Path),
    help="A classifier's published weights, for a built-in net's backbone alone.",
)
@click.option("--weights-key", help="Where in the checkpoint the weights are, such as model_ema.")
@click.option("--arg", "arguments", multiple=True, metavar="NAME=VALUE", help="Argument of the factory (repeatable).")
@click.option("--labels", type=click.Path(path_type=Path), help="JSON of class names and colours.")
@click.option("--classes", type=click.IntRange(1, 255), help="Expected number of classes; checked.")
@frame_options
@click.option("--output", help="Key or index of the scores where the net returns several tensors.")
@click.option("--opset", type=click.IntRange(17, 23), default=19, show_default=True, help="ONNX operator set.")
@click.option("--sample", type=click.Path(path_type=Path), help="Picture for the comparison with PyTorch.")
def export(
    model: str | None,
    out: Path | None,
    lists_nets: bool,
    input_size: Size | None,
    min_size: Size | None,
    max_size: Size | None,
    size_step: int | None,
    max_batch: int | None,
    checkpoint: Path | None,
    backbone_checkpoint: Path | None,
    weights_key: str | None,
    arguments: tuple[str, ...],
    labels: Path | None,
    classes: int | None,
    frame: FrameWords,
    output: str | None,
    opset: int,
    sample: Path | None,
) -> None:
    """Export a PyTorch net to ONNX, checked against PyTorch on a real picture.

    MODEL is a built-in net's name, which knows its input size (--list shows them); package.module:factory or
    file.py:Class; torchvision:NAME, smp:NAME (segmentation_models_pytorch) or transformers:FOLDER where those packages
    are installed; or a file of torch.export (.pt2) or TorchScript.
    """
    from edgeseg.data import shipped_data
    from edgeseg.export.loading import load_net
    from edgeseg.export.onnx_export import ExportOptions, export_model
    from edgeseg.imaging.images import read_image
    from edgeseg.imaging.palettes import labels_for

    if lists_nets:
        refuse_company("--list")
        print_nets()
        return
    model = given_word("model", model, "'edgeseg export --list' shows the built-in nets.")
    out = given_word("out", out, "Write -o net.onnx.")
    if out.suffix != ".onnx":
        raise click.UsageError(f"{out} must end in .onnx")
    weights = Weights(checkpoint=checkpoint, backbone=backbone_checkpoint, key=weights_key)
    given = dict(_argument(word) for word in arguments)
    size_hw, taken = image_of(model, given, input_size, frame)
    profile = _profile(size_hw, min_size, max_size, size_step, max_batch)
    sample_bgr = read_image(sample or shipped_data() / "validation" / "images" / "0000.jpg")
    loaded = load_net(model, given)
    notes = [*loaded.notes, *weights.load_into(loaded, expected_classes=classes)]
    result = export_model(
        loaded.net,
        out,
        ExportOptions(size_hw=size_hw, frame=taken, output=output, opset=opset, profile=profile),
        labels=lambda count: labels_for(count, labels, expected=classes),
        sample_bgr=sample_bgr,
    )
    for note in (*notes, *result.notes):
        click.echo(f"edgeseg export: warning: {note}", err=True)
    spec = result.spec
    click.echo(
        f"{out}: {result.onnx_bytes / 1e6:.2f} MB, {spec.input.shape} -> {spec.head.dtype} {spec.head.shape}, "
        f"opset {opset}"
    )
    for line in (*frame_lines(spec.input), *_parity_lines(result.parity)):
        click.echo(line)


def _profile(
    size: Size, min_size: Size | None, max_size: Size | None, step: int | None, max_batch: int | None
) -> ProfileSpec | None:
    """What stays free: a bound that is not given is the size itself."""
    from edgeseg.spec import ProfileSpec

    if not (min_size or max_size or max_batch):
        if step:
            raise click.UsageError("--size-step does nothing without --min-size or --max-size")
        return None
    try:
        return ProfileSpec(
            minimum=(1, *(min_size or size)),
            optimum=(1, *size),
            maximum=(max_batch or 1, *(max_size or size)),
            step_hw=(step or 1, step or 1),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _parity_lines(parity: Parity) -> list[str]:
    lines = []
    for one in parity.entries:
        error = "" if one.relative_error is None else f"largest error {one.relative_error:.1e} of the largest score, "
        sensitive = " (rounding moves scores of this net: float32 is as far from float64)" if one.is_sensitive else ""
        lines.append(f"parity with PyTorch, {one.name}: {error}{one.mask_agreement:.3%} of the mask equal{sensitive}")
    return lines


def _argument(word: str) -> tuple[str, object]:
    """``width=32`` as a number, ``name=resnet`` as text."""
    name, equals, text = word.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--arg '{word}' is not NAME=VALUE")
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return name, text
