"""Own figures, shapes and columns as text, for the commands that show files. Read no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseg.spec import ProfileSpec

__all__ = ["aligned", "flattened", "profile_words", "scaled", "sides"]


def aligned(rows: Sequence[Sequence[str]], *, left: tuple[int, ...]) -> list[str]:
    """Rows as lines of equal columns, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def flattened(facts: Mapping[str, object], prefix: str = "") -> list[str]:
    """``a.b  value`` lines of nested records."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines += flattened(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
            lines += [
                f"{prefix}{key}[{i}]  {' '.join(str(part) for part in one.values())}" for i, one in enumerate(value)
            ]
        else:
            lines.append(f"{prefix}{key}  {value}")
    return lines


def sides(shape: Iterable[object] | None) -> str:
    """``1x3xheightxwidth``; what is open and has no name is a question mark."""
    return "?" if shape is None else "x".join("?" if str(side) == "None" else str(side) for side in shape)


def scaled(number: int, unit: str = "") -> str:
    """Three digits that count.

    Example:
        >>> [scaled(number, "B") for number in (0, 999, 1940, 12_345_678, 9_999_999_999)]
        ['0 B', '999 B', '1.94 kB', '12.3 MB', '10.0 GB']
        >>> scaled(7)
        '7'
    """
    value, prefix = float(number), ""
    for larger in ("k", "M", "G", "T"):
        if value < 999.5:
            break
        value, prefix = value / 1000, larger
    decimals = 0 if not prefix or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{decimals}f} {prefix}{unit}".rstrip()


def profile_words(profile: ProfileSpec) -> str:
    """The shapes that one profile of an engine takes."""
    shapes = [f"{batch} of {height}x{width}" for batch, height, width in (profile.minimum, profile.maximum)]
    batch, height, width = profile.optimum
    steps = "" if profile.step_hw == (1, 1) else f", in steps of {sides(profile.step_hw)}"
    return f"{' to '.join(shapes)}, fastest at {batch} of {height}x{width}{steps}"
