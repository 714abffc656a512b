"""Own `edgeseg demo`: the whole chain on the data that ships, through the commands that a user would type."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgeseg.spec import BackendName

NET = "edgeseg.export.nets.demo_unet:demo_unet"
INPUT_SIZE = "256x512"
SHORT: dict[BackendName, str] = {"openvino": "cpu", "tensorrt": "trt", "tensorrt-rtx": "rtx"}


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
def demo(out: Path) -> None:
    """Export, build, evaluate, run and benchmark the demo net; everything lands in one folder."""
    from edgeseg.builder.backends import best_backend
    from edgeseg.data import shipped_data
    from edgeseg.files import output_errors

    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    data = shipped_data()
    checkpoint = data.parent / "export" / "nets" / "demo_unet.safetensors"
    onnx = out / "net.onnx"
    _edgeseg(
        "export",
        NET,
        "-o",
        onnx,
        "--input-size",
        INPUT_SIZE,
        "--checkpoint",
        checkpoint,
        "--labels",
        data / "labels.json",
    )
    engines = _build(out, onnx, "openvino", data)
    if best_backend() == "tensorrt":
        engines += _build(out, onnx, "tensorrt", data)
    _build_rtx(out, onnx, data)
    judged = ("--json", out / "accuracy.json", "--report", out / "accuracy.html")
    _edgeseg("evaluate", *engines, "--data", data, "--reference", onnx, *judged)
    fastest = engines[-1]
    _edgeseg("run", fastest, data / "clip.mp4", out / "overlay.mp4", out / "masks")
    reports = [word for name in ("report.json", "report.html") for word in ("--report", out / name)]
    _edgeseg("benchmark", *engines, *reports)
    _summary(out)


def _build(out: Path, onnx: Path, backend: BackendName, data: Path) -> list[Path]:
    """FP32 and INT8 engines of one back end."""
    fp32, int8 = (out / f"{SHORT[backend]}-{precision}.engine" for precision in ("fp32", "int8"))
    _edgeseg("build-engine", onnx, "-o", fp32, "--backend", backend, "--precision", "fp32")
    _edgeseg("build-engine", onnx, "-o", int8, "--backend", backend, "--precision", "int8", "--calib-data", data)
    return [fp32, int8]


def _build_rtx(out: Path, onnx: Path, data: Path) -> None:
    from importlib.util import find_spec

    if find_spec("tensorrt_rtx") is None:
        click.echo("TensorRT-RTX is not installed (pip install 'edgeseg[rtx]'): no plan is built for RTX GPUs")
        return
    _build(out, onnx, "tensorrt-rtx", data)
    click.echo("the TensorRT-RTX plans are real and were built without a GPU; running them needs an RTX GPU")


def _edgeseg(*words: str | Path) -> None:
    """Echo a command as a user would type it, and run it; its failure ends the demo with its exit code."""
    texts = [str(word) for word in words]
    click.secho(f"\n$ edgeseg {shlex.join(texts)}", bold=True)
    returncode = _run([sys.executable, "-m", "edgeseg", *texts])
    if returncode:
        raise click.exceptions.Exit(returncode)


def _run(command: list[str]) -> int:
    """Run a command that gets the terminal's Ctrl-C too, and wait until it has cleaned up; its exit code.

    A Ctrl-C while the process is being made reaches this process only: the new one is then ended here.
    """
    held: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        process = subprocess.Popen(command)
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        process.kill()
        process.wait()
        raise KeyboardInterrupt
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def _medians(report: Path) -> dict[str, float]:
    """Milliseconds from a frame to its mask, by engine."""
    measured = json.loads(report.read_text())["measurements"]
    whole = [one for one in measured if one["scope"] == "frame-to-mask"]
    return {one["engine"]: one["stages"]["total"]["stats"]["p50_ms"] for one in whole}


def _summary(out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    accuracy = json.loads((out / "accuracy.json").read_text())["engines"]
    p50_ms = _medians(out / "report.json")
    table = Table("engine", "mIoU %", "pixel acc. %", "frame to mask, ms", "MB", title="demo")
    for one in accuracy:
        engine = Path(one["engine"])
        share = one["accuracy"]
        size_mb = engine.stat().st_size / 1e6
        shares = (f"{share['miou'] * 100:.2f}", f"{share['pixel_accuracy'] * 100:.2f}")
        table.add_row(engine.name, *shares, f"{p50_ms[engine.name]:.1f}", f"{size_mb:.2f}")
    click.echo()
    Console().print(table)
    for path in sorted(out.iterdir()):
        click.echo(f"  {path}{'/' if path.is_dir() else ''}")
