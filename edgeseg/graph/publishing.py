"""Own the writing of a graph with what goes with it: all of its files appear, or none. Decide no content."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeseg.files import flush_to_disk, output_errors

__all__ = ["publish", "staged"]


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` for files that refer to each other by name; gone with what is left in it at the end.

    Raises:
        OutputError: the place cannot be written.
    """
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.stem}-", dir=target.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(files: list[Path], folder: Path) -> None:
    """Move files of a staged folder to where they belong, after they have reached the disk.

    Args:
        files: in the order in which they appear; the one that the others are read for comes last.
        folder: theirs from then on, on the same device.
    Raises:
        OutputError: the place cannot be written; what was there before is left.
    """
    for file in files:
        with output_errors(folder / file.name):
            if (folder / file.name).is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder is there")
            flush_to_disk(file)
    for file in files:
        with output_errors(folder / file.name):
            file.replace(folder / file.name)
