"""Own the order of the rules that replace what TensorRT cannot take. Each rule is a module of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.graph.access import infer_shapes
from edgeseg.graph.rewrites import (
    adaptive_pooling,
    antialiasing,
    attention,
    folding,
    integers,
    pixel_input,
    ranking,
    slicing,
    unpooling,
)
from edgeseg.graph.rewrites.building import Rewritten
from edgeseg.graph.rewrites.refused import Unsupported, unsupported
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Rewritten", "Unsupported", "rewrite", "unsupported"]

# integers come last: the pixels' Cast and the unpooling take some of them away
RULES = (
    unpooling, folding, adaptive_pooling, antialiasing, attention, slicing, ranking, pixel_input, integers,
)  # fmt: skip


def rewrite(model: ir.Model) -> list[Rewritten]:
    """Replace, in place, what TensorRT refuses by what computes the same and every back end takes.

    Args:
        model: with static shapes, inferred; its inputs and outputs stay as they are.
    Returns:
        What was done, in order. Shapes are inferred again, and nodes that nothing uses are gone.
    """
    done: list[Rewritten] = []
    for rule in RULES:
        changes = rule.apply(model)
        if changes:
            _tidy(model)
        done += changes
    return done


def _tidy(model: ir.Model) -> None:
    """Remove what nothing uses, give all names once, infer the new nodes' shapes."""
    passes = require("onnx_ir.passes.common")
    passes.RemoveUnusedNodesPass()(model)
    passes.NameFixPass()(model)
    infer_shapes(model)
