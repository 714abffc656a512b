"""Own how the files of one recording are called (name.part-0002.mp4), and which are too old. Open none."""

from __future__ import annotations

import re
from pathlib import Path

from edgeseg.errors import OutputError
from edgeseg.runtime.sinks.options import SinkOptions

__all__ = ["PartNames", "part_path"]


def part_path(path: Path, number: int) -> Path:
    """The file of that number, from 1: a name that nobody else gives, as such files are deleted.

    Example:
        >>> part_path(Path("out/front.mp4"), 2).name
        'front.part-0002.mp4'
    """
    return path.with_name(f"{path.stem}.part-{number:04d}{path.suffix}")


class PartNames:
    """Gives one name after another.

    A recording that is one file has the name that was asked for; whatever comes after it, and every file of one that is
    to have parts, has ``part_path``'s. So what lies under the name itself is never counted or deleted as a part.

    Args:
        path: as asked for.
        options: of live frames the names begin behind the highest number that is in the folder, so that no older
            recording is replaced; ``keep_parts`` and ``keep_bytes`` say what ``delete_old`` leaves.
    """

    def __init__(self, path: Path, options: SinkOptions) -> None:
        self._path, self._options = path, options
        self._number = _highest(path, has_parts=options.has_parts) if options.is_live else 0

    def take(self) -> Path:
        """The next name."""
        self._number += 1
        is_whole = self._number == 1 and not self._options.has_parts
        return self._path if is_whole else part_path(self._path, self._number)

    def delete_old(self) -> None:
        """Delete the oldest files before the one whose name was taken last, down to what is to be kept.

        To be called when that file has its first frame: a run that never gets one must cost no older recording.

        Raises:
            OutputError: one cannot be deleted.
        """
        for old in self._too_old():
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{old} is to make room and cannot be deleted ({error.strerror})", "let us write in its folder"
                ) from error

    def _too_old(self) -> list[Path]:
        keep_parts, keep_bytes = self._options.keep_parts, self._options.keep_bytes
        if keep_parts is None and keep_bytes is None:
            return []
        held_bytes, doomed = 0, []
        parts = _parts(self._path)
        older = [parts[number] for number in sorted(parts, reverse=True) if number < self._number]
        for place, path in enumerate(older, start=2):  # the first is the one that is written
            held_bytes += _size_bytes(path)
            is_many = keep_parts is not None and place > keep_parts
            if is_many or (keep_bytes is not None and held_bytes > keep_bytes):
                doomed.append(path)
        return [path for path in doomed[::-1] if path.is_file()]  # the oldest first, should one resist


def _highest(path: Path, *, has_parts: bool) -> int:
    """The number after which a recording goes on; a whole one is the first."""
    is_there = path.exists() and not has_parts
    return max(_parts(path), default=int(is_there))


def _parts(path: Path) -> dict[int, Path]:
    """What has the name of a part in the folder, by number."""
    pattern = re.compile(re.escape(path.stem) + r"\.part-(\d{4,})" + re.escape(path.suffix))
    found = {}
    for one in path.parent.iterdir() if path.parent.is_dir() else ():
        matched = pattern.fullmatch(one.name)
        number = int(matched[1]) if matched else 0
        if number and one == part_path(path, number):
            found[number] = one
    return found


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # somebody else has made room meanwhile
        return 0
