"""Own adaptive average pooling whose bins differ in size. Leave every other pooling alone.

TensorRT takes what torch's exporter makes of it, but at a price: the pixels of all bins are gathered by index and
masked, and each pixel of the largest bin is a Gather and an Add of its own (measured with torch 2.13: PSPNet's 3 bins
at 64x128 are 1962 nodes, its 6 bins 544). The map is linear, and two MatMuls with constants, one that averages columns
and one that averages rows, compute it. The results differ by rounding only.

The form is recognised by what it computes: the nodes from the Transpose before the gathering to the Div or ReduceMean
at the end are linear and see nothing else; they are run on random numbers, and have to give the averages of the bins
(in float32: rounding in float16 would hide too much).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.access import constant_of, shape_of
from edgeseg.graph.rewrites.building import Patch, Rewritten, is_op, numpy_type, required
from edgeseg.graph.rewrites.separable import Weights, separable
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["apply"]

RULE = "adaptive_pooling"
LINEAR = ("Add", "Gather", "Transpose", "Where")  # between the gathering and the end
ENDS = ("Div", "ReduceMean")
ROUNDING = 1e-5  # sums in another order, of constants in float32


class _Pooling(NamedTuple):
    """The value that is pooled, and the node that ends the pooling."""

    image: ir.Value
    end: ir.Node


def apply(model: ir.Model) -> list[Rewritten]:
    """Replace every gathering of bins that computes their averages."""
    found = [_from_gathering(model.graph, node) for node in model.graph if is_op(node, "GatherND")]
    return [_as_products(model, one) for one in found if one is not None and _is_average(model, one)]


def _as_products(model: ir.Model, found: _Pooling) -> Rewritten:
    patch = Patch(model, found.end, RULE)
    (*_, height, width), (*_, rows, columns) = _shapes(found)
    pooled = separable(patch, found.image, _averages(height, rows), _averages(width, columns))
    return patch.replace(found.end.outputs[0], pooled, f"{height}x{width} to {rows}x{columns} bins by two MatMuls")


def _averages(old: int, new: int) -> Weights:
    """(new, old): torch's bins, from ``floor(i * old / new)`` up to ``ceil((i + 1) * old / new)``."""
    weights = np.zeros((new, old))
    for bin_, row in enumerate(weights):
        row[bin_ * old // new : -(-(bin_ + 1) * old // new)] = 1.0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _from_gathering(graph: ir.Graph, gathering: ir.Node) -> _Pooling | None:
    """What follows a GatherND up to the one node that ends it, where nothing else joins or leaves."""
    before = required(gathering, 0).producer()
    if before is None or not is_op(before, "Transpose") or not _has_sound_indices(gathering):
        return None
    inside: list[ir.Node] = [gathering]
    ends: list[ir.Node] = []
    known = {gathering.outputs[0]}
    for node in graph:
        if is_op(node, *LINEAR, *ENDS) and _takes_only(node, known):
            (ends if is_op(node, *ENDS) else inside).append(node)
            known |= set() if is_op(node, *ENDS) else set(node.outputs)
    image = before.inputs[0]
    if image is None or len(ends) != 1 or not all(_stays_within(node, {*inside, *ends}) for node in inside):
        return None
    return _Pooling(image, ends[0])


def _has_sound_indices(gathering: ir.Node) -> bool:
    """Constant ones within the image: torch exports a dynamic net for the size of its example, wrong for others."""
    data, indices = shape_of(gathering.inputs[0]), constant_of(gathering.inputs[1])
    if data is None or indices is None or indices.shape[-1] > len(data):
        return False
    sides = np.array(data[: indices.shape[-1]])
    return bool(((indices >= -sides) & (indices < sides)).all())


def _takes_only(node: ir.Node, known: set[ir.Value]) -> bool:
    """Whether a node's inputs are known values and constants, and at least one is a known value."""
    varying = [one for one in node.inputs if one is not None and constant_of(one) is None]
    return bool(varying) and all(one in known for one in varying)


def _stays_within(node: ir.Node, nodes: set[ir.Node]) -> bool:
    output = node.outputs[0]
    return not output.is_graph_output() and all(one in nodes for one in output.consumers())


def _shapes(found: _Pooling) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return shape_of(found.image) or (), shape_of(found.end.outputs[0]) or ()


def _is_average(model: ir.Model, found: _Pooling) -> bool:
    """Whether the nodes give the averages of the bins, for one channel of random numbers; they treat all alike."""
    old, new = _shapes(found)
    if len(old) != 4 or len(new) != 4 or old[:2] != new[:2] or numpy_type(found.image) != np.float32:
        return False
    image = np.random.default_rng(0).normal(size=(1, 1, *old[2:])).astype(np.float32)
    expected = _averages(old[2], new[2]) @ image @ _averages(old[3], new[3]).T
    got = _run(model, found, image)
    return got.shape == expected.shape and bool(np.allclose(got, expected, rtol=0, atol=ROUNDING))


def _run(model: ir.Model, found: _Pooling, image: NDArray[np.float32]) -> NDArray[np.float32]:
    onnx_ir, reference = require("onnx_ir"), require("onnx.reference")
    end = found.end.outputs[0]
    part = onnx_ir.convenience.extract(model.graph, [found.image], [end])
    proto = onnx_ir.to_proto(onnx_ir.Model(part, ir_version=model.ir_version))
    return np.asarray(reference.ReferenceEvaluator(proto).run(None, {found.image.name: image})[0])
