"""Own the options that compare a fresh engine with float32. Do no work."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgeseg.builder.build_options import VerifyOptions
    from edgeseg.builder.measuring import CalibrationOptions

__all__ = ["verify_options"]

#: what click gives for --verify without a value
CALIBRATION_IMAGES = ""
OPTIONS = (
    click.option(
        "--verify",
        is_flag=False,
        flag_value=CALIBRATION_IMAGES,
        metavar="[FRAMES]",
        help="Compare the masks with float32 before the engine is written: on a folder of images, a text list of "
        "paths or a video; without a value on those of --calib-data.",
    ),
    click.option(
        "--min-agreement",
        type=click.FloatRange(0, 1),
        help="Share of pixels that must agree in --verify; fails the build.  [default: only reports]",
    ),
)


def verify_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command gets them as ``verify``, a function that makes VerifyOptions or None of them.

    It takes the calibration's options, whose images are the default.
    """

    @functools.wraps(command)
    def wrapped(verify: str | None, min_agreement: float | None, **words: Any) -> None:
        command(verify=lambda calibration: _options(verify, min_agreement, calibration), **words)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _options(
    frames: str | None, min_agreement: float | None, calibration: CalibrationOptions | None
) -> VerifyOptions | None:
    from edgeseg.builder.build_options import VerifyOptions

    if frames is None:
        if min_agreement is not None:
            raise click.UsageError("--min-agreement does nothing without --verify")
        return None
    if frames != CALIBRATION_IMAGES:
        return VerifyOptions(source=Path(frames), min_agreement=min_agreement)
    if calibration is None:
        raise click.UsageError("--verify needs frames: --verify FRAMES, or --calib-data")
    return VerifyOptions(
        source=calibration.source,
        every=calibration.every,
        skip_bad=calibration.skip_bad,
        min_agreement=min_agreement,
    )
