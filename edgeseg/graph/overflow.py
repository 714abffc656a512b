"""Own the question which nodes 16 bits cannot hold, from what was measured of a net. Cast nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.graph.access import attribute, constant_of, described, shape_of
from edgeseg.graph.casting import LowPrecision
from edgeseg.graph.qdq import LAYERS, Quantisation

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["WideNode", "ranked", "too_wide"]

#: the largest float16 (IEEE 754, binary16)
LARGEST = 65504.0
#: of a peak that was measured; other pictures may reach further
MARGIN = 2.0
#: a scale below this loses more than 1 % when it becomes float16, whose steps are 2**-24 there
SMALLEST_SCALE = 100 * 2.0**-24 / 2
SUMS = ("GlobalAveragePool", "AveragePool", "ReduceMean", "ReduceSum", "ReduceL1", "CumSum")
SQUARES = (
    "InstanceNormalization", "LayerNormalization", "GroupNormalization", "MeanVarianceNormalization",
    "LpNormalization", "RMSNormalization", "ReduceL2", "ReduceSumSquare", "GlobalLpPool",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WideNode:
    """A node that stays in float32: its name, its words (``access.described``), and why."""

    name: str
    node: str
    reason: str


def ranked(model: ir.Model) -> frozenset[str]:
    """The names of every TopK and of what follows it up to the next layer.

    These are ranks, and the coordinates of what was chosen. In 8 bits most ranks are ties, and a coordinate of a
    picture 1088 pixels wide is 4 pixels off; in float16 still half a pixel.
    """
    names: set[str] = set()
    reached: set[ir.Value | None] = set()
    for node in model.graph:  # in the order of their dependence
        is_layer = node.op_type in LAYERS and any(constant_of(value) is not None for value in node.inputs)
        if node.op_type == "TopK" or (not is_layer and not reached.isdisjoint(node.inputs)):
            names.add(node.name or "")
            reached.update(node.outputs)
    return frozenset(names)


def too_wide(
    model: ir.Model,
    peaks: Mapping[str, float],
    kind: LowPrecision,
    *,
    quantisation: Quantisation | None = None,
) -> tuple[WideNode, ...]:
    """The nodes that have to stay in float32, in the order of the graph.

    Args:
        model: in float32, without quantisation.
        peaks: the largest magnitude that was seen of every float tensor, by name.
        kind: bfloat16 reaches as far as float32, so there only ranks stay.
        quantisation: whose scales have to be held too.
    """
    ranks = ranked(model)
    scales = _small_scales(quantisation)
    found = []
    for node in model.graph:
        reasons = _reasons(node, peaks, scales) if kind == "fp16" else iter(())
        reason = "it ranks, or follows ranks" if node.name in ranks else next(reasons, None)
        if reason is not None:
            found.append(WideNode(name=node.name or "", node=described(node), reason=reason))
    return tuple(found)


def _small_scales(quantisation: Quantisation | None) -> dict[str, float]:
    """By node, the smallest scale in front of it, where float16 does not hold it."""
    found: dict[str, float] = {}
    for site in quantisation.sites if quantisation else ():
        smallest = float(np.min(quantisation.scales[site.tensor])) if quantisation else 1.0
        if smallest < SMALLEST_SCALE:
            found[site.node] = min(smallest, found.get(site.node, smallest))
    return found


def _reasons(node: ir.Node, peaks: Mapping[str, float], scales: Mapping[str, float]) -> Iterator[str]:
    for value in (*node.inputs, *node.outputs):
        peak = _peak(value, peaks)
        if peak * MARGIN > LARGEST:
            yield f"'{value.name}' reaches {peak:.3g}"  # type: ignore[union-attr]  # None has no peak
    rule = INNER.get(node.op_type)
    if rule is not None:
        inner = rule(node, _peak(node.inputs[0], peaks))
        if inner * MARGIN > LARGEST:
            yield f"its sum may reach {inner:.3g}"
    smallest = scales.get(node.name or "")
    if smallest is not None:
        yield f"the scale {smallest:.3g} is too small for float16"


def _peak(value: ir.Value | None, peaks: Mapping[str, float]) -> float:
    """What was measured, or of a constant what it holds; infinite numbers are meant to be (masks of attention)."""
    if value is None:
        return 0.0
    numbers = constant_of(value)
    if numbers is None:
        return peaks.get(value.name or "", 0.0)
    if numbers.dtype != np.float32 or not numbers.size:
        return 0.0
    return float(np.abs(numbers, where=np.isfinite(numbers), out=np.zeros_like(numbers)).max())


def _sum(node: ir.Node, peak: float) -> float:
    return peak * _summed(node)


def _sum_of_squares(node: ir.Node, peak: float) -> float:
    return peak * peak * _summed(node)


def _summed(node: ir.Node) -> int:
    """How many numbers come together in one, at most."""
    if node.op_type == "AveragePool":
        return prod(attribute(node, "kernel_shape", (1,)))
    before, after = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if before is None:
        return 1
    if node.op_type == "CumSum" or after is None:
        return max(before)
    if node.op_type in SQUARES and prod(before) == prod(after):  # a norm: over all but batch and channels
        return prod(before[2:]) if len(before) > 2 else before[-1]
    return max(prod(before) // max(prod(after), 1), 1)


INNER: dict[str, Callable[[ir.Node, float], float]] = {
    **dict.fromkeys(SUMS, _sum),
    **dict.fromkeys(SQUARES, _sum_of_squares),
}
