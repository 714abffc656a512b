"""Own the way from what a back end calls its layers' parts to the nodes of the ONNX graph. Ask no engine.

Back ends keep a node's name, with a few words of their own: OpenVINO calls a node ``conv/WithoutBiases`` where it took
the bias apart, a node that makes an output by the output's name, and rounding to codes (our ``QuantizeLinear``) by the
value that is rounded, ``relu_QuantizeLinear``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeseg.graph.access import modules_of
from edgeseg.graph.counting import count

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Origin", "origins_of"]

#: what quantising puts behind a value's name
ROUNDING = re.compile(r"_(?:QuantizeLinear|DequantizeLinear)(?:_\w+)?$")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a layer came from.

    Attributes:
        nodes: of the ONNX graph, the names of those that are in it.
        modules: around the node of them that multiplies most, else the first; outermost first, empty if none is told.
        macs: of all its nodes; a node's go to the first layer that names it. None where a node's are not known, and
            where no node was found.
    """

    nodes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    macs: int | None = None


def origins_of(layers: Sequence[Sequence[str]], model: ir.Model) -> tuple[Origin, ...]:
    """Where every layer came from.

    Args:
        layers: of each, what its parts were called, as in ``LayerFact.origins``.
        model: that the engine was built of, its shapes known and fixed.
    """
    finder = _Finder(model)
    return tuple(finder.origin(names) for names in layers)


class _Finder:
    def __init__(self, model: ir.Model) -> None:
        nodes = list(model.graph)
        self._macs = {str(node.name): one.macs for node, one in zip(nodes, count(model).nodes, strict=True)}
        self._nodes = {str(node.name): node for node in nodes}
        self._makers = {str(value.name): node for node in nodes for value in node.outputs if value.name}
        self._inputs = {str(value.name) for value in model.graph.inputs}
        self._counted: set[str] = set()

    def origin(self, names: Sequence[str]) -> Origin:
        own = list(dict.fromkeys(str(node.name) for name in names for node in self._named(name)))
        found = own or list(dict.fromkeys(str(node.name) for name in names for node in self._rounded(name)))
        if not found:
            is_rounding = any(ROUNDING.sub("", name) in self._inputs for name in names if ROUNDING.search(name))
            return Origin(macs=0 if is_rounding else None)
        main = max(found, key=lambda name: self._macs[name] or 0)  # the first of equals
        return Origin(nodes=tuple(found), modules=modules_of(self._nodes[main]), macs=self._take(own))

    def _take(self, names: list[str]) -> int | None:
        fresh = [name for name in names if name not in self._counted]
        self._counted.update(fresh)
        known = [macs for macs in (self._macs[name] for name in fresh) if macs is not None]
        return sum(known) if len(known) == len(fresh) else None

    def _named(self, name: str) -> Iterator[ir.Node]:
        for one in (name, name.rpartition("/")[0]):
            if (node := self._nodes.get(one) or self._makers.get(one)) is not None:
                yield node
                return

    def _rounded(self, name: str) -> Iterator[ir.Node]:
        value, marks = ROUNDING.subn("", name)
        if marks and (node := self._makers.get(value)) is not None:
            yield node
