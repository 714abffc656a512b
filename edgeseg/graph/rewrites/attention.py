"""Own the Attention operator of opset 23. Leave alone what keeps a past, groups heads or caps scores.

Torch's exporter makes it of scaled_dot_product_attention from opset 23 on. The parser of TensorRT-RTX 1.7.1 takes it,
but its builder crashes the process on a machine without a driver (measured, FP32 and FP16); TensorRT 10.3 does not know
it. MatMul, Softmax and MatMul are its definition in ONNX, and the form that all back ends know to fuse. The results
differ by rounding only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgeseg.graph.access import attribute, shape_of
from edgeseg.graph.rewrites.building import Patch, Rewritten, is_op, numpy_type, required

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["apply"]

RULE = "attention"


class _Plain(NamedTuple):
    """Queries, keys and values (batch, heads, tokens, channels), what masks the scores, and their scale."""

    query: ir.Value
    key: ir.Value
    value: ir.Value
    mask: ir.Value | None
    is_causal: bool
    scale: float


def apply(model: ir.Model) -> list[Rewritten]:
    """Replace every Attention of separate heads, with a mask or without."""
    found = [(node, _plain_of(node)) for node in model.graph if is_op(node, "Attention")]
    return [_as_products(model, node, plain) for node, plain in found if plain is not None]


def _plain_of(node: ir.Node) -> _Plain | None:
    query, key, value = (required(node, index) for index in range(3))
    mask, *past = [*node.inputs[3:], None]
    shapes = [shape_of(one) for one in (query, key, value)]
    if any(shape is None or len(shape) != 4 for shape in shapes) or len({shape[1] for shape in shapes if shape}) != 1:
        return None
    if any(one is not None for one in past) or any(one.uses() for one in node.outputs[1:]):
        return None
    scale = attribute(node, "scale") or 1 / math.sqrt((shapes[0] or ())[-1])
    plain = _Plain(query, key, value, mask, bool(attribute(node, "is_causal", 0)), scale)
    return None if attribute(node, "softcap", 0.0) else plain


def _as_products(model: ir.Model, node: ir.Node, plain: _Plain) -> Rewritten:
    patch = Patch(model, node, RULE)
    weights = patch.op("Softmax", [_masked(patch, plain, _scores(patch, plain))], {"axis": -1})
    result = patch.op("MatMul", [weights, plain.value])
    return patch.replace(node.outputs[0], result, "MatMul, Softmax and MatMul")


def _scores(patch: Patch, plain: _Plain) -> ir.Value:
    """Both sides take the root of the scale, as ONNX says, so that FP16 does not overflow."""
    root = patch.constant(math.sqrt(plain.scale), numpy_type(plain.query))
    turned = patch.op("Transpose", [patch.op("Mul", [plain.key, root])], {"perm": [0, 1, 3, 2]})
    return patch.op("MatMul", [patch.op("Mul", [plain.query, root]), turned])


def _masked(patch: Patch, plain: _Plain, scores: ir.Value) -> ir.Value:
    lowest = patch.constant(-np.inf, numpy_type(plain.query))
    if plain.is_causal:
        tokens, others = ((shape_of(one) or ())[2] for one in (plain.query, plain.key))
        scores = patch.op("Where", [patch.constant(np.tri(tokens, others), np.bool_), scores, lowest])
    if plain.mask is None:
        return scores
    if numpy_type(plain.mask) == np.bool_:
        return patch.op("Where", [plain.mask, scores, lowest])
    return patch.op("Add", [scores, plain.mask])
