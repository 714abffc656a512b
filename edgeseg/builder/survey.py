"""Own the question which nodes of a graph each back end's parser refuses, and what becomes of them. Build nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from edgeseg.builder.backends import open_backend
from edgeseg.builder.backends.base import BuilderBackend, Refusal
from edgeseg.errors import BuildError, MissingPackageError
from edgeseg.graph.access import described
from edgeseg.graph.rewrites import Unsupported, unsupported
from edgeseg.graph.saving import save_graph
from edgeseg.packages import require
from edgeseg.spec import BackendName

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeseg.graph.preparing import Prepared

__all__ = ["Answer", "BackendSurvey", "Fate", "Refusals", "all_refusals", "survey"]

CHANGE_IT = "change that operator in the net"
#: of a refused node, once the graph is prepared: replaced; behind the output that the engine gives; computed
#: beforehand; there and no longer refused; there and refused; not to be said
Fate = Literal["rewritten", "cut", "folded", "taken", "refused", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A refused node (words of ``access.described``), what preparing the graph makes of it, and how or what to do."""

    refusal: Refusal
    node: str
    fate: Fate
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class BackendSurvey:
    """What one back end's parser says of a graph as it is in its file, and of the prepared one.

    Attributes:
        backend: its name.
        version: of the library; empty where it is not installed.
        unasked: why the parser could not be asked; empty where it could.
        answers: the nodes of the file that it refuses.
        left: the nodes of the prepared graph that it refuses.
        known: the other nodes of the prepared graph that TensorRT is known to refuse, in its builder if not its parser.
        is_complete: whether the parser could be asked about all nodes, of both graphs.
    """

    backend: BackendName
    version: str = ""
    unasked: str = ""
    answers: tuple[Answer, ...] = ()
    left: tuple[Refusal, ...] = ()
    known: tuple[Unsupported, ...] = ()
    is_complete: bool = True


class Refusals(NamedTuple):
    """The nodes of a graph that a parser refuses; not ``is_complete`` where it could not be asked about all."""

    found: tuple[Refusal, ...]
    is_complete: bool


def survey(model: ir.Model, prepared: Prepared | None) -> tuple[BackendSurvey, ...]:
    """Ask the parser of every back end that is installed; nothing is built.

    Args:
        model: as it is in its file, with node names.
        prepared: what ``preparing.prepare`` makes of it; None where it cannot be prepared.
    """
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        before = _saved(model, Path(folder) / "before.onnx")
        after = _saved(prepared.model, Path(folder) / "after.onnx") if prepared else None
        return tuple(_survey_of(name, before, after, prepared) for name in get_args(BackendName))


def all_refusals(backend: BuilderBackend, model: ir.Model, path: Path) -> Refusals:
    """Every node that a parser refuses, also those behind a node at which it stops.

    What it refuses is taken out of a copy of the graph, the results become inputs, and it is asked again.

    Args:
        backend: whose parser.
        model: with node names; left as it is.
        path: of a file that holds ``model``; copies are written beside it.
    Raises:
        BuildError: the parser cannot be asked on this machine.
    """
    rest: ir.Model = model.clone()
    found: dict[str, Refusal] = {}
    while told := backend.refused(path):
        found |= {one.node: one for one in told}
        nodes = _outermost(rest, {one.node for one in told if one.node})
        if not nodes or not all(_can_be_an_input(value) for node in nodes for value in node.outputs):
            return Refusals(tuple(found.values()), is_complete=False)
        _take_out(rest, nodes)
        if len(rest.graph) == 0:
            break
        path = path.with_name("rest.onnx")
        save_graph(rest, path)
    return Refusals(tuple(found.values()), is_complete=True)


class _Saved(NamedTuple):
    """A graph and a file that holds it."""

    model: ir.Model
    path: Path


def _saved(model: ir.Model, path: Path) -> _Saved:
    save_graph(model, path)
    return _Saved(model, path)


def _survey_of(name: BackendName, before: _Saved, after: _Saved | None, prepared: Prepared | None) -> BackendSurvey:
    known = unsupported(prepared.model) if prepared and name != "openvino" else []
    try:
        backend = open_backend(name)
        refused = all_refusals(backend, *before)
        left = all_refusals(backend, *after) if after else Refusals((), is_complete=True)
    except (MissingPackageError, BuildError) as error:
        return BackendSurvey(backend=name, unasked=str(error), known=tuple(known))
    hints = {one.node: one.hint for one in known}
    names = {one.node for one in left.found}
    told = {described(node) for node in after.model.graph if node.name in names} if after else set()
    return BackendSurvey(
        backend=name,
        version=backend.version,
        answers=tuple(_answer(one, before.model, prepared, names, hints) for one in refused.found),
        left=left.found,
        known=tuple(one for one in known if one.node not in told),
        is_complete=refused.is_complete and left.is_complete,
    )


def _answer(
    refusal: Refusal, model: ir.Model, prepared: Prepared | None, left: set[str], hints: Mapping[str, str]
) -> Answer:
    node = next((one for one in model.graph.all_nodes() if refusal.node and one.name == refusal.node), None)
    if node is None:
        return Answer(refusal=refusal, node=refusal.op or "the graph", fate="unknown")
    words = described(node)
    if prepared is None:
        return Answer(refusal=refusal, node=words, fate="unknown")
    rewritten = _rewritten(words, prepared)
    if rewritten:
        return Answer(refusal=refusal, node=words, fate="rewritten", detail=rewritten)
    fate = _fate(node, model, prepared, left)
    detail = hints.get(words, CHANGE_IT) if fate == "refused" else ""
    return Answer(refusal=refusal, node=words, fate=fate, detail=detail)


def _rewritten(words: str, prepared: Prepared) -> str:
    """By which rule a node was replaced, and how; empty where it was not."""
    return next((f"rewritten ({one.rule}): {one.detail}" for one in prepared.rewritten if one.node == words), "")


def _fate(node: ir.Node, model: ir.Model, prepared: Prepared, left: set[str]) -> Fate:
    if node.name in left:
        return "refused"
    if any(one.name == node.name for one in prepared.model.graph.all_nodes()):
        return "taken"
    return "folded" if node in _needed(model, prepared.head.output) else "cut"


def _needed(model: ir.Model, output: str) -> set[ir.Node]:
    """The nodes that a value is computed from."""
    waiting = [node for node in model.graph if any(value.name == output for value in node.outputs)]
    found: set[ir.Node] = set()
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.predecessors()
    return found


def _outermost(model: ir.Model, names: set[str]) -> list[ir.Node]:
    """The nodes of these names, and those that hold one of them in a graph of their own."""
    return [node for node in model.graph if node.name in names or any(one.name in names for one in _inner(node))]


def _inner(node: ir.Node) -> list[ir.Node]:
    kinds = require("onnx_ir").AttributeType
    graphs = [one.as_graph() for one in node.attributes.values() if one.type == kinds.GRAPH]
    return [inner for graph in graphs for inner in graph.all_nodes()]


def _can_be_an_input(value: ir.Value) -> bool:
    return not value.uses() or (value.shape is not None and value.type is not None)


def _take_out(model: ir.Model, nodes: list[ir.Node]) -> None:
    """Their results become inputs, what only they took becomes outputs."""
    graph, onnx_ir = model.graph, require("onnx_ir")
    for node in nodes:
        taken = [value for value in node.inputs if value is not None]
        for value in node.outputs:
            graph.outputs[:] = [one for one in graph.outputs if one is not value]
            if value.uses():
                stand_in = onnx_ir.Value(name=value.name, shape=value.shape, type=value.type)
                onnx_ir.convenience.replace_all_uses_with(value, stand_in)
                graph.inputs.append(stand_in)
        graph.remove(node, safe=True)
        loose = [value for value in dict.fromkeys(taken) if not value.uses() and not value.is_graph_output()]
        graph.outputs.extend(value for value in loose if value.producer() is not None)
        graph.inputs[:] = [one for one in graph.inputs if one not in loose]
