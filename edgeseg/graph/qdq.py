"""Own quantisation as a graph shows it: pairs of Q/DQ nodes, put in and taken off. Choose neither places nor ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.access import attribute, constant_of, infer_shapes
from edgeseg.graph.inserting import add_constant, insert_behind
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = [
    "LARGEST_CODE",
    "LAYERS",
    "Lifted",
    "Quantisation",
    "QuantisedKind",
    "Site",
    "active_sites",
    "channel_axis",
    "has_qdq",
    "layers_of",
    "lifted",
    "quantised",
    "sites_in",
    "weight_scales",
]

QuantisedKind = Literal["int8", "fp8"]
#: the operators whose products quantisation speeds up; all others follow them
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
#: what the largest number of a tensor becomes: 8 bits with a sign, and E4M3 (OCP 8-bit floating point, 2023, table 2)
LARGEST_CODE: dict[QuantisedKind, float] = {"int8": 127.0, "fp8": 448.0}
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"

Scale = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Site:
    """An input of a node that is quantised.

    Attributes:
        node: its name.
        input_index: which of its inputs.
        tensor: what that input is, in the graph without quantisation.
        axis: of a weight, the axis with a scale a channel; None where one scale holds for all.
    """

    node: str
    input_index: int
    tensor: str
    axis: int | None = None


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """All that quantises a graph: where, and by which scales.

    Attributes:
        kind: what the numbers become.
        sites: in the order of the graph.
        scales: float32, of every tensor of the sites: a scalar, or one of each channel along the site's axis.
    """

    kind: QuantisedKind
    sites: tuple[Site, ...]
    scales: Mapping[str, Scale]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes with sites, in the order of the graph."""
        return tuple(dict.fromkeys(site.node for site in self.sites))


class Lifted(NamedTuple):
    """A graph without its quantisation, and the quantisation."""

    model: ir.Model
    quantisation: Quantisation


def has_qdq(model: ir.Model) -> bool:
    """Whether anything in the graph is quantised."""
    return any(node.op_type in (QUANTIZE, DEQUANTIZE) for node in model.graph.all_nodes())


def layers_of(model: ir.Model) -> tuple[str, ...]:
    """The names of the layers (LAYERS), in the order of the graph."""
    return tuple(node.name or "" for node in model.graph if node.op_type in LAYERS)


def weight_scales(model: ir.Model, sites: Iterable[Site], kind: QuantisedKind) -> dict[str, Scale]:
    """The scales of the sites that are weights: the largest number (of each channel) becomes the largest code.

    A channel of zeros has scale 1.
    """
    nodes = {node.name: node for node in model.graph}
    found = {}
    for site in sites:
        weights = constant_of(nodes[site.node].inputs[site.input_index])
        if weights is not None:
            others = tuple(axis for axis in range(weights.ndim) if axis != site.axis)
            peaks = np.abs(weights.astype(np.float32)).max(axis=others if site.axis is not None else None)
            found[site.tensor] = np.where(peaks > 0, peaks / np.float32(LARGEST_CODE[kind]), 1).astype(np.float32)
    return found


def channel_axis(node: ir.Node, input_index: int) -> int | None:
    """Along which axis the weights of a layer have a scale a channel: that of its output channels.

    None for a deconvolution: its channels lie on axis 1, and TensorRT's kernels have taken them for axis 0 (TensorRT
    issues 1694, 1699, 2380); one scale for all is right whatever a kernel assumes.
    """
    if input_index != 1:
        return None
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    if node.op_type == "MatMul":
        weights = node.inputs[1]
        rank = len(weights.shape) if weights is not None and weights.shape is not None else 0
        return rank - 1 if rank > 1 else None
    return None


def active_sites(model: ir.Model, quantisation: Quantisation, kept: Collection[str] = ()) -> tuple[Site, ...]:
    """The sites that are left when some nodes keep the higher precision.

    What is no layer (an addition, a pooling) is quantised for the sake of the layers behind it, so it is left alone
    where none of those is.
    """
    sited = set(quantisation.nodes) - set(kept)
    useful: set[ir.Node] = set()
    for node in reversed(list(model.graph)):
        if node.op_type in LAYERS:
            if node.name in sited:
                useful.add(node)
        elif not useful.isdisjoint(node.successors()):
            useful.add(node)
    names = {node.name for node in useful} & sited
    return tuple(site for site in quantisation.sites if site.node in names)


def quantised(model: ir.Model, quantisation: Quantisation, *, kept: Collection[str] = ()) -> ir.Model:
    """A copy of the graph with a QuantizeLinear and a DequantizeLinear in front of the sites.

    Weights stay in floating point, so that the quantisation can be taken off again; every back end's builder makes
    codes of them. The scales take the dtype of what they scale: of a graph in float16, float16.

    Args:
        model: without quantisation, shapes inferred; left as it is.
        quantisation: the sites' nodes and inputs are those of ``model``, or of the graph that it was cast from.
        kept: names of nodes that keep the higher precision.
    """
    done: ir.Model = model.clone()
    nodes = {node.name: node for node in done.graph}
    pairs: dict[tuple[ir.Value, int | None], ir.Value] = {}
    for site in active_sites(model, quantisation, kept):
        node = nodes[site.node]
        value = node.inputs[site.input_index]
        if value is None:
            raise ValueError(f"{site} has no input there")
        key = (value, site.axis)
        if key not in pairs:
            pairs[key] = _pair(done, value, quantisation.scales[site.tensor], site.axis, quantisation.kind)
        node.replace_input_with(site.input_index, pairs[key])
    infer_shapes(done)
    return done


def _pair(model: ir.Model, value: ir.Value, scale: Scale, axis: int | None, kind: QuantisedKind) -> ir.Value:
    """The two nodes behind a value, and what comes out of them."""
    onnx_ir = require("onnx_ir")
    per_channel = {} if axis is None else {"axis": axis}
    dtype = value.dtype or onnx_ir.DataType.FLOAT
    step = add_constant(model, f"{value.name}_scale", scale.astype(dtype.numpy()), dtype)
    code = {"int8": onnx_ir.DataType.INT8, "fp8": onnx_ir.DataType.FLOAT8E4M3FN}[kind]
    zero = add_constant(model, f"{value.name}_zero_point", np.zeros(scale.shape, code.numpy()), code)
    tape = onnx_ir.tape.Tape()
    codes = tape.op(QUANTIZE, [value, step, zero], per_channel)
    back: ir.Value = tape.op(DEQUANTIZE, [codes, step, zero], per_channel)
    for node, name in zip(tape.nodes, (QUANTIZE, DEQUANTIZE), strict=True):
        node.name = node.outputs[0].name = f"{value.name}_{name}"
    codes.shape = back.shape = value.shape
    codes.type, back.type = onnx_ir.TensorType(code), onnx_ir.TensorType(dtype)
    insert_behind(model, value, tape.nodes)
    return back


def lifted(model: ir.Model) -> Lifted:
    """A copy of a graph without its quantisation, and what it was: ``quantised`` puts it back.

    Args:
        model: quantised by edgeseg, by Model Optimizer, or by any other tool that places such pairs; left as it is.
            Weights that are there as codes alone become what the codes stand for.
    """
    done: ir.Model = model.clone()
    order = {node: place for place, node in enumerate(done.graph)}
    sites: dict[tuple[int, int], Site] = {}
    scales: dict[str, Scale] = {}
    kind: QuantisedKind = "int8"
    for node in [one for one in done.graph if one.op_type == DEQUANTIZE]:
        source = _source(done, node)
        scale = constant_of(node.inputs[1])
        if scale is None or source.name is None:
            continue  # computed at run time: no quantisation that could be moved; the rules name it
        kind = _kind_of(node)
        axis = int(attribute(node, "axis", 1)) if scale.ndim == 1 and scale.size > 1 else None
        scales[source.name] = scale.astype(np.float32)
        for user, index in list(node.outputs[0].uses()):
            sites[order[user], index] = Site(node=user.name or "", input_index=index, tensor=source.name, axis=axis)
            user.replace_input_with(index, source)
    require("onnx_ir.passes.common").RemoveUnusedNodesPass()(done)
    infer_shapes(done)
    ordered = tuple(site for _, site in sorted(sites.items()))
    return Lifted(done, Quantisation(kind=kind, sites=ordered, scales=scales))


def _kind_of(dequantize: ir.Node) -> QuantisedKind:
    codes = dequantize.inputs[0]
    return "fp8" if codes is not None and codes.dtype is not None and codes.dtype.is_floating_point() else "int8"


def _source(model: ir.Model, dequantize: ir.Node) -> ir.Value:
    """What a pair quantises: the input of its first half, or the weights that its codes stand for."""
    codes = dequantize.inputs[0]
    if codes is None:
        raise ValueError(f"{dequantize.name} has no input")
    producer = codes.producer()
    if producer is not None and producer.op_type == QUANTIZE and producer.inputs[0] is not None:
        return producer.inputs[0]
    numbers = constant_of(codes)
    scale, zero = constant_of(dequantize.inputs[1]), constant_of(next(iter(dequantize.inputs[2:]), None))
    if numbers is None or scale is None:
        return codes
    axis = int(attribute(dequantize, "axis", 1))
    sides = [1] * numbers.ndim
    if scale.size > 1:
        sides[axis] = scale.size
    shift = 0 if zero is None else zero.astype(np.float32).reshape(sides if zero.size > 1 else [1] * numbers.ndim)
    weights = (numbers.astype(np.float32) - shift) * scale.astype(np.float32).reshape(sides)
    return add_constant(model, f"{codes.name}_weights", weights, require("onnx_ir").DataType.FLOAT)


def sites_in(model: ir.Model, places: Iterable[tuple[str, int]]) -> Iterator[Site]:
    """Sites at (node name, input index) of a graph, in its order, with the axes that weights have."""
    wanted = set(places)
    for node in model.graph:
        for index, value in enumerate(node.inputs):
            if value is not None and (node.name, index) in wanted:
                yield Site(
                    node=node.name or "",
                    input_index=index,
                    tensor=value.name or "",
                    axis=None if constant_of(value) is None else channel_axis(node, index),
                )
