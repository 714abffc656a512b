"""Own what a refusal of the native plans becomes. Refuse nothing by itself."""

from __future__ import annotations

from edgeseg.errors import ShapeError

__all__ = ["shape_error"]


def shape_error(error: ValueError) -> ShapeError:
    """The error that callers see; a plan's message ends with the hint.

    Example:
        >>> shape_error(ValueError("logits overlap the mask: give arrays of their own")).hint
        'give arrays of their own'
    """
    what, _, hint = str(error).rpartition(": ")
    return ShapeError(what, hint) if what else ShapeError(hint)
