"""Own `edgeseg inspect`: what a sidecar says, checked against its file. A plan is never deserialised."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("path", metavar="NET.onnx|NET.engine", type=click.Path(path_type=Path))
def inspect(path: Path) -> None:
    """Show what an ONNX file or an engine is, after checking it against its sidecar. No plan is deserialised."""
    import msgspec

    from edgeseg.builder.graph import read_graph
    from edgeseg.spec import read_engine_spec, read_model_spec

    if path.suffix == ".onnx":
        data, graph = read_graph(path)
        facts = msgspec.to_builtins(read_model_spec(path, data))
        click.echo(f"{path}: ONNX, {len(data) / 1e6:.2f} MB, {len(graph.graph.node)} nodes; sidecar fits")
    else:
        spec, plan = read_engine_spec(path)
        facts = msgspec.to_builtins(spec)
        click.echo(f"{path}: {spec.backend} engine, {len(plan) / 1e6:.2f} MB; sidecar fits")
    for line in _lines(facts):
        click.echo(line)


def _lines(facts: dict[str, object], prefix: str = "") -> list[str]:
    """``a.b  value`` lines of nested records."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines += _lines(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
            lines += [
                f"{prefix}{key}[{i}]  {' '.join(str(part) for part in one.values())}" for i, one in enumerate(value)
            ]
        else:
            lines.append(f"{prefix}{key}  {value}")
    return lines
