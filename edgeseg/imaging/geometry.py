"""Own where a picture lies in the input tensor: stretched, letterboxed or cropped. Touch no pixel."""

from __future__ import annotations

from typing import NamedTuple

from edgeseg.errors import ShapeError
from edgeseg.spec import ResizeRule

__all__ = ["Placement", "Rect", "place"]


class Rect(NamedTuple):
    """A rectangle of whole pixels."""

    x: int
    y: int
    width: int
    height: int


class Placement(NamedTuple):
    """``source``, in pixels of the picture, fills ``target``, in pixels of the tensor. Elsewhere the tensor is pad."""

    source: Rect
    target: Rect


def place(
    resize: ResizeRule, *, source_wh: tuple[int, int], size_wh: tuple[int, int], roi: Rect | None = None
) -> Placement:
    """Where a picture, or the part ``roi`` of it, goes.

    ``stretch`` fills the tensor whatever the proportions. ``letterbox`` keeps them: the largest size that fits, in
    whole pixels, in the middle (an odd rest goes right and below). ``crop`` fills the tensor with the largest centred
    part of its proportions, in whole pixels of the picture.

    Args:
        resize: the spec's rule.
        source_wh: the picture's size.
        size_wh: the tensor's size.
        roi: the part of the picture to take; all of it without.
    Raises:
        ShapeError: a side below 1, or a roi that is not inside the picture.

    Example:
        >>> place("letterbox", source_wh=(1920, 1080), size_wh=(512, 512)).target
        Rect(x=0, y=112, width=512, height=288)
        >>> place("crop", source_wh=(1920, 1080), size_wh=(512, 512)).source
        Rect(x=420, y=0, width=1080, height=1080)
    """
    if min(*source_wh, *size_wh) < 1:
        raise ShapeError(f"picture {source_wh} and tensor {size_wh} (width, height)", "each side is 1 or more")
    source, whole = Rect(*roi) if roi else Rect(0, 0, *source_wh), Rect(0, 0, *size_wh)
    if min(source) < 0 or min(source[2:]) < 1 or not _lies_in(source, source_wh):
        raise ShapeError(f"{source} is no part of a picture of {source_wh} (width, height)", "give one inside it")
    if resize == "letterbox":
        return Placement(source, _centred(whole, source))
    if resize == "crop":
        return Placement(_centred(source, whole), whole)
    return Placement(source, whole)


def _lies_in(rect: Rect, size_wh: tuple[int, int]) -> bool:
    return rect.x + rect.width <= size_wh[0] and rect.y + rect.height <= size_wh[1]


def _centred(outer: Rect, like: Rect) -> Rect:
    """The largest rectangle of ``like``'s proportions in the middle of ``outer``."""
    if outer.width * like.height <= outer.height * like.width:
        width, height = outer.width, _divided(outer.width * like.height, like.width, outer.height)
    else:
        width, height = _divided(outer.height * like.width, like.height, outer.width), outer.height
    return Rect(outer.x + (outer.width - width) // 2, outer.y + (outer.height - height) // 2, width, height)


def _divided(product: int, by: int, limit: int) -> int:
    """Half up, in whole numbers: the same on every machine; 1 to ``limit``."""
    return min(max((2 * product + by) // (2 * by), 1), limit)
