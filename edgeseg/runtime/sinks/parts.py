"""Own how the files of one recording are called: name.mp4, name-0002.mp4. Open none."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["PartNames", "part_path"]


def part_path(path: Path, number: int) -> Path:
    """The file of that number, from 1.

    Example:
        >>> part_path(Path("out/a.mp4"), 1).name, part_path(Path("out/a.mp4"), 2).name
        ('a.mp4', 'a-0002.mp4')
    """
    return path if number == 1 else path.with_name(f"{path.stem}-{number:04d}{path.suffix}")


class PartNames:
    """Gives one name after another.

    Args:
        path: of the first file.
        keeps_old: begin behind the highest number that is in the folder, so that no older recording is replaced.
    """

    def __init__(self, path: Path, *, keeps_old: bool) -> None:
        self._path = path
        self._number = _highest(path) if keeps_old else 0

    def take(self) -> Path:
        """The next name."""
        self._number += 1
        return part_path(self._path, self._number)


def _highest(path: Path) -> int:
    """The highest number of the recording's files in the folder, 0 without any."""
    pattern = re.compile(re.escape(path.stem) + r"-(\d{4,})" + re.escape(path.suffix))
    if not path.parent.is_dir():
        return 0
    found = [pattern.fullmatch(one.name) for one in path.parent.iterdir()]
    return max([int(one[1]) for one in found if one] + [int(path.exists())])
