"""Own which sinks would write over a source or over each other, by their names. Open nothing, write nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgeseg.errors import OptionsError
from edgeseg.runtime.sinks.opening import CLASSES, DISPLAYS, FUNCTION

__all__ = ["check_places", "place_of"]


def check_places(names: Iterable[str], sources: Sequence[Path]) -> None:
    """See that every sink has a place of its own.

    Args:
        names: sinks, as ``open_sink`` takes them.
        sources: files and folders that frames are read from.
    Raises:
        OptionsError: a sink would replace what a source reads, or two would write to one place.
    """
    read = {path.resolve() for path in sources}
    written: dict[Path, str] = {}
    for name in names:
        place = place_of(name)
        if place is None:
            continue
        if place in read:
            raise OptionsError(f"{name} is the source too, and would be written over", "give the masks another name")
        if place in written:
            raise OptionsError(f"{written[place]} and {name} would write to one place", "give each its own name")
        written[place] = name


def place_of(name: str) -> Path | None:
    """Where a sink writes, links followed; None for one that writes no file.

    Example:
        >>> place_of("mask:/srv/a.mp4") == place_of("/srv/b/../a.mp4"), place_of("shm://masks")
        (True, None)
    """
    if name in DISPLAYS or name.startswith(FUNCTION) or "://" in name:
        return None
    return Path(name.removeprefix(CLASSES)).resolve()
