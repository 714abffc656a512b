"""Own the options that promise an accuracy and say on what it is judged. Do no work."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.evaluate import LAYOUT_NAMES

if TYPE_CHECKING:
    from edgeseg.builder.promise import Promise

__all__ = ["promise_options"]

NAMES = ("max_miou_drop", "eval_data", "layout", "split", "ignore", "search_budget")
OPTIONS = (
    click.option(
        "--max-miou-drop",
        type=click.FloatRange(0, 100, max_open=True),
        help="Points of mIoU that int8 may cost: layers keep the higher precision until it holds.",
    ),
    click.option(
        "--eval-data",
        type=click.Path(path_type=Path),
        help="Labelled frames to judge it on, other than those of --calib-data, whose validation/ it is without.",
    ),
    click.option("--layout", type=click.Choice(LAYOUT_NAMES), help="Of --eval-data.  [default: auto]"),
    click.option("--split", help="Of --eval-data: val, test, ..."),
    click.option("--ignore", type=click.IntRange(0, 255), help="Label id of --eval-data that does not count."),
    click.option(
        "--search-budget",
        type=click.IntRange(3),
        help="How many precisions may be tried for --max-miou-drop.  [default: 25]",
    ),
)


def promise_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command gets them as ``promise``, a function that makes a Promise or None of them.

    It takes where the calibration images lie.
    """

    @functools.wraps(command)
    def wrapped(**words: Any) -> None:
        given = {name: words.pop(name) for name in NAMES}
        said = {name: value for name, value in given.items() if value is not None}
        command(promise=lambda calibration: _options(said, calibration), **words)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _options(said: dict[str, Any], calibration: Path | None) -> Promise | None:
    from edgeseg.builder.promise import Promise

    if "max_miou_drop" not in said:
        if said:
            raise click.UsageError(f"--{next(iter(said)).replace('_', '-')} does nothing without --max-miou-drop")
        return None
    data = said.pop("eval_data", calibration)
    if data is None:
        raise click.UsageError("--max-miou-drop needs --eval-data DIR with labelled frames")
    if "search_budget" in said:
        said["budget"] = said.pop("search_budget")
    return Promise(data=data, **said)
