"""Own the options that say which shapes an engine takes and what its scores leave in. Do no work."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from edgeseg.cli.console import TrtexecOption

if TYPE_CHECKING:
    from edgeseg.builder.source import SourceOptions
    from edgeseg.spec import ProfileSpec

__all__ = ["ScoresDtype", "shape_options"]

ScoresDtype = Literal["float32", "float16", "int8"]
#: name, batch, channels, height and width
Words = tuple[str | None, int | None, int | None, int, int]


class Shape(click.ParamType[Words]):
    """``512x1024``, ``4x512x1024``, ``4x3x512x1024``, ``image:4x3x512x1024``."""

    name = "SHAPE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Words:
        if isinstance(value, tuple):
            return value
        name, colon, sides = str(value).rpartition(":")
        found = [int(one) for one in sides.lower().split("x") if re.fullmatch("[0-9]+", one)]
        is_whole = len(found) == sides.lower().count("x") + 1 and 2 <= len(found) <= 4 and min(found) >= 1
        if not is_whole or (colon and (not name or len(found) != 4)):
            self.fail(
                f"'{value}' is no shape; write height x width, for example 512x1024, or 4x512x1024, 4x3x512x1024 or "
                "NAME:4x3x512x1024",
                param,
                ctx,
            )
        batch, channels = (found[0] if len(found) > 2 else None, found[1] if len(found) == 4 else None)
        return name or None, batch, channels, found[-2], found[-1]


option = functools.partial(click.option, cls=TrtexecOption, type=Shape(), multiple=True)
NAMES = ("min_shapes", "opt_shapes", "max_shapes")
OPTIONS = (
    option("--min-shapes", "--minShapes", help="Smallest shape of a profile, as 512x1024 or 1x3x512x1024."),
    option("--opt-shapes", "--optShapes", help="Its best one.  [default: the net's size]"),
    option("--max-shapes", "--maxShapes", help="Its largest one; give all three again for each profile more."),
    click.option(
        "--logits-dtype",
        "scores",
        type=click.Choice(["float32", "float16", "int8"]),
        default="float32",
        show_default=True,
        help="What the scores leave the engine in; int8 needs --calib-data for their range.",
    ),
)


def shape_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command gets ``profiles``, which makes ProfileSpecs for a file, and ``scores``, a dtype.

    ``profiles`` takes the ONNX file and its SourceOptions.
    """

    @functools.wraps(command)
    def wrapped(**words: Any) -> None:
        given: list[tuple[Words, ...]] = [words.pop(name) for name in NAMES]
        command(profiles=lambda onnx, source: _profiles(onnx, source, given), **words)

    for one in reversed(OPTIONS):
        wrapped = one(wrapped)
    return wrapped


def _profiles(onnx: Path, source: SourceOptions, given: list[tuple[Words, ...]]) -> tuple[ProfileSpec, ...]:
    from edgeseg.builder.shapes import AskedShape, asked_profiles, resolved_profiles

    lows, bests, highs = (
        [
            AskedShape(name=name, batch=batch, channels=channels, size_hw=(height, width))
            for name, batch, channels, height, width in one
        ]
        for one in given
    )
    return resolved_profiles(onnx, asked_profiles(lows, bests, highs), source)
