"""Own the counts of a graph: nodes, parameters, multiplications, memory. Change nothing, fix no sizes."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, NamedTuple

from edgeseg.graph.access import attribute, module_path, shape_of
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["GraphCounts", "NodeCount", "OpCount", "count"]

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class NodeCount:
    """One node of a graph.

    Attributes:
        name: of the node; may be empty.
        op: its operator, with the domain where that is not ONNX's own.
        place: the module that torch's exporter says it came from; empty if it does not say.
        output: shape of its first output, None where it is not known.
        is_layer: whether it multiplies by weights.
        parameters: numbers in the floating-point and quantised constants that no node before it takes.
        parameter_bytes: their size as stored.
        macs: multiply-accumulates; None where a shape is not known, the operator is not ONNX's own, is recurrent, or
            holds a graph.
    """

    name: str
    op: str
    place: str
    output: Shape | None
    is_layer: bool
    parameters: int
    parameter_bytes: int
    macs: int | None


@dataclass(frozen=True, kw_only=True)
class OpCount:
    """All nodes of one operator; ``macs`` is None where one node's is."""

    op: str
    nodes: int
    parameters: int
    macs: int | None


@dataclass(frozen=True, kw_only=True)
class GraphCounts:
    """What a graph holds and costs.

    MACs are those of convolutions, matrix products, two-operand Einsum and Attention (scores and weighted sum, whole
    matrices even where it is causal); a bias and everything element by element count nothing. Twice that is the number
    of operations that torch's FlopCounterMode counts.

    Activations are what the image and the nodes fill, constants left out, each with its own buffer from its producer
    to its last consumer, in the file's order, and the graph's outputs to the end. Back ends that fuse or work in place
    need less; scratch memory comes on top.

    Attributes:
        nodes: of the outermost graph, in its order.
        activation_bytes: all activations together; None where a shape is not known.
        peak_bytes: the most that lives at once; None likewise.
    """

    nodes: tuple[NodeCount, ...]
    activation_bytes: int | None
    peak_bytes: int | None

    @property
    def layers(self) -> int:
        """How many nodes multiply by weights."""
        return sum(one.is_layer for one in self.nodes)

    @property
    def parameters(self) -> int:
        """A constant that several nodes take counts once."""
        return sum(one.parameters for one in self.nodes)

    @property
    def parameter_bytes(self) -> int:
        """As stored in the file."""
        return sum(one.parameter_bytes for one in self.nodes)

    @property
    def macs(self) -> int | None:
        """None where one node's is not known."""
        return _sum(one.macs for one in self.nodes)

    @property
    def uncounted(self) -> tuple[NodeCount, ...]:
        """The nodes whose MACs are not known."""
        return tuple(one for one in self.nodes if one.macs is None)

    def by_op(self) -> tuple[OpCount, ...]:
        """One line an operator: the costliest first, then the most frequent."""
        grouped: dict[str, list[NodeCount]] = {}
        for one in self.nodes:
            grouped.setdefault(one.op, []).append(one)
        found = [
            OpCount(
                op=op,
                nodes=len(same),
                parameters=sum(one.parameters for one in same),
                macs=_sum(one.macs for one in same),
            )
            for op, same in grouped.items()
        ]
        return tuple(sorted(found, key=lambda one: (-(one.macs or 0), -one.parameters, -one.nodes, one.op)))


def count(model: ir.Model) -> GraphCounts:
    """Count what a graph holds; MACs and memory want a graph whose shapes are inferred and fixed.

    Args:
        model: sorted, functions inlined.
    """
    constants = _constants(model)
    seen: set[ir.Value] = set()
    nodes = tuple(_count_node(node, constants, seen) for node in model.graph)
    sizes = _activation_sizes(model, constants)
    return GraphCounts(
        nodes=nodes,
        activation_bytes=None if sizes is None else sum(sizes.values()),
        peak_bytes=None if sizes is None else _peak(model, sizes),
    )


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = list(numbers)
    return None if None in known else sum(one for one in known if one is not None)


def _constants(model: ir.Model) -> set[ir.Value]:
    """The values that follow from constants alone, as dequantised weights do."""
    found = {*model.graph.initializers.values()}
    for node in model.graph:
        if all(value is None or value in found for value in node.inputs) and not _holds_graph(node):
            found.update(node.outputs)
    return found


def _count_node(node: ir.Node, constants: set[ir.Value], seen: set[ir.Value]) -> NodeCount:
    parameters = {value: tensor for value, tensor in _parameters(node).items() if value not in seen}
    seen.update(parameters)
    is_product = not node.domain and node.op_type in MACS
    return NodeCount(
        name=node.name or "",
        op=f"{node.domain}.{node.op_type}" if node.domain else node.op_type,
        place=module_path(node),
        output=shape_of(node.outputs[0]) if node.outputs else None,
        is_layer=is_product and any(value in constants for value in node.inputs[:WEIGHTS_END]),
        parameters=sum(tensor.size for tensor in parameters.values()),
        parameter_bytes=sum(ceil(tensor.nbytes) for tensor in parameters.values()),
        macs=_macs(node),
    )


def _parameters(node: ir.Node) -> dict[ir.Value, ir.TensorProtocol]:
    """Floating-point constants, and integers that are the numbers of a quantised one; settings and shapes are none."""
    if node.op_type in SET_BY_INPUTS:
        return {}
    constant = require("onnx_ir").convenience.get_const_tensor
    tensors = {value: constant(value) for value in node.inputs if value is not None}
    is_quantised = node.op_type == "DequantizeLinear"
    return {
        value: tensor
        for value, tensor in tensors.items()
        if tensor is not None and (tensor.dtype.is_floating_point() or (is_quantised and value is node.inputs[0]))
    }


def _macs(node: ir.Node) -> int | None:
    if node.domain or node.op_type in UNCOUNTED or _holds_graph(node):
        return None
    rule = MACS.get(node.op_type)
    return 0 if rule is None else rule(node)


def _holds_graph(node: ir.Node) -> bool:
    """Whether it is an If, a Loop or a Scan."""
    kinds = require("onnx_ir").AttributeType
    return any(one.type in (kinds.GRAPH, kinds.GRAPHS) for one in node.attributes.values())


def _conv(node: ir.Node, weights_index: int = 1) -> int | None:
    """Each number of the output sums over one filter; padding counts, as in torch."""
    output, weights = shape_of(node.outputs[0]), shape_of(node.inputs[weights_index])
    return None if output is None or weights is None else prod(output) * prod(weights[1:])


def _conv_transpose(node: ir.Node) -> int | None:
    """Each number of the input is spread by one filter."""
    image, weights = shape_of(node.inputs[0]), shape_of(node.inputs[1])
    return None if image is None or weights is None else prod(image) * prod(weights[1:])


def _matmul(node: ir.Node) -> int | None:
    output, left = shape_of(node.outputs[0]), shape_of(node.inputs[0])
    return None if output is None or left is None else prod(output) * left[-1]


def _gemm(node: ir.Node) -> int | None:
    output, left = shape_of(node.outputs[0]), shape_of(node.inputs[0])
    if output is None or left is None:
        return None
    return prod(output) * left[0 if attribute(node, "transA", 0) else 1]


def _einsum(node: ir.Node) -> int | None:
    """Of two operands that are summed over a common index: one product a combination of all indices."""
    output, shapes = shape_of(node.outputs[0]), [shape_of(value) for value in node.inputs]
    if len(shapes) == 1:
        return 0
    if output is None or len(shapes) != 2 or None in shapes:
        return None
    terms, arrow, result = str(attribute(node, "equation")).replace(" ", "").partition("->")
    kept = result if arrow else "".join(label for label, times in Counter(terms).items() if times == 1)
    sides: dict[str, int] = {}
    for term, shape in zip(terms.split(","), shapes, strict=True):
        sides |= _sides_of(term, shape or ())
    summed = [side for label, side in sides.items() if label not in kept]
    return prod(output) * prod(summed) if summed else 0


def _sides_of(term: str, shape: Shape) -> dict[str, int]:
    """The side of every index of one operand; what the dots stand for is left out."""
    before, _, after = term.partition("...")
    return {**dict(zip(before, shape, strict=False)), **dict(zip(after[::-1], shape[::-1], strict=False))}


def _attention(node: ir.Node) -> int | None:
    """Queries times keys, then the scores times values, without a cache of earlier ones."""
    query, key, value = (shape_of(one) for one in node.inputs[:3])
    if query is None or key is None or value is None or any(one is not None for one in node.inputs[4:6]):
        return None
    heads = query[1] if len(query) == 4 else attribute(node, "q_num_heads")
    kept_heads = value[1] if len(value) == 4 else attribute(node, "kv_num_heads")
    head_width = query[-1] if len(query) == 4 else query[-1] // heads
    value_width = value[-1] if len(value) == 4 else value[-1] // kept_heads
    return int(query[0] * heads * query[-2] * key[-2] * (head_width + value_width))


#: a product's two operands stand before this place, biases behind it; of QLinear's, whose weights are at 3, a scale is
WEIGHTS_END = 2
UNCOUNTED = {"RNN", "GRU", "LSTM"}
#: scales and limits that enter as floating-point constants
SET_BY_INPUTS = {"Resize", "Upsample", "Clip", "Pad", "Dropout"}
MACS: dict[str, Callable[[ir.Node], int | None]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "DeformConv": _conv,
    "QLinearConv": functools.partial(_conv, weights_index=3),
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
}


class _Life(NamedTuple):
    """From which node on a value is kept, and up to which, as places in the order."""

    begin: int
    end: int


def _activation_sizes(model: ir.Model, constants: set[ir.Value]) -> dict[ir.Value, int] | None:
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    sizes: dict[ir.Value, int] = {}
    for value in values:
        if value in constants or not value.name:
            continue
        shape = shape_of(value)
        if shape is None or value.dtype is None:
            return None
        sizes[value] = ceil(prod(shape) * value.dtype.itemsize)
    return sizes


def _peak(model: ir.Model, sizes: dict[ir.Value, int]) -> int:
    places = {node: place for place, node in enumerate(model.graph)}
    lives = [(_life(value, places), size) for value, size in sizes.items()]
    changes = [0] * (len(places) + 1)
    for life, size in lives:
        changes[life.begin] += size
        changes[life.end + 1] -= size
    peak = now = 0
    for change in changes:
        now += change
        peak = max(peak, now)
    return peak


def _life(value: ir.Value, places: dict[ir.Node, int]) -> _Life:
    producer = value.producer()
    begin = 0 if producer is None else places[producer]
    if value.is_graph_output():
        return _Life(begin, len(places) - 1)
    return _Life(begin, max((places.get(node, len(places) - 1) for node in value.consumers()), default=begin))
