"""Own what happens to a file that cannot be used: refused with its place, or passed over and remembered."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from edgeseg.errors import DataError
from edgeseg.files import sha256_of_file

__all__ = ["GO_ON", "BadFiles", "Skipped", "file_digests"]

#: a file that was passed over, and why
Skipped = tuple[Path, str]
GO_ON = "take it out or mend it, or go on without it: --skip-bad"

Value = TypeVar("Value")


class BadFiles:
    """The bad files of one pass over ``total`` of them.

    Args:
        kind: what a message calls one of them: ``image``, ``frame``.
        total: how many the pass asks for.
        skip_bad: pass over what is bad, instead of refusing it.
    """

    def __init__(self, kind: str, total: int, *, skip_bad: bool) -> None:
        self._kind, self._total, self._skip_bad = kind, total, skip_bad
        self.skipped: list[Skipped] = []

    def tried(self, place: int, path: Path, read: Callable[[], Value]) -> Value | None:
        """What ``read`` returns; None where it raised DataError and such files are passed over.

        Args:
            place: of the file in the pass, from 1.
            path: the file that is remembered.
            read: reads it.
        Raises:
            DataError: that of ``read``, with the place, where bad files are not passed over.
        """
        try:
            return read()
        except DataError as error:
            if not self._skip_bad:
                raise DataError(f"{self._kind} {place} of {self._total}: {error.what}", GO_ON) from error
            self.skipped.append((path, error.what))
            return None

    def check_any(self, used: int, source: Path) -> None:
        """Refuse a pass that used nothing.

        Raises:
            DataError: ``used`` is 0; tells the first reason.
        """
        if used == 0:
            first = f"; the first: {self.skipped[0][1]}" if self.skipped else ""
            raise DataError(
                f"{source}: none of {self._total} {self._kind}s can be read{first}", "replace them, or give others"
            )


def file_digests(source: Path, files: tuple[Path, ...], kind: str, *, skip_bad: bool) -> list[tuple[Path, str]]:
    """Every file and the hex SHA-256 of its bytes, in order, read in pieces; skipped files are left out.

    Raises:
        DataError: a file cannot be read, without ``skip_bad``, or none can.
    """
    bad, digests = BadFiles(kind, len(files), skip_bad=skip_bad), list[tuple[Path, str]]()
    for place, path in enumerate(files, start=1):
        digest = bad.tried(place, path, partial(_digest, path))
        if digest is not None:
            digests.append((path, digest))
    bad.check_any(len(digests), source)
    return digests


def _digest(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as cause:
        raise DataError(f"{path} cannot be read ({cause.strerror})", "check the path") from cause
