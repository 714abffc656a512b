"""The Python of docs/gpu.md runs as it stands, on the device that stands in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_lab import Device

from edgeseg.runtime.cuda import DeviceMemory, Stream, primary_context

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gpu.md").read_text()
SHAPES = ("--min-shapes", "1x32x64", "--opt-shapes", "1x32x64", "--max-shapes", "2x64x64")


def test_the_snippets_of_the_page_run_in_their_order(
    device: Device, chain: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = ("--input-size", "32x64", "--min-size", "32x64", "--max-size", "64x64", "--max-batch", "2")
    net, onnx, engine = f"{chain.net_file}:SmallNet", tmp_path / "net.onnx", tmp_path / "net.engine"
    exported = device.run("export", net, "--classes", 3, "-o", onnx, *free)
    assert exported.returncode == 0, exported.stderr
    built = device.run("build-engine", onnx, "-o", engine, "--backend", "tensorrt", *SHAPES)
    assert built.returncode == 0, built.stderr
    snippets = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(snippets) == 4
    rng, masks = np.random.default_rng(0), []
    bgr = rng.integers(0, 256, (48, 80, 3), np.uint8)
    with device.inside(integrated=0):
        cuda = primary_context()
        with cuda.current(), Stream(cuda) as stream:
            memory, staged = DeviceMemory(cuda, bgr.nbytes), cuda.pinned(bgr.shape, "uint8")
            staged[:] = bgr
            stream.copy_in(memory, staged)
            stream.synchronize()
        scope: dict[str, Any] = {
            "engine": engine,
            "camera": [rng.integers(0, 256, (72, 80), np.uint8) for _ in range(7)],
            "use": masks.append,
            "address": memory.ptr,
            "height": 48,
            "width": 80,
            "pitch": 240,
            "bgr": bgr,
            "front": rng.integers(0, 256, (48, 80, 2), np.uint8),
            "rear": rng.integers(0, 256, (32, 64, 2), np.uint8),
        }
        for snippet in snippets:
            exec(snippet, scope)
        memory.close()
        del scope
    assert [mask.shape for mask in masks] == [(48, 80)] * 7 + [(48, 80)] + [(48, 80), (32, 64)] + [(48, 80)]
    assert " on\n" in capsys.readouterr().out
