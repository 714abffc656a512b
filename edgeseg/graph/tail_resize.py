"""Own the reading of ONNX's Resize as a rule that the runtime knows. Know nothing of the nodes around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from edgeseg.graph.access import attribute, constant_of
from edgeseg.spec import UpsampleSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Unrecognised", "read_resize"]

Coordinates = Literal["half_pixel", "align_corners", "asymmetric"]

#: half_pixel_symmetric differs only where a scale times the size is not the new size, which is not taken at all
COORDINATES: dict[str, Coordinates] = {
    "half_pixel": "half_pixel",
    "half_pixel_symmetric": "half_pixel",
    "pytorch_half_pixel": "half_pixel",
    "align_corners": "align_corners",
    "asymmetric": "asymmetric",
}
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
FIRST_MODERN_OPSET = 11


class Unrecognised(Exception):  # noqa: N818  # no error: it stops a walk
    """A node that the runtime cannot do, with the reason."""


def read_resize(node: ir.Node, axes: str, before: tuple[int, ...], after: tuple[int, ...]) -> UpsampleSpec:
    """The rule of a Resize, or of the Upsample that came before it.

    Args:
        node: the Resize.
        axes: a letter for every axis of its input; H and W stand for height and width.
        before: its input's shape.
        after: its output's shape.
    Raises:
        Unrecognised: no rule of the runtime does the same.
    """
    _check_axes(axes, before, after)
    mode = attribute(node, "mode", "nearest")
    if mode not in ("nearest", "linear", "bilinear"):
        raise Unrecognised(f"mode {mode}")
    _check_ratio(node, before, after)
    opset = node.graph.opset_imports.get("", 0) if node.graph is not None else 0
    if node.op_type == "Upsample" or opset < FIRST_MODERN_OPSET:
        return _old(mode, before, after)
    coordinates = _coordinates(node, before, after)
    _check_options(node)
    if mode != "nearest":
        return UpsampleSpec(mode="bilinear", coordinates=coordinates)
    rounding = attribute(node, "nearest_mode", "round_prefer_floor")
    if rounding not in ROUNDINGS:
        raise Unrecognised(f"nearest_mode {rounding}")
    return UpsampleSpec(mode="nearest", coordinates=coordinates, rounding=rounding)


def _check_axes(axes: str, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    if "H" not in axes or "W" not in axes:
        raise Unrecognised("height and width cannot be told apart")
    if any(old != new for axis, old, new in zip(axes, before, after, strict=True) if axis not in "HW"):
        raise Unrecognised(f"turns {before} into {after}, more than height and width")


def _check_options(node: ir.Node) -> None:
    if attribute(node, "antialias", 0):
        raise Unrecognised("antialias")
    if attribute(node, "exclude_outside", 0):
        raise Unrecognised("exclude_outside")
    policy = attribute(node, "keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        raise Unrecognised(f"keep_aspect_ratio_policy {policy}")


def _coordinates(node: ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> Coordinates:
    name = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if name not in COORDINATES:
        raise Unrecognised(f"coordinate_transformation_mode {name}")
    is_point = any(new == 1 and old != 1 for old, new in zip(before, after, strict=True))
    if name == "pytorch_half_pixel" and is_point:
        raise Unrecognised("pytorch_half_pixel to a side of 1")
    return COORDINATES[name]


def _check_ratio(node: ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """The sizes must be constant, and scales must be their very ratio."""
    inputs = [constant_of(value) for value in node.inputs]
    is_old = node.op_type == "Upsample" or len(inputs) == 2  # data and scales; no region of interest
    sizes = inputs[3] if len(inputs) > 3 else None
    if sizes is not None and sizes.size:
        return
    scales = (inputs[1:2] if is_old else inputs[2:3]) or [attribute(node, "scales")]
    if scales[0] is None:
        raise Unrecognised("its size is computed in the graph")
    given = np.asarray(scales[0], np.float32)
    places = attribute(node, "axes", tuple(range(len(before))))
    exact = np.array([after[axis] / before[axis] for axis in places], np.float32)
    if not np.array_equal(given, exact):
        raise Unrecognised(f"scales {given.tolist()} are not exactly {after} over {before}")


def _old(mode: str, before: tuple[int, ...], after: tuple[int, ...]) -> UpsampleSpec:
    """Before opset 11; what shrinking meant was left open then."""
    if any(new < old for old, new in zip(before, after, strict=True)):
        raise Unrecognised("shrinks by a rule of before opset 11")
    if mode == "nearest":
        return UpsampleSpec(mode="nearest", coordinates="asymmetric", rounding="floor")
    return UpsampleSpec(coordinates="asymmetric")
