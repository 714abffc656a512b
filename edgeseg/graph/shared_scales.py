"""Own the question which tensors must have one scale, since what stands between them computes nothing. Measure none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgeseg.graph.qdq_rules import COPIES

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["shared"]

#: operators whose results are some of their numbers, or means of them: what goes in and out fits one range
PASSING = (*COPIES, "MaxPool", "Resize")


def shared(model: ir.Model, thresholds: Mapping[str, float]) -> dict[str, float]:
    """Thresholds where those of tensors that are copies of each other are the largest among them.

    TensorRT moves quantisation across copies; where two sides of one differ in scale it has to compute the numbers
    anew, which costs more time than the coarser scale costs accuracy.

    Args:
        model: in float32, without quantisation.
        thresholds: of the activations that are quantised, by name.
    """
    leader = {name: name for name in thresholds}

    def first(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for node in model.graph:
        if node.op_type in PASSING:
            values = [value.name or "" for value in (*node.inputs, *node.outputs) if value is not None]
            known = [name for name in values if name in thresholds]
            for name in known[1:]:
                leader[first(name)] = first(known[0])
    largest: dict[str, float] = {}
    for name, threshold in thresholds.items():
        largest[first(name)] = max(threshold, largest.get(first(name), 0.0))
    return {name: largest[first(name)] for name in thresholds}
