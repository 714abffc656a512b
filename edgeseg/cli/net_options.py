"""Own what `edgeseg export` makes of its words: the net's image and its weights. Export nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from edgeseg.cli.frame_options import FrameWords

if TYPE_CHECKING:
    from edgeseg.export.factories import Loaded
    from edgeseg.spec import FrameOptions, InputSpec

__all__ = ["Weights", "frame_lines", "given_word", "image_of"]

Word = TypeVar("Word")


def given_word(name: str, value: Word | None, hint: str) -> Word:
    """The value of the running command's argument or option ``name``, which only ``--list`` does without.

    Raises:
        click.MissingParameter: it was not given.
    """
    if value is not None:
        return value
    context = click.get_current_context()
    (parameter,) = (one for one in context.command.params if one.name == name)
    raise click.MissingParameter(hint, ctx=context, param=parameter)


def image_of(
    model: str, arguments: Mapping[str, object], size_hw: tuple[int, int] | None, frame: FrameWords
) -> tuple[tuple[int, int], FrameOptions]:
    """The size of the net's image, and what frames become before they enter; a built-in net knows both.

    Raises:
        click.UsageError: the size is missing, or the frames' colour contradicts the net.
        ModelError: there is no such built-in net, or it takes other channels than frames have.
    """
    from edgeseg.export.catalogue import find_built_in, is_bare_name

    if is_bare_name(model):
        built_in = find_built_in(model)
        base = built_in.frame_for(arguments)
        _check_colour(model, frame.given.get("colour", base.colour), built_in.channels_for(arguments))
        return size_hw or built_in.size_hw, frame.over(base)
    if size_hw is None:
        raise click.UsageError("--input-size says what the net takes, height x width: --input-size 512x1024")
    return size_hw, frame.over()


def _check_colour(model: str, colour: str, channels: int) -> None:
    of_frame = 1 if colour == "GRAY" else 3
    if of_frame != channels:
        raise click.UsageError(
            f"--colour {colour} makes images of {of_frame} channel(s), and this {model} takes {channels}: "
            f"leave it out, or give --arg in_channels={of_frame}"
        )


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The files of weights that were named.

    Args:
        checkpoint: of the whole net.
        backbone: of its backbone alone.
        key: where in the file.
    Raises:
        click.UsageError: they do not go together.
    """

    checkpoint: Path | None
    backbone: Path | None
    key: str | None

    def __post_init__(self) -> None:
        if self.checkpoint and self.backbone:
            raise click.UsageError("--checkpoint holds the backbone too: leave --backbone-checkpoint out")
        if self.key and not (self.checkpoint or self.backbone):
            raise click.UsageError("--weights-key does nothing without --checkpoint or --backbone-checkpoint")

    def load_into(self, loaded: Loaded, *, expected_classes: int | None) -> list[str]:
        """Load what was named, and give the sentences for the user.

        Raises:
            ModelError: the weights do not fit.
        """
        from edgeseg.export.backbones import load_backbone, load_whole

        if self.checkpoint:
            return [*load_whole(loaded, self.checkpoint, weights_key=self.key, expected_classes=expected_classes)]
        if self.backbone:
            notes = load_backbone(loaded.net, self.backbone, weights_key=self.key)
            return [*notes, "no --checkpoint: all but the backbone's weights are what the factory makes"]
        return [] if loaded.has_weights else ["no --checkpoint: the weights are what the factory makes"]


def frame_lines(image: InputSpec) -> Iterator[str]:
    """What frames are taken as, where that is not ImageNet's usual."""
    from edgeseg.spec import FrameOptions

    usual = FrameOptions()
    if (image.colour, image.mean, image.std) != (usual.colour, usual.mean, usual.std):
        yield f"frames are taken as {image.colour}, mean {_numbers(image.mean)}, std {_numbers(image.std)}"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{one:.4g}" for one in values)
