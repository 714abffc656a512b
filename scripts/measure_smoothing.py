"""Own the figures of docs/smoothing.md: flicker and mIoU of the demo net with and without smoothing. Judge nothing."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg import Session
from edgeseg.calib_data.scene import random_scene
from edgeseg.imaging.postprocess import Mask
from edgeseg.imaging.preprocess import Frame
from edgeseg.imaging.smoothing import Smoothing
from edgeseg.metrics import ConfusionMatrix

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "smoothing.md"
BEGIN, END = "<!-- begin: written by make smoothing-page -->\n", "<!-- end -->"
STRENGTHS = (0.0, 0.5, 0.7, 0.8, 0.9)
SEEDS = (910_001, 910_002, 910_003)  # scenes of no set: training, calibration and validation take others
FRAMES, FPS, SIZE_WH = 60, 30.0, (960, 540)
NOISE_LEVELS = 3.0  # of a sensor, standard deviation in grey levels

Labelled = tuple[Frame, NDArray[np.uint8]]


def moving() -> list[list[Labelled]]:
    """Two seconds of driving in each scene, with labels."""
    return [[random_scene(seed).render(index / FPS, size_wh=SIZE_WH) for index in range(FRAMES)] for seed in SEEDS]


def standing(clips: list[list[Labelled]]) -> Iterator[list[Frame]]:
    """The first moment of each scene again and again, with another noise each time."""
    noise = np.random.default_rng(3)
    for clip in clips:
        still = clip[0][0].astype(np.float32)
        noisy = (still + noise.normal(0, NOISE_LEVELS, still.shape) for _ in range(FRAMES))
        yield [np.clip(np.rint(one), 0, 255).astype(np.uint8) for one in noisy]


def masks_of(engine: Path, frames: list[Frame], strength: float) -> list[Mask]:
    """One session, as a camera's."""
    with Session(engine, depth=1, smoothing=Smoothing(strength=strength)) as session:
        return [session.segment(frame) for frame in frames]


def flicker(engine: Path, clips: list[list[Frame]], strength: float) -> float:
    """Share of pixels whose class changes from one frame of a still scene to the next; the first ten settle."""
    changed = [
        np.mean(one != other)
        for frames in clips
        for one, other in itertools.pairwise(masks_of(engine, frames, strength)[10:])
    ]
    return float(np.mean(changed))


def miou(engine: Path, clips: list[list[Labelled]], strength: float, classes: int) -> float:
    """Over all frames of all scenes; each scene begins anew."""
    matrix = ConfusionMatrix(classes)
    for clip in clips:
        masks = masks_of(engine, [frame for frame, _ in clip], strength)
        for (_, labels), mask in zip(clip, masks, strict=True):
            matrix.add(labels, mask)
    return matrix.accuracy().miou


def demo_engine(folder: Path) -> Path:
    """The demo net for OpenVINO in float32."""
    nets = ROOT / "edgeseg" / "export" / "nets"
    onnx, engine = folder / "net.onnx", folder / "net.engine"
    size = ("--input-size", "256x512", "--checkpoint", nets / "demo_unet.safetensors")
    labels = ("--labels", ROOT / "calib_data" / "labels.json")
    edgeseg("export", "edgeseg.export.nets.demo_unet:demo_unet", "-o", onnx, *size, *labels)
    edgeseg("build-engine", onnx, "-o", engine, "--backend", "openvino", "--precision", "fp32")
    return engine


def edgeseg(*words: object) -> None:
    """The command, in this environment."""
    subprocess.run([sys.executable, "-m", "edgeseg", *map(str, words)], check=True)


def rows(engine: Path) -> list[str]:
    """Of the table, printed as they come."""
    clips = moving()
    still = list(standing(clips))
    with Session(engine) as session:
        classes = len(session.spec.model.labels.classes)
    made = []
    for strength in STRENGTHS:
        changed, score = flicker(engine, still, strength), miou(engine, clips, strength, classes)
        made.append(f"| {strength:.1f} | {100 * changed:.3f} % | {100 * score:.2f} % |")
        print(made[-1], flush=True)
    return made


def main() -> None:
    """Write the table into the page."""
    with tempfile.TemporaryDirectory() as folder:
        table = ["| strength | pixels that change, still scene | mIoU, driving |", "|---|---|---|"]
        table += rows(demo_engine(Path(folder)))
    page = PAGE.read_text()
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(page[:begin] + "\n".join(table) + "\n" + page[end:])


if __name__ == "__main__":
    main()
