"""Own `edgeseg inspect`: what an ONNX file or an engine is, as text or JSON. Nothing is built, no plan deserialised."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.console import SizeHW

if TYPE_CHECKING:
    from edgeseg.builder.inspection import Inspection
    from edgeseg.builder.survey import BackendSurvey
    from edgeseg.graph.counting import GraphCounts
    from edgeseg.spec import HeadSpec

DESCRIBING = "--mean, --std, --colour, --resize, --interpolation and --labels"
OUTCOME = {
    "rewritten": "",
    "cut": "cut off: what the engine gives does not need it",
    "folded": "simplified away",
    "taken": "taken as build-engine prepares it",
    "refused": "stays refused:",
    "unknown": "what becomes of it is not known",
}


@click.command()
@click.argument("path", metavar="NET.onnx|NET.engine", type=click.Path(path_type=Path))
@click.option("--layers", is_flag=True, help="List every node instead of a line an operator.")
@click.option("--input-size", type=SizeHW(), help="Where the net leaves its size open; its optimum without it.")
@click.option("--output", help="Name of the output, where the graph has several.")
@click.option("--json", "is_json", is_flag=True, help="For programs: exact numbers, one JSON object.")
def inspect(path: Path, layers: bool, input_size: tuple[int, int] | None, output: str | None, is_json: bool) -> None:
    """Show what an ONNX file or an engine is, after checking it against its sidecar.

    Of ONNX: layers, parameters, multiply-accumulates (MACs), activation memory, the tail that the runtime takes over,
    and for each back end installed the nodes that its own parser refuses, with what becomes of them. No plan is
    deserialised.
    """
    if path.suffix == ".onnx":
        lines = _onnx(path, layers, input_size, output, is_json)
    elif layers or input_size or output:
        raise click.UsageError("--layers, --input-size and --output are for ONNX files")
    else:
        lines = _engine(path, is_json)
    for line in lines:
        click.echo(line)


def _onnx(
    path: Path, layers: bool, size_hw: tuple[int, int] | None, output: str | None, is_json: bool
) -> Iterable[str]:
    from edgeseg.builder.inspection import as_json, inspect_onnx
    from edgeseg.graph.preparing import PrepareOptions

    found = inspect_onnx(path, PrepareOptions(size_hw=size_hw, output=output))
    return [json.dumps(as_json(found, all_nodes=layers), indent=2)] if is_json else _text(found, layers)


def _engine(path: Path, is_json: bool) -> list[str]:
    import msgspec

    from edgeseg.spec import read_engine_spec

    spec, plan = read_engine_spec(path)
    facts = msgspec.to_builtins(spec)
    if is_json:
        return [json.dumps(facts, indent=2)]
    return [f"{path}: {spec.backend} engine, {len(plan) / 1e6:.2f} MB; sidecar fits", *_flattened(facts)]


def _text(found: Inspection, layers: bool) -> Iterator[str]:
    counts = found.counts
    yield from _file_lines(found)
    yield ""
    yield from _layer_lines(counts) if layers else _op_lines(counts)
    yield ""
    yield f"layers       {counts.layers} with weights, {len(counts.nodes)} nodes"
    yield f"parameters   {_scaled(counts.parameters)}, {_scaled(counts.parameter_bytes, 'B')}"
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
        yield from _flattened(msgspec.to_builtins(found.sidecar))


def _file_lines(found: Inspection) -> Iterator[str]:
    file, graph = found.graph, found.graph.model.graph
    opset = graph.opset_imports[""]
    told = "sidecar fits" if found.sidecar else "no sidecar"
    yield f"{file.path}: ONNX, {file.file_bytes / 1e6:.2f} MB, opset {opset}; {told}"
    if found.sidecar is None:
        yield f"  build-engine takes {DESCRIBING}, or their defaults"
    for kind, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            yield f"{kind:<12} {value.name} {value.dtype.numpy() if value.dtype else '?'} {_sides(value.shape)}"


def _op_lines(counts: GraphCounts) -> list[str]:
    rows = [(one.op, str(one.nodes), _figure(one.parameters), _figure(one.macs)) for one in counts.by_op()]
    return _aligned([("operator", "nodes", "parameters", "MACs"), *rows], left=(0,))


def _layer_lines(counts: GraphCounts) -> list[str]:
    rows = [
        (
            one.name,
            one.op,
            one.place,
            _sides(one.output),
            _figure(one.parameters),
            _figure(one.macs),
        )
        for one in counts.nodes
    ]
    return _aligned([("node", "operator", "module", "output", "parameters", "MACs"), *rows], left=(0, 1, 2))


def _aligned(rows: Sequence[Sequence[str]], *, left: tuple[int, ...]) -> list[str]:
    """Rows as lines of equal columns, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _macs_text(found: Inspection) -> str:
    if found.counts.macs is not None and found.counted_at is not None:
        return f"{_scaled(found.counts.macs)} at {_sides(found.counted_at)}"
    if found.counted_at is None:
        return "the net leaves its size open: give --input-size"
    one = found.counts.uncounted[0]
    return f"not known: {one.op} '{one.name}' is not counted"


def _memory_text(found: Inspection) -> str:
    peak, total = found.counts.peak_bytes, found.counts.activation_bytes
    if peak is None or total is None:
        return "the sizes of all values are not known"
    return f"{_scaled(peak, 'B')} at the peak, {_scaled(total, 'B')} in all"


def _prepared_lines(found: Inspection) -> Iterator[str]:
    """What build-engine would hand to every back end."""
    if found.prepared is None:
        yield f"build-engine refuses it: {found.problem}"
        return
    image, head = found.prepared.image, found.prepared.head
    yield (
        f"build-engine makes of it: {image.name} {image.dtype} {_sides(image.shape)} -> "
        f"{head.output} {head.dtype} {_sides(head.shape)}, {_decision(head)}"
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


def _flattened(facts: dict[str, object], prefix: str = "") -> list[str]:
    """``a.b  value`` lines of nested records."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines += _flattened(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
            lines += [
                f"{prefix}{key}[{i}]  {' '.join(str(part) for part in one.values())}" for i, one in enumerate(value)
            ]
        else:
            lines.append(f"{prefix}{key}  {value}")
    return lines


def _sides(shape: Iterable[object] | None) -> str:
    """``1x3xheightxwidth``; what is open and has no name is a question mark."""
    return "?" if shape is None else "x".join("?" if str(side) == "None" else str(side) for side in shape)


def _figure(number: int | None) -> str:
    """Nothing for nothing, a question mark for what is not known."""
    return "?" if number is None else _scaled(number) if number else ""


def _scaled(number: int, unit: str = "") -> str:
    """Three digits that count.

    Example:
        >>> [_scaled(number, "B") for number in (0, 999, 1940, 12_345_678, 9_999_999_999)]
        ['0 B', '999 B', '1.94 kB', '12.3 MB', '10.0 GB']
        >>> _scaled(7)
        '7'
    """
    value, prefix = float(number), ""
    for larger in ("k", "M", "G", "T"):
        if value < 999.5:
            break
        value, prefix = value / 1000, larger
    decimals = 0 if not prefix or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{decimals}f} {prefix}{unit}".rstrip()
