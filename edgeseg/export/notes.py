"""Own torch's notes in an ONNX graph: which module every node came from. Change no computation."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from edgeseg.export.blame import kind_of
from edgeseg.export.outputs import WRAPPED
from edgeseg.graph.access import CLASS_HIERARCHY, NAME_SCOPES

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn
    from torch.export import ExportedProgram

__all__ = ["Scope", "keep_places", "operator_of", "scopes_of", "unwrapped"]


class Scope(NamedTuple):
    """One call of a module: ``key`` is another for every call, ``path`` the module's name in the net."""

    key: str
    path: str


def scopes_of(program: ExportedProgram) -> dict[str, tuple[Scope, ...]]:
    """The calls that every operator of a program happened in, outermost first, by the operator's name."""
    return {
        node.name: tuple(
            Scope(key, unwrapped(path)) for key, (path, _) in list(node.meta["nn_module_stack"].items())[1:]
        )
        for node in program.graph.nodes
        if "nn_module_stack" in node.meta
    }


def keep_places(model: ir.Model, net: nn.Module) -> None:
    """Name modules and weights as the net does, and drop all other notes; in place.

    Torch also writes every node's stack trace, with the paths of this machine, and the text of its own graph.
    """
    kinds = {path: kind_of(module) for path, module in net.named_modules()}
    for graph in model.graphs():
        graph.doc_string = None
        graph.metadata_props.clear()
        for value in (*graph.inputs, *graph.initializers.values()):
            value.metadata_props.clear()
            value.doc_string = None
    for node in model.graph.all_nodes():
        _keep_place(node, kinds)
    _rename_weights(model)


def operator_of(node: ir.Node) -> str:
    """The operator of torch that a node came from, by its name in the program; empty if it is not noted."""
    scopes = _noted(node, NAME_SCOPES)
    return scopes[-1] if scopes else ""


def _keep_place(node: ir.Node, kinds: dict[str, str]) -> None:
    scopes, classes = _noted(node, NAME_SCOPES), _noted(node, CLASS_HIERARCHY)
    node.doc_string = None
    node.metadata_props.clear()
    for value in node.outputs:
        value.metadata_props.clear()
    if len(scopes) < 2 or len(scopes) != len(classes):
        return
    paths = [unwrapped(path) for path in scopes[1:-1]]
    names = [kinds.get(path, name) for path, name in zip(paths, classes[1:-1], strict=True)]
    node.metadata_props[NAME_SCOPES] = repr([*paths, scopes[-1]])
    node.metadata_props[CLASS_HIERARCHY] = repr([*names, classes[-1]])


def _noted(node: ir.Node, key: str) -> list[str]:
    found = ast.literal_eval(node.metadata_props.get(key, "[]"))
    return [str(one) for one in found]


def unwrapped(path: str) -> str:
    """A module's path in the net, from that in the module with a single output."""
    return path.removeprefix(WRAPPED).removeprefix(".")


def _rename_weights(model: ir.Model) -> None:
    """``net.stem.weight`` as it is in a checkpoint, ``stem.weight``."""
    taken = {value.name for node in model.graph.all_nodes() for value in (*node.inputs, *node.outputs) if value}
    for value in list(model.graph.initializers.values()):
        name = str(value.name).removeprefix(f"{WRAPPED}.")
        if name not in taken:
            value.name = name
