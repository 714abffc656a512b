"""Own class names and colours where none, or a file of them, are given. Draw nothing."""

from __future__ import annotations

import colorsys
from pathlib import Path

from edgeseg.errors import SpecError
from edgeseg.sidecars import read_labels
from edgeseg.spec import ClassSpec, LabelSpec

__all__ = ["distinct_colour", "labels_for"]

GOLDEN_RATIO = 0.618033988749895  # steps of it around the hue circle keep neighbours far apart


def distinct_colour(index: int) -> tuple[int, int, int]:
    """An RGB colour, 0-255, far from those of the neighbouring indices.

    Example:
        >>> distinct_colour(0)
        (217, 54, 54)
    """
    red, green, blue = colorsys.hsv_to_rgb((index * GOLDEN_RATIO) % 1.0, 0.75, 0.85 - 0.25 * (index % 2))
    return round(red * 255), round(green * 255), round(blue * 255)


def labels_for(count: int | None, path: Path | None = None, *, expected: int | None = None) -> LabelSpec:
    """Names and colours of a net's classes: those of the file, or ``class_0`` ... in distinct colours.

    Args:
        count: classes that the net gives; None where only the file can tell.
        path: a labels file.
        expected: classes that the user counts on.
    Raises:
        SpecError: the counts differ.
    """
    if None not in (expected, count) and expected != count:
        raise SpecError(f"the net gives {count} classes where {expected} were expected", "check --classes and --arg")
    if path is None:
        named = range(count or expected or 0)
        return LabelSpec(classes=tuple(ClassSpec(name=f"class_{i}", colour=distinct_colour(i)) for i in named))
    labels = read_labels(path)
    if count is not None and len(labels.classes) != count:
        raise SpecError(
            f"{path} names {len(labels.classes)} classes, the net gives {count}", "name every class of the net"
        )
    return labels
