"""Own the figures of the built-in nets: measured, trained briefly, pictured, written down. Define no net.

    python scripts/measure_nets.py [NAME ...] [--without-training | --without-timing]

Each net is measured in a process of its own at its published size and width, with random weights that look at
photographs; a narrow one of it is then trained for a minute or two on synthetic scenes. The figures go to
edgeseg/export/nets/measured.json, which ``edgeseg export --list`` shows, to docs/nets.json and the page docs/nets.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from net_lab import PHOTOGRAPHS, build, engine_path, export, masks_of, photographs, settled, write_frames
from trained_nets import (
    DETECTOR,
    SHALLOW,
    TRAINED_STEPS,
    TRAINED_WIDTH,
    TRAINING_SCENES,
    TRAININGS,
    Training,
    trained_net,
)

from edgeseg import Session
from edgeseg.accuracy import evaluate_engines
from edgeseg.data import LabelledSet, shipped_data
from edgeseg.export.catalogue import BUILT_IN, BuiltIn
from edgeseg.export.measured import MEASURED_PATH, Machine, Measured, NetFigures, read_measured, write_measured
from edgeseg.files import atomic_path
from edgeseg.graph.counting import count
from edgeseg.graph.reading import read_graph
from edgeseg.graph.simplifying import simplified
from edgeseg.imaging.images import read_image
from edgeseg.imaging.overlay import Overlay
from edgeseg.metrics import agreement
from edgeseg.report.benchmark import run_benchmark
from edgeseg.report.environment import read_environment
from edgeseg.report.frames import load_frames
from edgeseg.report.record import Settings
from edgeseg.sidecars import read_labels

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TRAINED_PATH = DOCS / "nets.json"
#: INT8 at full width is calibrated on as many frames: enough for its speed; accuracy is judged on the trained nets
CALIBRATION_FRAMES = 4
PICTURED_FRAME = "0004"
PICTURE_HW = (192, 384)


def main() -> None:
    """Measure the nets that are named, or all; one net in this process, several in one each."""
    parser = argparse.ArgumentParser(description="Measure the built-in nets; write their figures and their page.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="built-in nets (default: all)")
    parser.add_argument("--without-training", action="store_true", help="measure alone")
    parser.add_argument("--without-timing", action="store_true", help="train and picture alone")
    options = parser.parse_args()
    names = options.names or list(BUILT_IN)
    if len(names) == 1:
        _measure(BUILT_IN[names[0]], options)
    else:
        switches = [f"--{name.replace('_', '-')}" for name, value in vars(options).items() if value is True]
        for name in names:
            subprocess.run([sys.executable, __file__, name, *switches], check=True)
    _write_page()


def _measure(built_in: BuiltIn, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        if not options.without_timing:
            _keep_figures(built_in.name, figures_of(built_in, Path(folder)))
        if not options.without_training:
            _keep_trained(built_in.name, trained(built_in, Path(folder)))


def figures_of(built_in: BuiltIn, folder: Path) -> NetFigures:
    """Size, agreement and speed at the published width and size."""
    sizes = sizes_of(built_in, folder)
    fp32_ms, int8_ms = medians_ms([engine_path(folder / "net.onnx", "openvino", kind) for kind in ("fp32", "int8")])
    return NetFigures(**sizes, fp32_ms=fp32_ms, int8_ms=int8_ms)


def sizes_of(built_in: BuiltIn, folder: Path) -> dict[str, Any]:
    """What needs no quiet machine; leaves the engines in ``folder``."""
    frames, onnx = photographs(built_in.size_hw), folder / "net.onnx"
    net, expected = settled(built_in, {}, frames, built_in.size_hw)
    export(net, built_in, built_in.size_hw, frames[0], onnx)
    parameters = sum(one.numel() for name, one in net.named_parameters() if not name.startswith("aux"))
    del net
    fp32 = build(onnx, "openvino", "fp32")
    int8 = build(onnx, "openvino", "int8", images=write_frames(frames[:CALIBRATION_FRAMES], folder / "frames"))
    rtx = build(onnx, "tensorrt-rtx", "fp32")
    masks = masks_of(engine_path(onnx, "openvino", "fp32"), frames)
    return {
        "size_hw": built_in.size_hw,
        "parameters": parameters,
        "macs": count(simplified(read_graph(onnx).model)).macs,
        "fp32_bytes": fp32.plan_bytes,
        "int8_bytes": int8.plan_bytes,
        "rtx_bytes": rtx.plan_bytes,
        "agreement": float(np.mean([agreement(*pair) for pair in zip(masks, expected, strict=True)])),
    }


def trained(built_in: BuiltIn, folder: Path) -> dict[str, Any]:
    """Train a narrow net briefly, build it, evaluate FP32 and INT8 on the validation frames, write the picture."""
    training, onnx = TRAININGS.get(built_in.name, Training()), folder / "trained.onnx"
    net = trained_net(built_in, training)
    export(net, built_in, training.size_hw, read_image(frame_path()), onnx)
    engines = [engine_path(onnx, "openvino", kind) for kind in ("fp32", "int8")]
    build(onnx, "openvino", "fp32")
    build(onnx, "openvino", "int8", images=shipped_data())
    accuracy = evaluate_engines(engines, LabelledSet(shipped_data()))
    _draw(built_in.name, engines[0])
    return {
        "miou_fp32": accuracy[0].accuracy.miou,
        "miou_int8": accuracy[1].accuracy.miou,
        "agreement_int8": accuracy[1].agreement,
    }


def medians_ms(engines: Sequence[Path]) -> list[float]:
    """Milliseconds of the engine alone, in alternating turns on all cores."""
    settings = Settings(warm_up_ms=500, duration_s=6.0, iterations=10, threads=None, scopes=("engine",))
    report = run_benchmark(engines, load_frames(None), settings)
    return [one.headline.stats.p50_ms for one in report.measurements]


def frame_path() -> Path:
    """The validation frame of every picture."""
    return shipped_data() / "validation" / "images" / f"{PICTURED_FRAME}.jpg"


def _draw(name: str, engine: Path) -> None:
    frame_bgr = cv2.resize(read_image(frame_path()), PICTURE_HW[::-1], interpolation=cv2.INTER_AREA)
    with Session(engine) as session:
        labels = read_labels(shipped_data() / "labels.json")
        picture = Overlay(labels, alpha=0.6).blend(frame_bgr, session.segment(frame_bgr))
    (DOCS / "nets").mkdir(exist_ok=True)
    cv2.imwrite(str(DOCS / "nets" / f"{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 80])


def _keep_figures(name: str, figures: NetFigures) -> None:
    nets = dict(read_measured().nets) if MEASURED_PATH.exists() else {}
    nets[name] = figures
    environment = read_environment()
    machine = Machine(
        cpu=environment.cpu,
        cores=environment.usable_cores,
        date=str(datetime.date.today()),
        versions={one: version(one).partition("+")[0] for one in ("torch", "openvino", "tensorrt-rtx")},
    )
    ordered = {one: nets[one] for one in BUILT_IN if one in nets}
    write_measured(MEASURED_PATH, Measured(machine=machine, nets=ordered))


def _keep_trained(name: str, figures: dict[str, Any]) -> None:
    kept = _read_trained()
    kept[name] = figures
    with atomic_path(TRAINED_PATH) as path:
        path.write_text(json.dumps({one: kept[one] for one in BUILT_IN if one in kept}, indent=2) + "\n")


def _read_trained() -> dict[str, Any]:
    return dict(json.loads(TRAINED_PATH.read_text())) if TRAINED_PATH.exists() else {}


def _write_page() -> None:
    """docs/nets.md, out of the figures that are there and the template beside this script."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    page = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    text = page.get_template("nets.md.j2").render(
        built_in=BUILT_IN,
        measured=read_measured(),
        trained=_read_trained(),
        halved=", ".join(name for name, one in TRAININGS.items() if one is SHALLOW),
        width=TRAINED_WIDTH,
        size_hw=Training().size_hw,
        detector_hw=TRAININGS["mask-rcnn"].size_hw,
        detector_score=DETECTOR["score"],
        steps=TRAINED_STEPS,
        frames=3 * TRAINING_SCENES,
        calibration_frames=CALIBRATION_FRAMES,
        photographs=len(PHOTOGRAPHS),
    )
    with atomic_path(DOCS / "nets.md") as path:
        path.write_text(text)


if __name__ == "__main__":
    main()
