"""Own the options that name a file to write, whose ending is its form. Write nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["output_option"]


def output_option(flag: str, name: str, endings: tuple[str, ...], words: str) -> Callable[[Any], Any]:
    """``flag PATH``, as the command's argument ``name``: a Path with one of the endings, or None."""

    def check(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix not in endings:
            raise click.BadParameter(f"'{path}' must end in {' or '.join(endings)}")
        return path

    return click.option(flag, name, type=click.Path(path_type=Path, dir_okay=False), callback=check, help=words)
