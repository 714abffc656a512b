"""`edgeseg diagnose`, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import cv2
import numpy as np
import pytest
from precision_lab import net, quantisation_of

from edgeseg.graph.qdq import quantised

Edgeseg = Callable[..., "CompletedProcess[str]"]


def save(model: Any, path: Path) -> None:
    import onnx_ir as ir

    ir.save(model, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A float32 net, the same net quantised by other hands, and images; no sidecars."""
    model = net()
    save(model, tmp_path / "net.onnx")
    save(quantised(model, quantisation_of(model)), tmp_path / "net.int8.onnx")
    (tmp_path / "images").mkdir()
    for index in range(5):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 24, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), pixels)
    return tmp_path


def test_a_float32_net_is_calibrated_and_ranked(folder: Path, edgeseg: Edgeseg) -> None:
    pytest.importorskip("modelopt")
    forms = ("--json", "out.json", "--report", "out.html")
    done = edgeseg("diagnose", "net.onnx", "--calib-data", "images", "--frames", 2, "--top", 2, *forms)
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "out.json").read_text())
    nodes = told["found"]["nodes"]
    assert {"stem", "up", "head"} <= {one["name"] for one in nodes}
    assert [one["disagreement"] for one in nodes] == sorted((one["disagreement"] for one in nodes), reverse=True)
    assert told["found"]["frames"] == 2
    assert nodes[0]["name"] in done.stdout
    assert "edgeseg build-engine net.onnx --precision int8 --calib-data images --max-miou-drop 0.5" in done.stdout
    assert (folder / "net.calibration.json").exists()
    assert (folder / "out.html").read_text().startswith("<!DOCTYPE html>")


def test_a_net_that_is_quantised_already_is_ranked_as_it_is(folder: Path, edgeseg: Edgeseg) -> None:
    done = edgeseg("diagnose", "net.int8.onnx", "--data", "images", "--frames", 3, "--report", "out.png")
    assert done.returncode == 0, done.stderr
    assert "4 layers and 2 nodes that follow them" in done.stdout
    assert "3 frame(s) of images" in done.stdout
    assert cv2.imread(str(folder / "out.png")) is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["net.onnx"], "give --calib-data"),
        (["net.onnx", "--data", "images"], "is a float32 net: give --calib-data"),
        (["net.onnx", "--calib-data", "images", "--json", "out.txt"], "must end in .json"),
        (["net.onnx", "--calib-data", "images", "--report", "out.pdf"], "must end in .html or .png"),
        (["net.onnx", "--calib-data", "images", "--json", "net.json"], "the sidecar of a net"),
        (["net.onnx", "--calib-data", "images", "--json", "net.calibration.json"], "the calibration is kept"),
        (["net.onnx", "--calib-data", "images", "--frames", "0"], "--frames"),
        (["net.onnx", "--data", "images", "--skip-bad"], "--skip-bad does nothing without --calib-data"),
        (["net.int8.onnx", "--calib-data", "images"], "quantised already: give --data"),
        (["net.int8.onnx", "--data", "images", "--precision", "fp8"], "quantised to int8: leave --precision fp8 out"),
    ],
)
def test_what_does_not_go_together_is_a_wrong_use(words: list[str], said: str, folder: Path, edgeseg: Edgeseg) -> None:
    before = {path.name for path in folder.iterdir()}
    done = edgeseg("diagnose", *words)
    assert done.returncode == 2, done.stderr
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.onnx", "--data", "images"], "nowhere.onnx"),
        (["net.int8.onnx", "--data", "nowhere"], "nowhere"),
        (["net.int8.onnx", "--data", "images", "--json", "nothing.txt/out.json"], "nothing.txt"),
        (["net.int8.onnx", "--data", "images"], "3.png"),
    ],
)
def test_what_cannot_be_used_is_named(words: list[str], said: str, folder: Path, edgeseg: Edgeseg) -> None:
    (folder / "nothing.txt").write_text("a file")
    (folder / "images" / "3.png").write_bytes(b"no picture")
    done = edgeseg("diagnose", *words)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("edgeseg diagnose: ")]
    assert said in line
