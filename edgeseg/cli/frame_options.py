"""Own the options that say what training did to its pictures; export and build-engine share them. Do no work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgeseg.spec import FrameOptions

__all__ = ["FrameWords", "frame_options"]

NAMES = ("mean", "std", "colour", "resize", "interpolation", "pad_value")


class Numbers(click.ParamType[tuple[float, ...]]):
    """``0.5,0.4,0.3``"""

    name = "NUMBERS"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is no list of numbers such as 0.485,0.456,0.406", param, ctx)


OPTIONS = (
    click.option("--mean", type=Numbers(), help="Of pixels scaled to 0..1.  [default: 0.485,0.456,0.406]"),
    click.option("--std", type=Numbers(), help="Of pixels scaled to 0..1.  [default: 0.229,0.224,0.225]"),
    click.option("--colour", type=click.Choice(["RGB", "BGR", "GRAY"]), help="[default: RGB]"),
    click.option(
        "--resize",
        type=click.Choice(["stretch", "letterbox", "crop"]),
        help="How frames are fitted to the input, as in training.  [default: stretch]",
    ),
    click.option(
        "--interpolation",
        type=click.Choice(["linear", "antialias"]),
        help="linear: cv2's and torch's; antialias: Pillow's and torchvision's.  [default: linear]",
    ),
    click.option("--pad-value", type=click.FloatRange(0, 255), help="Grey level around a letterbox.  [default: 0]"),
)


@dataclass(frozen=True)
class FrameWords:
    """What was said of frames; true where anything was."""

    given: Mapping[str, Any]

    def __bool__(self) -> bool:
        return bool(self.given)

    def over(self, base: FrameOptions | None = None) -> FrameOptions:
        """What was given, and ``base``, or the defaults, for the rest.

        Grey's mean and std say nothing of colours, nor theirs of grey: of another base, only the rest is taken.

        Raises:
            click.UsageError: they do not go together.
        """
        from edgeseg.spec import FrameOptions

        base = base or FrameOptions()
        colour = self.given.get("colour", base.colour)
        if (colour == "GRAY") != (base.colour == "GRAY"):
            base = replace(base, mean=FrameOptions.mean, std=FrameOptions.std)
        frame = replace(base, **self.given)
        _check(frame, self.given)
        return frame


def frame_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command gets them as ``frame``, FrameWords."""

    @functools.wraps(command)
    def wrapped(**words: Any) -> None:
        given = {name: value for name in NAMES if (value := words.pop(name)) is not None}
        command(frame=FrameWords(given), **words)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _check(frame: FrameOptions, given: Mapping[str, Any]) -> None:
    channels = 1 if frame.colour == "GRAY" else 3
    if not len(frame.mean) == len(frame.std) == channels:
        raise click.UsageError(f"{frame.colour} takes {channels} value(s) of --mean and of --std")
    if min(frame.std) <= 0:
        raise click.UsageError("--std must be above 0")
    if "pad_value" in given and frame.resize != "letterbox":
        raise click.UsageError(f"--pad-value does nothing for --resize {frame.resize}")
