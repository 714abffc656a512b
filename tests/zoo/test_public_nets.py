"""Public nets the whole way, by the command line: exported, cut, built by TensorRT-RTX, run on the CPU, compared."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from net_lab import photographs
from nets import CLASSES, NETS, PublicNet
from reference import mask_of, pixels_of, scores_of
from table import Row, markdown, write_between_marks

from edgeseg import Session
from edgeseg.export.nets.settling import settle
from edgeseg.graph.counting import count
from edgeseg.graph.reading import read_graph
from edgeseg.graph.simplifying import simplified
from edgeseg.sidecars import read_engine_spec
from edgeseg.spec import EngineSpec

DOCUMENT = Path(__file__).parents[2] / "docs" / "export.md"
GOAL = 0.999
SEEN_CLASSES = 5  # fewer in a mask, and its agreement would prove little
SEED = 4


@dataclass(frozen=True)
class Built:
    """One engine, and what `edgeseg build-engine` said of it."""

    path: Path
    spec: EngineSpec
    said: str


@pytest.fixture(scope="module")
def rows() -> Iterator[list[Row]]:
    """Takes a row of every net; becomes the table once there is one of each."""
    taken: list[Row] = []
    yield taken
    if len(taken) == len(NETS):
        write_between_marks(DOCUMENT, markdown(taken, photographs=len(photographs((32, 32)))))


@pytest.mark.parametrize("net", NETS, ids=str)
def test_a_public_net_is_exported_cut_built_by_tensorrt_rtx_and_masks_on_the_cpu_as_in_pytorch(
    net: PublicNet, rows: list[Row], tmp_path: Path
) -> None:
    frames = photographs(net.size_hw)
    images = [pixels_of(frame) for frame in frames]
    module = seeded(net, torch.cat(images))
    scores = torch.stack([scores_of(module, image) for image in images])
    expected = np.stack([mask_of(one) for one in scores])

    onnx = export(net, module, tmp_path)
    on_cpu, on_rtx = build(onnx, "openvino"), build(onnx, "tensorrt-rtx")
    masks = masks_of(on_cpu, frames)

    counts = count(simplified(read_graph(onnx).model))
    differ = masks != expected
    row = Row(
        net=str(net),
        source=net.source,
        size_hw=net.size_hw,
        parameters=counts.parameters,
        macs=counts.macs,
        cut=on_cpu.spec.model.head.cut,
        rewritten=re.findall(r"^rewritten \((.+?)\):", on_cpu.said, re.MULTILINE),
        rtx_bytes=on_rtx.spec.plan_bytes,
        agreement=1 - float(differ.mean()),
        widest_tie=widest_tie(scores, differ),
    )
    rows.append(row)
    assert [step.split()[:3] for step in row.cut] == ([["Resize", "linear", net.upsampling]] if net.upsampling else [])
    assert len(np.unique(expected)) >= SEEN_CLASSES
    assert row.agreement >= GOAL, f"the masks agree in {row.agreement:.4%} of the pixels, ties up to {row.widest_tie}"


def seeded(net: PublicNet, images: torch.Tensor) -> torch.nn.Module:
    """The net under weights that are random, the same in every run, and look at the pictures."""
    torch.manual_seed(SEED)
    module = net.make()
    settle(module, images, classes=CLASSES)
    return module


def export(net: PublicNet, module: torch.nn.Module, folder: Path) -> Path:
    """`edgeseg export` of the net by its name, with the module's weights as the checkpoint."""
    checkpoint, onnx = folder / "seeded.safetensors", folder / "net.onnx"
    weights = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    safetensors.torch.save_file(weights, checkpoint)
    height, width = net.size_hw
    words = [*net.command_words(folder / "config"), "-o", onnx, "--input-size", f"{height}x{width}"]
    words += ["--checkpoint", checkpoint, "--classes", CLASSES]
    edgeseg("export", *words)
    return onnx


def build(onnx: Path, backend: str) -> Built:
    """`edgeseg build-engine` in FP32."""
    engine = onnx.with_suffix(f".{backend}.engine")
    said = edgeseg("build-engine", onnx, "-o", engine, "--backend", backend)
    spec, _ = read_engine_spec(engine)
    return Built(engine, spec, said)


def edgeseg(*words: object) -> str:
    """The command line in a process of its own; what it said."""
    command = [sys.executable, "-m", "edgeseg", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def masks_of(engine: Built, frames: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 (N, H, W), through the runtime as a camera's frames go."""
    with Session(engine.path) as session:
        return np.stack([session.segment(frame) for frame in frames])


def widest_tie(scores: torch.Tensor, differ: np.ndarray) -> float:
    """The largest gap between the two best classes among the pixels that differ, over the largest score."""
    best, second = scores.topk(2, dim=1).values.unbind(1)
    gaps = (best - second)[torch.from_numpy(differ)]
    return float(gaps.max() / scores.abs().max()) if gaps.numel() else 0.0
