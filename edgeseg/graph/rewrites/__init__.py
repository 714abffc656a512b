"""Own the order of the rules that replace what TensorRT cannot take. Each rule is a module of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.graph.rewrites.building import Rewritten

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Rewritten", "rewrite"]


def rewrite(model: ir.Model) -> list[Rewritten]:
    """Replace, in place, what TensorRT refuses by what computes the same and every back end takes."""
    return []
