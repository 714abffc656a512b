"""Own the options that say on what, and how, ranges are measured. Do no work."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgeseg.builder.measuring import CalibrationOptions

__all__ = ["calibration_options"]

OPTIONS = (
    click.option(
        "--calib-data",
        type=click.Path(path_type=Path),
        help="Typical images: a folder, a text list of paths, or a video.",
    ),
    click.option("--every", type=click.IntRange(1), help="Take every n-th image or video frame.  [default: 1]"),
    click.option("--skip-bad", is_flag=True, help="Pass over images that cannot be read."),
    click.option(
        "--calib-method",
        type=click.Choice(["max", "entropy", "percentile"]),
        help="How ranges are taken from the images.  [default: max]",
    ),
    click.option(
        "--percentile",
        type=click.FloatRange(50, 100, min_open=True),
        help="Share of the numbers that the range holds, for --calib-method percentile.  [default: 99.99]",
    ),
    click.option(
        "--calibration",
        type=click.Path(path_type=Path),
        help="Where ranges are kept and taken from.  [default: ONNX with .calibration.json]",
    ),
)


def calibration_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command gets them as ``calibration``, a function that makes CalibrationOptions or None."""

    @functools.wraps(command)
    def wrapped(
        calib_data: Path | None,
        every: int | None,
        skip_bad: bool,
        calib_method: str | None,
        percentile: float | None,
        calibration: Path | None,
        **words: Any,
    ) -> None:
        given = {
            "every": every,
            "skip_bad": skip_bad or None,
            "method": calib_method,
            "percentile": percentile,
            "file": calibration,
        }
        said = {name: value for name, value in given.items() if value is not None}
        command(calibration=lambda: _options(calib_data, said), **words)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _options(calib_data: Path | None, said: dict[str, Any]) -> CalibrationOptions | None:
    from edgeseg.builder.measuring import CalibrationOptions

    if calib_data is None:
        if said:
            names = {"method": "calib-method", "file": "calibration", "skip_bad": "skip-bad"}
            first = next(iter(said))
            raise click.UsageError(f"--{names.get(first, first)} does nothing without --calib-data")
        return None
    if "percentile" in said and said.get("method") != "percentile":
        raise click.UsageError("--percentile goes with --calib-method percentile")
    return CalibrationOptions(source=calib_data, **said)
