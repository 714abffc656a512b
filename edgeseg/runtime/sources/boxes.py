"""Own whether a file of boxes (mp4, mov) is all there. Decode nothing."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_cut_short"]

#: containers whose boxes tell exactly whether the file was cut short
BOX_SUFFIXES = (".mp4", ".mov", ".m4v")


def is_cut_short(path: Path) -> bool:
    """Whether the last box of an ISO file (ISO 14496-12, section 4.2) ends behind the end of the file.

    Of files that are not made of boxes nothing is known: they are taken for whole.
    """
    if path.suffix.lower() not in BOX_SUFFIXES:
        return False
    end, position = path.stat().st_size, 0
    with path.open("rb") as file:
        while position + 8 <= end:
            file.seek(position)
            header = file.read(16)
            size = int.from_bytes(header[:4], "big")
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size == 0:  # the box reaches to the end of the file by definition
                return False
            position += max(size, 8)
    return position != end
