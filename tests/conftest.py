"""Own what tests share: one small net taken the whole way, and a way to call the command as a user does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from device_lab import device, device_library

from edgeseg.files import locked

__all__ = ["device", "device_library"]

collect_ignore = ["lab/standin"]  # packages that stand in for others', importable in a test's process only

# each worker's torch takes its share of the cores, as does that of the commands it runs: OpenMP's threads spin
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // int(workers), 1)))

SMALL_NET = """
from torch import nn


class SmallNet(nn.Module):
    def __init__(self, classes=3, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.head = nn.Conv2d(width, classes, 3, 1, 1)

    def forward(self, image):
        return self.head(self.stem(image).relu())
"""

Edgeseg = Callable[..., "subprocess.CompletedProcess[str]"]


class Chain(NamedTuple):
    """A small net on its way: its module file, checkpoint, ONNX, and engines for the CPU. Read-only."""

    folder: Path
    net_file: Path
    checkpoint: Path
    onnx: Path
    fp32: Path
    int8: Path
    images: Path


def call(words: Sequence[object], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, in the folder ``cwd``."""
    command = [sys.executable, "-m", "edgeseg", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=os.environ | {"COLUMNS": "150"}
    )


@pytest.fixture(scope="session")
def call_in() -> Callable[[Sequence[object], Path], subprocess.CompletedProcess[str]]:
    """``call_in(words, folder)`` for tests that share what one call made."""
    return call


@pytest.fixture
def edgeseg(tmp_path: Path) -> Edgeseg:
    """The ``edgeseg`` command, run in an empty folder."""
    return lambda *words: call(words, cwd=tmp_path)


def write_images(folder: Path, count: int, *, size_hw: tuple[int, int] = (90, 160)) -> Path:
    """Pictures with large shapes and noise, each another."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rng = np.random.default_rng(index)
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index:03d}.png"), cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(scope="session")
def chain(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The small net, exported and built through the command line, once for all workers of a run."""
    pytest.importorskip("torch")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(pytestconfig, "workerinput") else base) / "chain"
    built = Chain(
        folder,
        folder / "small_net.py",
        folder / "small.pt",
        folder / "net.onnx",
        folder / "net.fp32.engine",
        folder / "net.int8.engine",
        folder / "images",
    )
    done = folder / "done"
    with locked(folder):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            build_chain(built)
            done.touch()
    return built


def build_chain(chain: Chain) -> None:
    """Make the files of the chain in its folder, which is not there yet."""
    import torch

    write_images(chain.images, 8)
    chain.net_file.write_text(SMALL_NET)
    scope: dict[str, object] = {}
    exec(SMALL_NET, scope)
    torch.manual_seed(7)
    torch.save(scope["SmallNet"]().state_dict(), chain.checkpoint)  # type: ignore[operator]
    size, onnx = ("--input-size", "32x64"), chain.onnx
    calibrated = ("--precision", "int8", "--calib-data", chain.images)
    steps: list[list[object]] = [
        ["export", f"{chain.net_file}:SmallNet", "-o", onnx, *size, "--checkpoint", chain.checkpoint, "--classes", 3],
        ["build-engine", onnx, "-o", chain.fp32, "--backend", "openvino"],
        ["build-engine", onnx, "-o", chain.int8, "--backend", "openvino", *calibrated],
    ]
    for words in steps:
        done = call(words, cwd=chain.folder)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def chain_copy(chain: Chain, tmp_path: Path) -> Path:
    """A folder with copies of net.onnx, net.fp32.engine and their sidecars, to be damaged."""
    for path in (chain.onnx, chain.fp32):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for name in ("net.json", "net.fp32.engine.json"):
        (tmp_path / name).write_bytes((chain.folder / name).read_bytes())
    return tmp_path


def write_video(path: Path, frames: int, *, size_hw: tuple[int, int] = (90, 160)) -> Path:
    """An H.264 video whose frames differ, with its index at the front as streams have it."""
    import av

    height, width = size_hw
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for _ in range(frames):
            small = rng.integers(0, 256, (6, 8, 3), np.uint8)
            picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 40 frames, 90x160."""
    pytest.importorskip("av")
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 40)
