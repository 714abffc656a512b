"""Own what the commands share on the terminal: progress bars and option values. Do no work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

__all__ = ["SizeHW", "count_bar", "progress_bar"]


class SizeHW(click.ParamType[tuple[int, int]]):
    """``512x1024``: height x width in pixels."""

    name = "HxW"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        height, cross, width = str(value).lower().partition("x")
        if not cross or not height.isdigit() or not width.isdigit() or not int(height) * int(width):
            self.fail(f"'{value}' is no size; write height x width, for example 512x1024", param, ctx)
        return int(height), int(width)


@contextmanager
def progress_bar() -> Iterator[Callable[[float, str], None]]:
    """A bar a step on standard error; the function given takes the fraction done and the name of the step."""
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

    with _progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def show(done: float, step: str) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=1.0)
            progress.update(tasks[step], completed=done)

        yield show


@contextmanager
def count_bar(what: str, *, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar of things done, of ``total`` or without an end, with their rate; the function given takes their number."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    rate = TextColumn("{task.fields[rate]:.1f}/s")
    with _progress(TextColumn(what), BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn()) as progress:
        task = progress.add_task(what, total=total, rate=0.0)

        def show(done: int) -> None:
            elapsed_s = progress.tasks[0].elapsed or 0.0
            progress.update(task, completed=done, rate=done / elapsed_s if elapsed_s else 0.0)

        yield show


def _progress(*columns: ProgressColumn) -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    return Progress(*columns, console=Console(stderr=True))
