"""Own what the commands share on the terminal: progress bars, option values and checks of them. Do no work."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

__all__ = [
    "Duration",
    "Size",
    "SizeHW",
    "TrtexecOption",
    "count_bar",
    "progress_bar",
    "refuse_overwriting",
    "refuse_unwritable",
]


SECONDS_OF = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


BYTES_OF = {"b": 1, "": 1 << 20, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    unit: 1 << shift for shift, word in ((10, "k"), (20, "m"), (30, "g"), (40, "t")) for unit in (word, word + "ib")
}


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


class Duration(click.ParamType[float]):
    """``100ms``, ``2.5s``, ``10m``, ``1h`` or plain seconds; in seconds."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip().lower()
        unit = next((one for one in ("ms", "s", "m", "h") if text.endswith(one)), "")
        try:
            seconds = float(text.removesuffix(unit)) * SECONDS_OF[unit or "s"]
        except ValueError:
            seconds = 0.0
        if not 0.0 < seconds < float("inf"):
            self.fail(f"'{value}' is no time above 0; write 100ms, 2.5s, 10m or 1h", param, ctx)
        return seconds


class Size(click.ParamType[int]):
    """``256MiB``, ``2G``, ``20GB``, ``4096B``; a bare number counts MiB, as trtexec's do."""

    name = "SIZE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]*)", str(value).lower())
        if found is None or found[2] not in BYTES_OF:
            self.fail(f"'{value}' is no size; write 256MiB, 2GiB or 4096B", param, ctx)
        return int(float(found[1]) * BYTES_OF[found[2]])


class TrtexecOption(click.Option):
    """An option that also answers to trtexec's name for it, in camelCase, which its help does not show."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        names, self.opts = self.opts, [name for name in self.opts if name == name.lower()]
        record = super().get_help_record(ctx)
        self.opts = names
        return record


def refuse_overwriting(files: Iterable[Path], outputs: Iterable[Path]) -> None:
    """``--report net.engine.json`` would replace the sidecar of ``net.engine``.

    Args:
        files: engines and ONNX files.
        outputs: what the command would write.
    Raises:
        click.UsageError: an output is one of the files or its sidecar.
    """
    from edgeseg.sidecars import sidecar_path

    kept: dict[Path, str] = {}
    for one in files:
        kind = "a net" if one.suffix == ".onnx" else "an engine"
        kept |= {one.resolve(): kind, sidecar_path(one).resolve(): f"the sidecar of {kind}"}
    for path in outputs:
        if path.resolve() in kept:
            raise click.UsageError(f"'{path}' is {kept[path.resolve()]}: choose another name")


def refuse_unwritable(outputs: Iterable[Path]) -> None:
    """Find out before the work what would fail after it; makes no folder.

    Raises:
        OutputError: the place of an output is no folder, or must not be written to.
    """
    from edgeseg.errors import OutputError

    for path in outputs:
        there = next(one for one in path.absolute().parents if one.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            reason = "no permission" if there.is_dir() else f"{there} is no folder"
            raise OutputError(f"{path} cannot be written ({reason})", "choose another place")


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
