"""Own how engines are called where several stand side by side. Read no file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["engine_names", "printable"]


def engine_names(paths: Sequence[Path]) -> list[str]:
    """The file's name, the path as given where two share a name, numbered where two share the path.

    Example:
        >>> engine_names([Path("a/net.engine"), Path("b/net.engine"), Path("b/net.engine")])
        ['a/net.engine', 'b/net.engine', 'b/net.engine #2']
    """
    shared = len({path.name for path in paths}) < len(paths)
    names: list[str] = []
    for path in paths:
        plain = name = printable(path if shared else path.name)
        number = 1
        while name in names:
            number += 1
            name = f"{plain} #{number}"
        names.append(name)
    return names


def printable(name: Path | str) -> str:
    """Line ends and undecodable bytes of a file's name would break a report's lines and its UTF-8."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in str(name))
