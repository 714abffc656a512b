"""Own the figures of calibration: resident memory over many large pictures, and time. Calibrate nothing else.

    python scripts/measure_calibration.py [--images 500] [--method max] [--out benchmarks/results/calibration.md]

Synthetic streets are enlarged to 1024x2048 and written as JPEG; the demo net is calibrated on them at that size,
by each method in a process of its own. About 45 minutes on two cores.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.builder.calibrating import HELD_BYTES, Ranges, calibrate
from edgeseg.builder.placing import placed
from edgeseg.calib_data.generate import CALIBRATION_BLOCK, STILL_SIZE_WH, block_seed
from edgeseg.calib_data.scene import random_scene
from edgeseg.data import CalibrationSet, shipped_data
from edgeseg.files import write_atomically
from edgeseg.graph.preparing import PrepareOptions, prepare
from edgeseg.graph.reading import read_graph
from edgeseg.graph.saving import save_graph
from edgeseg.report.environment import read_environment
from edgeseg.sidecars import read_model_spec
from edgeseg.spec import CalibrationMethod, InputSpec

ROOT = Path(__file__).parents[1]
SIZE_HW = (1024, 2048)
SAMPLED = (1, 10, 100, 250, 500)
MOMENTS_PER_SCENE = 25  # a street takes half a second to make, a moment of it a tenth
FIRST_SCENE = 1000  # the committed frames take the first
DEMO = "edgeseg.export.nets.demo_unet:demo_unet"
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one method: resident bytes before the first image and after some of them, and time."""

    method: CalibrationMethod
    before_bytes: int
    resident_bytes: dict[str, int]
    highest_bytes: int
    images_s: float
    total_s: float


def main() -> None:
    """Prepare net and pictures, measure each method in its own process, write the page."""
    parser = argparse.ArgumentParser(description="Measure the memory and the time of calibration at 1024x2048.")
    parser.add_argument("--images", type=int, default=500, help="how many pictures (default 500)")
    parser.add_argument("--method", action="append", choices=get_args(CalibrationMethod), help="default: all three")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "calibration.md")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # the folder that the parent made
    options = parser.parse_args()
    methods: Sequence[CalibrationMethod] = options.method or get_args(CalibrationMethod)
    if options.inside:
        print(json.dumps(asdict(measured(options.inside, methods[0]))))
        return
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as name:
        folder = Path(name)
        tensors = prepare_net(folder)
        write_pictures(folder / "pictures", options.images)
        figures = [in_its_own_process(folder, method) for method in methods]
    write_atomically(options.out, page(figures, options.images, tensors))
    print(options.out.read_text())


def prepare_net(folder: Path) -> int:
    """Leave the demo net, its input and the tensors to quantise in the folder; their number."""
    onnx, net = folder / "demo.onnx", Path(__file__).parents[1] / "edgeseg" / "export" / "nets" / "demo_unet"
    words = ["export", DEMO, "-o", onnx, "--input-size", "{}x{}".format(*SIZE_HW)]
    words += ["--checkpoint", net.with_suffix(".safetensors"), "--labels", shipped_data() / "labels.json"]
    subprocess.run([sys.executable, "-m", "edgeseg", *map(str, words)], check=True)
    graph = read_graph(onnx)
    spec = read_model_spec(onnx, sha256=graph.sha256, weights_sha256=graph.weights_sha256)
    prepared = prepare(graph, spec.input, PrepareOptions(), head=spec.head)
    weights = set(prepared.model.graph.initializers)
    tensors = sorted({site.tensor for site in placed(prepared.model, "int8")} - weights)
    save_graph(prepared.model, folder / "net.onnx")
    (folder / "input.json").write_bytes(msgspec.json.encode(prepared.image))
    (folder / "tensors.json").write_text(json.dumps(tensors))
    return len(tensors)


def write_pictures(folder: Path, count: int) -> None:
    """Pictures of the net's size, as JPEG files."""
    folder.mkdir()
    for index, frame_bgr in zip(range(count), street_moments(), strict=False):
        large = cv2.resize(frame_bgr, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{index:04d}.jpg"), large)


def street_moments() -> Iterator[NDArray[np.uint8]]:
    """Frames without end, uint8 (540, 960, 3) BGR."""
    index = FIRST_SCENE
    while True:
        scene = random_scene(block_seed(0, CALIBRATION_BLOCK, index))
        for moment in range(MOMENTS_PER_SCENE):
            yield scene.render(moment * 0.4, size_wh=STILL_SIZE_WH)[0]
        index += 1


def in_its_own_process(folder: Path, method: CalibrationMethod) -> Figures:
    """So that memory is that of calibrating alone: no exporter, no Model Optimizer, no drawing."""
    words = [sys.executable, __file__, "--inside", str(folder), "--method", method]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", file=sys.stderr, flush=True)
    return Figures(**json.loads(done.stdout))


def measured(folder: Path, method: CalibrationMethod) -> Figures:
    """Calibrate once, and look at this process on the way."""
    image = msgspec.json.decode((folder / "input.json").read_bytes(), type=InputSpec)
    tensors = json.loads((folder / "tensors.json").read_text())
    frames = CalibrationSet(folder / "pictures")
    before, samples, start = status_bytes("VmRSS"), dict[int, int](), time.perf_counter()
    images_s = 0.0

    def on_image(count: int) -> None:
        nonlocal images_s
        images_s = time.perf_counter() - start
        if count in (*SAMPLED, len(frames)):
            samples[count] = status_bytes("VmRSS")

    ranges = calibrate(folder / "net.onnx", image, frames, tensors, method=method, on_image=on_image)
    total_s = time.perf_counter() - start
    check(ranges, tensors, len(frames), method)
    return Figures(
        method=method,
        before_bytes=before,
        resident_bytes={str(count): size for count, size in samples.items()},
        highest_bytes=status_bytes("VmHWM"),
        images_s=images_s,
        total_s=total_s,
    )


def check(ranges: Ranges, tensors: Iterable[str], images: int, method: CalibrationMethod) -> None:
    """That what was timed is what is wanted."""
    assert ranges.images == images
    for name in tensors:
        threshold, peak = ranges.thresholds[name], ranges.peaks[name]
        assert threshold == peak if method == "max" else 0 < threshold <= peak, (name, threshold, peak)


def status_bytes(name: str) -> int:
    """Of this process, on Linux: VmRSS is resident now, VmHWM was at most (getrusage's may be the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def page(figures: Sequence[Figures], images: int, tensors: int) -> str:
    """The table, and on what it was measured."""
    counts = sorted({int(count) for one in figures for count in one.resident_bytes})
    environment = read_environment()
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "numpy", "onnx-ir"))
    head = ["method", "seconds", "ms an image", "before", *(f"after {count}" for count in counts), "highest"]
    rows = [row(one, counts, images) for one in figures]
    return "\n".join(
        [
            "# Calibration: memory and time",
            "",
            f"{datetime.date.today()}, {environment.cpu}, {environment.usable_cores} threads, load "
            f"{environment.load_1min or 0:.1f} at the end, nice {os.nice(0)}; {packages}.",
            "",
            f"The demo net at {SIZE_HW[0]}x{SIZE_HW[1]} on {images} JPEG files of that size, read one after another; "
            f"{tensors} tensors to quantise. Resident memory in MiB; before: packages alone.",
            "",
            *("| " + " | ".join(cells) + " |" for cells in (head, ["---", *["---:"] * (len(head) - 1)], *rows)),
            "",
            f"max reduces every tensor inside the graph; the others take up to {HELD_BYTES // MIB} MiB of tensors out "
            "of it at a time and run it as often as that asks for. Written by `scripts/measure_calibration.py`.",
            "",
        ]
    )


def row(one: Figures, counts: Sequence[int], images: int) -> list[str]:
    """The cells of one method."""
    sizes = [one.before_bytes, *(one.resident_bytes[str(count)] for count in counts), one.highest_bytes]
    times = [f"{one.total_s:.0f}", f"{1000 * one.images_s / images:.0f}"]
    return [one.method, *times, *(f"{size / MIB:.0f}" for size in sizes)]


if __name__ == "__main__":
    main()
