"""Own the question which node of a graph first made NaN or infinity, from the ranges of one run. Run nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isfinite, isinf, isnan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgeseg.errors import ModelError
from edgeseg.graph.access import constant_of, described

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Span", "check_finite"]

#: how attention leaves places out: minus infinity, a constant, is put in or added before a Softmax
MASKING = {"Where", "Add", "Expand", "Concat"}
#: below it the sum of a tensor (10**10 values at most) stays in float32
SUMMABLE = 1e28
HINT = "look there, and in the weights, for a division by 0, a logarithm or numbers out of all proportion"


class Span(NamedTuple):
    """The smallest and the largest value of a tensor, which may pass over NaN, and the sum, which does not."""

    low: float
    high: float
    total: float


def check_finite(model: ir.Model, spans: Mapping[str, Span], needed: Collection[str], image: str) -> None:
    """Refuse a run in which a node made NaN or infinity of finite numbers.

    Infinity that comes from a constant of the graph, as in the masks of attention, is let pass until it becomes NaN.

    Args:
        model: the graph.
        spans: of its float32 values, by name.
        needed: names of those that have to be finite whatever their origin.
        image: what the run was of; ends the message.
    Raises:
        ModelError: names the first such node in the graph's order.
    """
    masked = set[str]()
    for node in model.graph:
        for name in (value.name or "" for value in node.outputs):
            span = spans.get(name)
            if span is None or isfinite(span.total):
                continue
            if isnan(span.total) or name in needed or not _is_masking(node, masked):
                raise ModelError(f"{described(node)} gives {_word(span)} on {image}{_weights(node)}", HINT)
            masked.add(name)


def _is_masking(node: ir.Node, masked: Collection[str]) -> bool:
    if any(value is not None and value.name in masked for value in node.inputs):
        return True
    return node.op_type in MASKING and any(_is_wild(value) for value in node.inputs)


def _is_wild(value: ir.Value | None) -> bool:
    constant = constant_of(value)
    return constant is not None and constant.dtype.kind == "f" and not np.isfinite(constant).all()


def _word(span: Span) -> str:
    if isinf(span.low) or isinf(span.high):
        return "infinity"
    largest = max(-span.low, span.high)
    return f"numbers up to {largest:.1e}, whose sum is infinite," if largest > SUMMABLE else "NaN"


def _weights(node: ir.Node) -> str:
    wild = [value.name for value in node.inputs if value is not None and _is_wild(value)]
    return f" (its constant '{wild[0]}' holds NaN or infinity)" if wild else ""
