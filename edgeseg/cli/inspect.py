"""Own `edgeseg inspect`: what an ONNX file or an engine is, as text or JSON. Nothing is built, nothing is run."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseg.cli.console import SizeHW


@click.command()
@click.argument("path", metavar="NET.onnx|NET.engine", type=click.Path(path_type=Path))
@click.option("--layers", is_flag=True, help="List every node of ONNX, every layer of an engine.")
@click.option("--input-size", type=SizeHW(), help="ONNX: where the net leaves its size open; its optimum without it.")
@click.option("--output", help="ONNX: name of the output, where the graph has several.")
@click.option("--json", "is_json", is_flag=True, help="For programs: exact numbers, one JSON object.")
def inspect(path: Path, layers: bool, input_size: tuple[int, int] | None, output: str | None, is_json: bool) -> None:
    """Show what an ONNX file or an engine is, after checking it against its sidecar.

    Of ONNX: layers, parameters, multiply-accumulates (MACs), activation memory, the tail that the runtime takes over,
    and for each back end installed the nodes that its own parser refuses, with what becomes of them.

    Of an engine: tensors, profiles, where it loads, its memory, and how many of its layers compute in INT8, FP16, FP32.
    The layers are asked of the engine itself, where this machine can load it; else what its builder recorded is shown.
    """
    if path.suffix == ".onnx":
        from edgeseg.cli.inspect_onnx import onnx_lines

        lines = onnx_lines(path, layers, input_size, output, is_json)
    elif input_size or output:
        raise click.UsageError("--input-size and --output are for ONNX files")
    else:
        from edgeseg.cli.inspect_engine import engine_lines

        lines = engine_lines(path, layers, is_json)
    for line in lines:
        click.echo(line)
