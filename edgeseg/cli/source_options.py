"""Own the options that say what becomes of an ONNX file before anything is made of it. Do no work."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.console import SizeHW
from edgeseg.cli.frame_options import FrameWords, frame_options

if TYPE_CHECKING:
    from edgeseg.builder.source import SourceOptions

__all__ = ["source_options"]

NAMES = ("input_size", "output", "keep_tail", "fold_normalisation", "labels", "classes")
OPTIONS = (
    click.option("--input-size", type=SizeHW(), help="Which size of a dynamic net; its optimum without it."),
    click.option("--output", help="Name of the output, where the graph has several."),
    click.option("--keep-tail", is_flag=True, help="Leave Resize, Softmax and ArgMax at the net's end in the engine."),
    click.option(
        "--fold-normalisation",
        "--fold-normalization",
        is_flag=True,
        help="Let the engine take uint8 pixels and normalise them itself.",
    ),
    click.option(
        "--labels", type=click.Path(path_type=Path), help="JSON of class names and colours; without a sidecar."
    ),
    click.option("--classes", type=click.IntRange(1, 255), help="Expected number of classes; without a sidecar."),
)


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command gets them as ``source``, a function that makes SourceOptions of them."""

    @frame_options
    @functools.wraps(command)
    def wrapped(frame: FrameWords, **words: Any) -> None:
        given = {name: words.pop(name) for name in NAMES}
        command(source=lambda: _options(frame, **given), **words)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _options(
    frame: FrameWords,
    *,
    input_size: tuple[int, int] | None,
    output: str | None,
    keep_tail: bool,
    fold_normalisation: bool,
    labels: Path | None,
    classes: int | None,
) -> SourceOptions:
    """A function's, so that the builder is imported when a command runs and not when it is looked up."""
    from edgeseg.builder.source import ReadyModel, SourceOptions
    from edgeseg.graph.preparing import PrepareOptions

    ready = ReadyModel(frame=frame.over(), labels=labels, classes=classes)
    return SourceOptions(
        prepare=PrepareOptions(
            size_hw=input_size, output=output, keep_tail=keep_tail, fold_normalisation=fold_normalisation
        ),
        ready=ready if frame or labels or classes else None,
    )
