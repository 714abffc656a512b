"""Own max unpooling without indices. Leave alone what overlaps, pads or dilates.

TensorRT has no Indices output of MaxPool and no MaxUnpool (onnx-tensorrt, operators.md). The indices are not needed
where windows do not overlap: where a window of the pool's input has its maximum says where the value goes. Two forms
are taken: ONNX's MaxPool -> MaxUnpool, and the ScatterND that torch's exporter makes of nn.MaxUnpool2d.

The place is found by comparing the elements of a window one after the other, each with the best before it, and not by
comparing the input with its maximum: so each window has exactly one place, the first in row-major order on a tie as in
PyTorch and ONNX Runtime, whatever a precision does to the numbers in between. For finite numbers the result is equal
to the bit. A NaN never wins against a number that came before it, where PyTorch lets it win; a window of -inf alone
takes its first place, as in PyTorch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.access import attribute, constant_of, shape_of
from edgeseg.graph.rewrites.building import Patch, Rewritten, is_op, numpy_type, through

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["apply"]

RULE = "unpooling"
SHAPE_ONLY = ("Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity")


class _Unpool(NamedTuple):
    """What the pool looked at, the values that go back, their shape (flat or not), and the side of a window."""

    image: ir.Value
    values: ir.Value
    shape: tuple[int, ...]
    side: int


def apply(model: ir.Model) -> list[Rewritten]:
    """Replace every max unpooling whose windows tile the pool's input; one row or column too many stays zero."""
    done = []
    for node in list(model.graph):
        found = _of_max_unpool(node) or _of_scatter(node)
        if found is not None:
            done.append(_without_indices(model, node, found))
    return done


def _without_indices(model: ir.Model, node: ir.Node, found: _Unpool) -> Rewritten:
    patch = Patch(model, node, RULE)
    place = _place_of_maximum(patch, found)
    spread = _put(patch, place, found)
    old = node.outputs[0]
    flat = spread if len(old.shape or ()) == 4 else patch.reshape(spread, shape_of(old) or ())
    return patch.replace(old, flat, "values go where the pool's input has its maximum, without indices")


def _place_of_maximum(patch: Patch, found: _Unpool) -> ir.Value:
    """In each window the number (int32, row-major) of the first element that is as large as any."""
    best, place = _element(patch, found, 0), patch.constant(0, np.int32)
    for number in range(1, found.side**2):
        element = _element(patch, found, number)
        is_larger = patch.op("Greater", [element, best])
        place = patch.op("Where", [is_larger, patch.constant(number, np.int32), place])
        best = patch.op("Where", [is_larger, element, best])
    return place


def _element(patch: Patch, found: _Unpool, number: int) -> ir.Value:
    """The same element of all windows: the input in steps, without the rest that fills no window."""
    row, column = divmod(number, found.side)
    _, _, height, width = found.shape
    ends = [height * found.side, width * found.side]
    bounds = [patch.constant(one, np.int64) for one in ([row, column], ends, [2, 3], [found.side] * 2)]
    return patch.op("Slice", [found.image, *bounds])


def _put(patch: Patch, place: ir.Value, found: _Unpool) -> ir.Value:
    """Each value at its place in its window, zero elsewhere, in the size of the pool's input."""
    batch, channels, height, width = found.shape
    count = found.side**2
    numbers = patch.constant(np.arange(count).reshape(1, count, 1, 1, 1), np.int32)
    is_there = patch.op("Equal", [patch.reshape(place, (batch, 1, channels, height, width)), numbers])
    values = patch.reshape(found.values, (batch, 1, channels, height, width))
    zero = patch.constant(0, numpy_type(found.values))
    planes = patch.reshape(patch.op("Where", [is_there, values, zero]), (batch, count * channels, height, width))
    spread = patch.op("DepthToSpace", [planes], {"blocksize": found.side, "mode": "DCR"})
    rest = np.subtract(shape_of(found.image) or (), (batch, channels, height * found.side, width * found.side))
    return patch.op("Pad", [spread, patch.constant([0, 0, 0, 0, *rest], np.int64)]) if rest.any() else spread


def _of_max_unpool(node: ir.Node) -> _Unpool | None:
    """ONNX's own form; without ``output_shape``, or with one that is the pool's input anyhow.

    Where a size is odd, ONNX's text and ONNX Runtime read the indices differently: that is left alone.
    """
    if not is_op(node, "MaxUnpool") or any(attribute(node, "pads", ())):
        return None
    found = _tiling(_pool_of(through(node.inputs[1], "Identity")), node.inputs[0])
    if found is None or tuple(attribute(node, "kernel_shape")) != (found.side,) * 2:
        return None
    is_tight = tuple(attribute(node, "strides", (1, 1))) == (found.side,) * 2
    tiled = (*found.shape[:2], *(length * found.side for length in found.shape[2:]))
    is_whole = shape_of(node.outputs[0]) == shape_of(found.image) == tiled
    return found if is_tight and is_whole else None


def _of_scatter(node: ir.Node) -> _Unpool | None:
    """Torch's form: values scattered into a flat tensor of zeros, at indices made of the pool's own."""
    if not is_op(node, "ScatterND") or attribute(node, "reduction", "none") != "none":
        return None
    target, indices, updates = node.inputs
    pool, offset = _index(through(indices, *SHAPE_ONLY))
    found = _tiling(pool, updates)
    if found is None or offset is None or np.any(offset) or not _is_zero(target):
        return None
    whole, count = math.prod(shape_of(found.image) or ()), math.prod(found.shape)
    is_flat = [shape_of(one) for one in node.inputs] == [(whole,), (count, 1), (count,)]
    return found if is_flat else None


def _pool_of(indices: ir.Value | None) -> ir.Node | None:
    node = None if indices is None else indices.producer()
    return node if is_op(node, "MaxPool") and node is not None and indices is not node.outputs[0] else None


def _tiling(pool: ir.Node | None, values: ir.Value | None) -> _Unpool | None:
    """The unpooling of a pool whose windows are squares side by side."""
    image, small = (None, None) if pool is None else (pool.inputs[0], shape_of(pool.outputs[0]))
    whole = shape_of(image)
    if pool is None or image is None or values is None or whole is None or len(whole) != 4:
        return None
    kernel = tuple(attribute(pool, "kernel_shape"))
    side = kernel[0]
    is_tiling = kernel == tuple(attribute(pool, "strides", (1, 1))) == (side, side) and side > 1
    if not is_tiling or any(attribute(pool, "pads", ())) or set(attribute(pool, "dilations", (1,))) != {1}:
        return None
    tiles = (*whole[:2], whole[2] // side, whole[3] // side)
    return None if attribute(pool, "storage_order", 0) or small != tiles else _Unpool(image, values, tiles, side)


def _index(value: ir.Value | None) -> tuple[ir.Node | None, NDArray[Any] | None]:
    """The pool that indices come from, and the constant that was added to them."""
    node = None if value is None else value.producer()
    if (pool := _pool_of(value)) is not None:
        return pool, np.zeros(1, np.int64)
    if node is None or not is_op(node, "Add", "Sub"):
        return None, None
    pool, offset = _index(node.inputs[0])
    known = _known(node.inputs[1])
    if offset is None or known is None:
        return None, None
    return pool, offset + known if node.op_type == "Add" else offset - known


def _known(value: ir.Value | None) -> NDArray[Any] | None:
    """Numbers that stand fast: a constant, or a part of the indices of a pool with windows of one element.

    Torch's exporter makes the indices of each channel count from 0 with the latter.
    """
    constant = constant_of(value)
    node = None if value is None else value.producer()
    if constant is not None or node is None or not is_op(node, "Slice"):
        return constant
    pool, shape = _pool_of(node.inputs[0]), shape_of(node.inputs[0])
    bounds = [constant_of(one) for one in node.inputs[1:]]
    starts, ends, axes, steps = (bounds[at] if at < len(bounds) else None for at in range(4))
    if pool is None or shape is None or starts is None or ends is None or not _takes_single_elements(pool):
        return None
    numbers = [np.arange(length) for length in shape]
    for at, axis in enumerate(range(len(starts)) if axes is None else axes):
        numbers[axis] = numbers[axis][slice(starts[at], ends[at], None if steps is None else steps[at])]
    return np.asarray(np.ravel_multi_index(np.ix_(*numbers), shape))


def _takes_single_elements(pool: ir.Node) -> bool:
    windows = (*attribute(pool, "kernel_shape"), *attribute(pool, "strides", (1,)))
    return set(windows) == {1} and not any(attribute(pool, "pads", ()))


def _is_zero(value: ir.Value | None) -> bool:
    value = through(value, "Reshape", "Identity")
    constant = constant_of(value)
    if constant is not None:
        return not constant.any()
    node = None if value is None else value.producer()
    fill = None if node is None else attribute(node, "value")
    return node is not None and is_op(node, "ConstantOfShape") and (fill is None or not fill.numpy().any())
