"""Own the chain of nodes that ends at an output, and what its values are at large. Judge no node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from edgeseg.graph.access import constant_of
from edgeseg.graph.tail_deconvolution import is_interpolation

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["NOTABLE", "Link", "Nature", "chain_to", "natures_of"]

#: what a value is as a whole, whatever its axes mean
Nature = Literal["logits", "probabilities", "ids"]

MOVING = frozenset(("Flatten", "Gather", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"))
KEEPING = MOVING | {"Cast", "Clip", "ConvTranspose", "Dropout", "Identity", "Resize", "Upsample"}
ACTIVATIONS = frozenset(("HardSigmoid", "Sigmoid", "Softmax"))
DECISIONS = frozenset(
    ("ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Round", "TopK", "Where")
)
#: where one of these stays at a net's end, it is worth a word
NOTABLE = ACTIVATIONS | DECISIONS | {"Resize", "Upsample", "LogSoftmax"}
#: of these the first input is the value; the others are settings, sometimes computed from a shape
SET_BY_INPUTS = frozenset(
    ("Dropout", "Gather", "Reshape", "Resize", "Slice", "Squeeze", "TopK", "Unsqueeze", "Upsample")
)


class Link(NamedTuple):
    """A node, the value that it takes from the node before it, and the one that the next node takes."""

    node: ir.Node
    data: ir.Value
    out: ir.Value


def chain_to(value: ir.Value) -> list[Link]:
    """The nodes before a value that work on one other value each, up to the next layer with weights; in their order.

    A deconvolution that interpolates is no such layer, and the only ConvTranspose in a chain.
    Nothing else needs what passes between them, but for a shape: whatever reached the output otherwise would come in
    as a second value.
    """
    links: list[Link] = []
    while (link := _link(value)) is not None:
        links.append(link)
        value = link.data
    return links[::-1]


def _link(value: ir.Value) -> Link | None:
    node = value.producer()
    if node is None:
        return None
    inputs = [one for one in node.inputs if one is not None]
    if node.op_type == "ConvTranspose":
        return Link(node, inputs[0], value) if is_interpolation(node) else None
    arrays = [constant_of(one) for one in inputs]
    if node.op_type in SET_BY_INPUTS:
        return Link(node, inputs[0], value) if arrays[0] is None else None
    computed = [one for one, array in zip(inputs, arrays, strict=True) if array is None]
    has_weights = any(array is not None and array.size > 1 for array in arrays)
    return Link(node, computed[0], value) if len(computed) == 1 and not has_weights else None


def natures_of(chain: list[Link]) -> list[Nature]:
    """Of the value before every node of a chain, and of the last one's result."""
    found: list[Nature] = ["logits"]
    for link in chain:
        found.append(_nature_after(link.node.op_type, found[-1]))
    return found


def _nature_after(op_type: str, before: Nature) -> Nature:
    if op_type in KEEPING:
        return before
    if op_type in DECISIONS:
        return "ids"
    return "probabilities" if op_type in ACTIVATIONS else "logits"
