"""Own a float32 graph in which a switch at every node that could be quantised turns that on. Run nothing, rank nothing.

A node with its switch is an If: one branch holds the node as it was, the other with Q/DQ in front of its inputs. So a
run computes, but for what is switched on, what the float32 net computes, with the same kernels; and whatever is
switched on, one session serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.access import constant_of
from edgeseg.graph.inserting import add_constant
from edgeseg.graph.opsets import at_least
from edgeseg.graph.qdq import DEQUANTIZE, LARGEST_CODE, QUANTIZE, Quantisation, QuantisedKind, Scale, Site
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["NoiseNames", "Switched", "switched"]

#: in which FP8 has a type, scales may be float32 of anything, and reductions take their axes as an input
OPSET = 19
SMALLEST_CODE: dict[QuantisedKind, float] = {"int8": -128.0, "fp8": -448.0}


class NoiseNames(NamedTuple):
    """The graph outputs, float64 scalars, that tell of a node what its own quantisation did.

    ``signal`` is the sum of squares of its first output, computed from exact inputs and weights, ``noise`` that of the
    difference which quantising these makes. Both are of the inputs of that very run, and 0 where the node's switch is
    off.
    """

    signal: str
    noise: str


@dataclass(frozen=True, kw_only=True)
class Switched:
    """A graph with switches.

    Attributes:
        model: float32, with the inputs and outputs of the net first.
        flags: the names of bool scalar inputs, by node, in the order of the graph; true quantises.
        noise: the names of outputs, by node.
    """

    model: ir.Model
    flags: Mapping[str, str]
    noise: Mapping[str, NoiseNames]


def switched(model: ir.Model, quantisation: Quantisation) -> Switched:
    """A copy of a graph in which each node with sites can be quantised by itself.

    Quantised weights are constants beside the exact ones: the copy holds the weights of these nodes twice. A node
    that is switched on is computed twice a run, exactly and quantised, for its noise.

    Args:
        model: float32, without quantisation, shapes inferred; left as it is. Raised to opset 19 if it is older.
        quantisation: the sites' nodes and inputs are those of ``model``. All of them are switched, also those of
            followers (``qdq.active_sites``) of layers that stay off.
    Raises:
        ModelError: the graph cannot be raised to that opset.
        ValueError: a site of a node or an input that is not there.
    """
    done: ir.Model = at_least(model, OPSET).clone()
    nodes = {node.name: node for node in done.graph}
    sites: dict[str, list[Site]] = {}
    for site in quantisation.sites:
        sites.setdefault(site.node, []).append(site)
    strange = [site for site in quantisation.sites if not _is_there(nodes.get(site.node), site)]
    if strange:
        raise ValueError(f"{strange[0]} is no input of the graph")
    maker = _Maker(done, quantisation)
    ends = {name: maker.switch(nodes[name], own) for name, own in sites.items()}
    return Switched(
        model=done,
        flags={name: end.flag for name, end in ends.items()},
        noise={name: end.noise for name, end in ends.items()},
    )


def _is_there(node: ir.Node | None, site: Site) -> bool:
    return node is not None and site.input_index < len(node.inputs) and node.inputs[site.input_index] is not None


class _Ends(NamedTuple):
    """What a switch is reached by."""

    flag: str
    noise: NoiseNames


class _Maker:
    """Puts switches into one graph; constants that several of them need are made once."""

    def __init__(self, model: ir.Model, quantisation: Quantisation) -> None:
        self._ir = require("onnx_ir")
        self._model, self._quantisation = model, quantisation
        self._constants: dict[str, ir.Value] = {}

    def switch(self, node: ir.Node, sites: Sequence[Site]) -> _Ends:
        """Put an If in a node's place; its outputs keep their names."""
        name = f"edgeseg:{node.name}"
        flag = self._ir.Value(name=f"{name}:on", type=self._type("BOOL"), shape=self._ir.Shape(()))
        self._model.graph.inputs.append(flag)
        branches = {"then_branch": self._quantised(node, sites), "else_branch": self._exact(node)}
        results = [_like(value, str(value.name)) for value in node.outputs]
        sums = [self._scalar(f"{name}:{what}") for what in NoiseNames._fields]
        choice = self._ir.node("If", [flag], branches, outputs=[*results, *sums], name=f"{name}:if")
        self._model.graph.insert_before(node, choice)
        for old, new in zip(node.outputs, results, strict=True):
            old.replace_all_uses_with(new, replace_graph_outputs=True)
        self._model.graph.remove(node, safe=True)
        self._model.graph.outputs.extend(sums)
        return _Ends(f"{name}:on", NoiseNames(*(str(one.name) for one in sums)))

    def _exact(self, node: ir.Node) -> ir.Graph:
        tape = _Tape(f"edgeseg:{node.name}:exact")
        outputs = tape.again(node, list(node.inputs))
        return tape.graph([*outputs, self._zero(tape), self._zero(tape)])

    def _quantised(self, node: ir.Node, sites: Sequence[Site]) -> ir.Graph:
        tape = _Tape(f"edgeseg:{node.name}:quantised")
        inputs = list(node.inputs)
        for site in sites:
            inputs[site.input_index] = self._coarse(tape, site, inputs[site.input_index])
        outputs, exact = tape.again(node, inputs), tape.again(node, list(node.inputs))[0]
        error = tape.op("Sub", [exact, outputs[0]])
        return tape.graph([*outputs, self._energy(tape, exact), self._energy(tape, error)])

    def _coarse(self, tape: _Tape, site: Site, value: ir.Value | None) -> ir.Value:
        """An input after Q/DQ; of weights, a constant."""
        kind, scale = self._quantisation.kind, self._quantisation.scales[site.tensor]
        numbers = constant_of(value)
        if numbers is not None:
            name = f"edgeseg:{site.tensor}:{kind}:{site.axis}"
            return self._constant(name, lambda: _through_codes(numbers, scale, site.axis, kind))
        if site.axis is not None:
            raise ValueError(f"{site} has an axis and is no constant")
        code = {"int8": self._ir.DataType.INT8, "fp8": self._ir.DataType.FLOAT8E4M3FN}[kind]
        step = self._constant(f"edgeseg:{site.tensor}:scale", lambda: np.asarray(scale, np.float32))
        zero = self._constant(f"edgeseg:{kind}:zero_point", lambda: np.zeros((), code.numpy()))
        return tape.op(DEQUANTIZE, [tape.op(QUANTIZE, [value, step, zero]), step, zero])

    def _energy(self, tape: _Tape, value: ir.Value) -> ir.Value:
        """The sum of squares: rows in float32, of which at most their length is lost, and those in float64."""
        last = self._constant("edgeseg:last_axis", lambda: np.array([-1]))
        rows = tape.op("ReduceSumSquare", [value, last], {"keepdims": 0})
        return tape.op("ReduceSum", [tape.op("Cast", [rows], {"to": self._ir.DataType.DOUBLE})], {"keepdims": 0})

    def _zero(self, tape: _Tape) -> ir.Value:
        """A branch's output has to be made within it."""
        return tape.op("Identity", [self._constant("edgeseg:zero", lambda: np.zeros((), np.float64))])

    def _constant(self, name: str, make: Any) -> ir.Value:
        if name not in self._constants:
            self._constants[name] = add_constant(self._model, name, make())
        return self._constants[name]

    def _scalar(self, name: str) -> ir.Value:
        value: ir.Value = self._ir.Value(name=name, type=self._type("DOUBLE"), shape=self._ir.Shape(()))
        return value

    def _type(self, name: str) -> ir.TensorType:
        found: ir.TensorType = self._ir.TensorType(self._ir.DataType[name])
        return found


class _Tape:
    """The nodes of a branch in the making, under names that no other branch has."""

    def __init__(self, prefix: str) -> None:
        self._ir = require("onnx_ir")
        self._prefix, self._nodes = prefix, list[Any]()

    def op(
        self, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Any] | None = None
    ) -> ir.Value:
        """Add a node, and return its output."""
        return self._add(op_type, inputs, attributes or {}, "", [self._value()])[0]

    def again(self, node: ir.Node, inputs: Sequence[ir.Value | None]) -> list[ir.Value]:
        """Add a copy of a node on other inputs, and return its outputs."""
        outputs = [_like(value, f"{self._prefix}:{len(self._nodes)}:{value.name}") for value in node.outputs]
        return self._add(node.op_type, inputs, dict(node.attributes), node.domain, outputs)

    def graph(self, outputs: Sequence[ir.Value]) -> ir.Graph:
        """The branch; it takes what it needs from the graph around it."""
        made: ir.Graph = self._ir.Graph([], outputs, nodes=self._nodes, name=self._prefix)
        return made

    def _value(self) -> ir.Value:
        value: ir.Value = self._ir.Value(name=f"{self._prefix}:{len(self._nodes)}")
        return value

    def _add(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any],
        domain: str,
        outputs: list[ir.Value],
    ) -> list[ir.Value]:
        name = f"{self._prefix}:{len(self._nodes)}:{op_type}"
        self._nodes.append(self._ir.node(op_type, inputs, attributes, domain=domain, outputs=outputs, name=name))
        return outputs


def _like(value: ir.Value, name: str) -> ir.Value:
    """A value of the same type and shape; nothing of who makes or takes it."""
    made: ir.Value = require("onnx_ir").Value(name=name, type=value.type, shape=value.shape)
    return made


def _through_codes(numbers: NDArray[Any], scale: Scale, axis: int | None, kind: QuantisedKind) -> NDArray[np.float32]:
    """What is left of weights, as ONNX's QuantizeLinear-19 has it: rounded half to even, and saturated."""
    sides = [1] * numbers.ndim
    if axis is not None:
        sides[axis] = -1
    step = np.asarray(scale, np.float32).reshape(sides if axis is not None else ())
    codes = np.clip(numbers.astype(np.float32) / step, SMALLEST_CODE[kind], LARGEST_CODE[kind])
    if kind == "fp8":
        narrow = require("onnx_ir").DataType.FLOAT8E4M3FN.numpy()
        return np.asarray(codes.astype(narrow).astype(np.float32) * step)
    return np.asarray(np.rint(codes) * step, np.float32)
