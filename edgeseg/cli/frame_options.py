"""Own the options that say what training did to its pictures; export and build-engine share them. Do no work."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgeseg.spec import FrameOptions

__all__ = ["frame_options"]

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


def frame_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command gets them as ``frame``, None where none of them was given."""

    @functools.wraps(command)
    def wrapped(**words: Any) -> None:
        given = {name: value for name in NAMES if (value := words.pop(name)) is not None}
        command(frame=_checked(given) if given else None, **words)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _checked(given: dict[str, Any]) -> FrameOptions:
    from edgeseg.spec import FrameOptions

    frame = FrameOptions(**given)
    channels = 1 if frame.colour == "GRAY" else 3
    if not len(frame.mean) == len(frame.std) == channels:
        raise click.UsageError(f"{frame.colour} takes {channels} value(s) of --mean and of --std")
    if min(frame.std) <= 0:
        raise click.UsageError("--std must be above 0")
    if "pad_value" in given and frame.resize != "letterbox":
        raise click.UsageError(f"--pad-value does nothing for --resize {frame.resize}")
    return frame
