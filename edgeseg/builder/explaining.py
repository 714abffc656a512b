"""Own the words on a graph that a back end did not build: which nodes, where in the net, what to do. Build nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.builder.backends.base import BuilderBackend, Refusal
from edgeseg.errors import BuildError
from edgeseg.graph.access import described, input_words
from edgeseg.graph.rewrites import unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["explained"]

SHOWN_NODES = 3
OTHER_OPERATOR = "change these operators in the net, or take another --backend"


def explained(error: BuildError, backend: BuilderBackend, model: ir.Model, onnx_path: Path) -> BuildError:
    """What the back end's parser says of the nodes, with their places in the net; ``error`` where it is content.

    Args:
        error: what the build raised.
        backend: whose build it was.
        model: the graph before its precision was set, whose nodes know where in the net they come from.
        onnx_path: what was built.
    """
    nodes = {node.name: described(node) for node in model.graph.all_nodes()}
    given = {described(node): input_words(node) for node in model.graph.all_nodes()}
    refused = [(_words(one, nodes), one.reason) for one in backend.refused(onnx_path) if one.node]
    known = unsupported(model) if backend.name != "openvino" else []
    refused = refused or [(one.node, one.reason) for one in known]  # a few pass the parser and fail in the builder
    if not refused:
        return error
    told = "; ".join(f"{node}, given {given.get(node, '?')}: {reason}" for node, reason in refused[:SHOWN_NODES])
    more = f"; and {len(refused) - SHOWN_NODES} more, see 'edgeseg inspect'" if len(refused) > SHOWN_NODES else ""
    hints = {one.node: one.hint for one in known}
    hint = next((hints[node] for node, _ in refused if node in hints), OTHER_OPERATOR)
    return BuildError(f"{backend.name} {backend.version} refuses {told}{more}", hint)


def _words(refusal: Refusal, nodes: dict[str | None, str]) -> str:
    return nodes.get(refusal.node, f"{refusal.op} '{refusal.node}'")
