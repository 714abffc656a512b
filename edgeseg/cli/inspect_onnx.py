"""Own what `edgeseg inspect` says of an ONNX file, as text or JSON. Build nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.figures import aligned, flattened, scaled, sides

if TYPE_CHECKING:
    from edgeseg.builder.inspection import Inspection
    from edgeseg.builder.survey import BackendSurvey
    from edgeseg.graph.counting import GraphCounts
    from edgeseg.spec import HeadSpec

__all__ = ["onnx_lines"]

DESCRIBING = "--mean, --std, --colour, --resize, --interpolation and --labels"
OUTCOME = {
    "rewritten": "",
    "cut": "cut off: what the engine gives does not need it",
    "folded": "simplified away",
    "taken": "taken as build-engine prepares it",
    "refused": "stays refused:",
    "unknown": "what becomes of it is not known",
}


def onnx_lines(
    path: Path, layers: bool, size_hw: tuple[int, int] | None, output: str | None, is_json: bool
) -> Iterable[str]:
    """What is printed; ``layers`` lists every node."""
    from edgeseg.builder.inspection import as_json, inspect_onnx
    from edgeseg.graph.preparing import PrepareOptions

    found = inspect_onnx(path, PrepareOptions(size_hw=size_hw, output=output))
    return [json.dumps(as_json(found, all_nodes=layers), indent=2)] if is_json else _text(found, layers)


def _text(found: Inspection, layers: bool) -> Iterator[str]:
    counts = found.counts
    yield from _file_lines(found)
    yield ""
    yield from _layer_lines(counts) if layers else _op_lines(counts)
    yield ""
    yield f"layers       {counts.layers} with weights, {len(counts.nodes)} nodes"
    yield f"parameters   {scaled(counts.parameters)}, {scaled(counts.parameter_bytes, 'B')}"
    yield f"MACs         {_macs_text(found)}"
    yield f"activations  {_memory_text(found)}"
    yield ""
    yield from _prepared_lines(found)
    yield ""
    for backend in found.backends:
        yield from _backend_lines(backend, len(counts.nodes))
    if found.sidecar is not None:
        import msgspec

        yield ""
        yield from flattened(msgspec.to_builtins(found.sidecar))


def _file_lines(found: Inspection) -> Iterator[str]:
    file, graph = found.graph, found.graph.model.graph
    opset = graph.opset_imports[""]
    told = "sidecar fits" if found.sidecar else "no sidecar"
    yield f"{file.path}: ONNX, {file.file_bytes / 1e6:.2f} MB, opset {opset}; {told}"
    if found.sidecar is None:
        yield f"  build-engine takes {DESCRIBING}, or their defaults"
    for kind, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            yield f"{kind:<12} {value.name} {value.dtype.numpy() if value.dtype else '?'} {sides(value.shape)}"


def _op_lines(counts: GraphCounts) -> list[str]:
    rows = [(one.op, str(one.nodes), _figure(one.parameters), _figure(one.macs)) for one in counts.by_op()]
    return aligned([("operator", "nodes", "parameters", "MACs"), *rows], left=(0,))


def _layer_lines(counts: GraphCounts) -> list[str]:
    rows = [
        (
            one.name,
            one.op,
            one.place,
            sides(one.output),
            _figure(one.parameters),
            _figure(one.macs),
        )
        for one in counts.nodes
    ]
    return aligned([("node", "operator", "module", "output", "parameters", "MACs"), *rows], left=(0, 1, 2))


def _macs_text(found: Inspection) -> str:
    if found.counts.macs is not None and found.counted_at is not None:
        return f"{scaled(found.counts.macs)} at {sides(found.counted_at)}"
    if found.counted_at is None:
        return "the net leaves its size open: give --input-size"
    one = found.counts.uncounted[0]
    return f"not known: {one.op} '{one.name}' is not counted"


def _memory_text(found: Inspection) -> str:
    peak, total = found.counts.peak_bytes, found.counts.activation_bytes
    if peak is None or total is None:
        return "the sizes of all values are not known"
    return f"{scaled(peak, 'B')} at the peak, {scaled(total, 'B')} in all"


def _prepared_lines(found: Inspection) -> Iterator[str]:
    """What build-engine would hand to every back end."""
    if found.prepared is None:
        yield f"build-engine refuses it: {found.problem}"
        return
    image, head = found.prepared.image, found.prepared.head
    yield (
        f"build-engine makes of it: {image.name} {image.dtype} {sides(image.shape)} -> "
        f"{head.output} {head.dtype} {sides(head.shape)}, {_decision(head)}"
    )
    yield from (f"  {note}" for note in found.prepared.notes or ("nothing is cut off, nothing is rewritten",))


def _decision(head: HeadSpec) -> str:
    return "finished class ids" if head.decision == "ids" else f"{head.decision} of {head.scores}"


def _backend_lines(one: BackendSurvey, nodes: int) -> Iterator[str]:
    yield f"{one.backend:<12} {_asked(one, nodes)}"
    for answer in one.answers:
        yield f"  {answer.node}: {answer.refusal.reason}"
        yield f"    {' '.join(filter(None, (OUTCOME[answer.fate], answer.detail)))}"
    known = {answer.refusal.node for answer in one.answers}
    for refusal in one.left:
        if refusal.node not in known:
            yield f"  once prepared, {refusal.op} '{refusal.node}': {refusal.reason}"
    for warning in one.known:
        yield f"  {warning.node}: known to fail: {warning.reason}"
        yield f"    {warning.hint}"


def _asked(one: BackendSurvey, nodes: int) -> str:
    if one.unasked:
        return f"not asked: {one.unasked}"
    refused = f"refuses {len(one.answers)} of {nodes} nodes" if one.answers else f"takes all {nodes} nodes"
    return f"{one.version.partition('-')[0]} {refused}{'' if one.is_complete else '; it could not be asked about all'}"


def _figure(number: int | None) -> str:
    """Nothing for nothing, a question mark for what is not known."""
    return "?" if number is None else scaled(number) if number else ""
