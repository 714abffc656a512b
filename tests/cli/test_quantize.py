"""`edgeseg quantize`, and the options of calibration and of promises that it shares with build-engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("modelopt.onnx.quantization")

FAILURE, USAGE = 1, 2


@pytest.fixture
def net(chain: Any, tmp_path: Path) -> Path:
    """The small net, where its calibration may be written."""
    for path in (chain.onnx, chain.onnx.with_suffix(".json")):
        shutil.copy(path, tmp_path / path.name)
    return Path(chain.onnx.name)


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_the_quantised_file_builds_without_being_told_its_precision(edgeseg: Any, chain: Any, net: Path) -> None:
    done = edgeseg("quantize", net, "--calib-data", chain.images)
    assert done.returncode == 0, done.stderr
    assert "net.int8.onnx: " in done.stdout
    assert "1 of 2 layers in int8" in done.stdout
    assert "copy it and net.int8.json, then: edgeseg build-engine net.int8.onnx" in done.stdout
    built = edgeseg("build-engine", "net.int8.onnx", "--backend", "openvino")
    assert built.returncode == 0, built.stderr
    assert "1 of 2 layers in int8, the rest in fp32" in built.stdout


def test_ranges_are_taken_from_the_file_the_second_time(edgeseg: Any, chain: Any, net: Path, tmp_path: Path) -> None:
    first = edgeseg("quantize", net, "--calib-data", chain.images, "--calibration", "ranges.json")
    record = json.loads((tmp_path / "ranges.json").read_text())
    assert "ranges are kept in ranges.json" in first.stdout
    assert set(record["scales"]) == {"image"}
    second = edgeseg("quantize", net, "--calib-data", chain.images, "--calibration", "ranges.json")
    assert "ranges are taken from ranges.json" in second.stdout
    third = edgeseg(
        "quantize", net, "--calib-data", chain.images, "--calibration", "ranges.json", "--calib-method", "percentile"
    )
    assert "in ranges.json differs the method (max against percentile)" in third.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["quantize", "net.onnx"], "--calib-data"),
        (["quantize", "net.onnx", "--calib-data", "i", "-o", "net.onnx"], "is the float32 net itself"),
        (["quantize", "net.onnx", "--calib-data", "i", "-o", "a.engine"], "name it a.onnx"),
        (["quantize", "net.onnx", "--every", "2"], "--every does nothing without --calib-data"),
        (["quantize", "net.onnx", "--calib-data", "i", "--percentile", "99"], "--calib-method percentile"),
        (["quantize", "net.onnx", "--calib-data", "i", "--percentile", "101"], "101"),
        (["quantize", "net.onnx", "--calib-data", "i", "--judge", "openvino"], "does nothing without --max-miou-drop"),
        (["build-engine", "net.onnx", "--search-budget", "9"], "--search-budget does nothing without --max-miou-drop"),
        (["build-engine", "net.onnx", "--eval-data", "d"], "--eval-data does nothing without --max-miou-drop"),
        (["build-engine", "net.onnx", "--max-miou-drop", "0.5"], "--max-miou-drop needs --eval-data DIR"),
        (["build-engine", "net.onnx", "--max-miou-drop", "0.5", "--eval-data", "d"], "not by fp32"),
        (["build-engine", "net.onnx", "--calib-method", "max"], "--calib-method does nothing without --calib-data"),
        (["build-engine", "net.onnx", "--precision", "bf16", "--calib-data", "IMAGES"], "do nothing for bf16"),
        (["build-engine", "net.onnx", "--precision", "int4"], "int4"),
        (["build-engine", "net.onnx", "--keep", "node_conv2d"], "nothing is quantised in fp32"),
    ],
)
def test_a_wrong_use_is_told_before_anything_is_done(
    edgeseg: Any, chain: Any, net: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    done = edgeseg(*(chain.images if word == "IMAGES" else word for word in words), *_on_the_cpu(words))
    assert done.returncode == USAGE, done.stderr
    assert said in one_line(done.stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def _on_the_cpu(words: list[str]) -> list[str]:
    return ["--backend", "openvino"] if words[0] == "build-engine" else []


def test_an_unreadable_image_in_the_middle_is_named_and_can_be_passed_over(
    edgeseg: Any, chain: Any, net: Path, tmp_path: Path
) -> None:
    shutil.copytree(chain.images, tmp_path / "images")
    (tmp_path / "images" / "001b.png").write_bytes(b"no picture")
    count = len(list((tmp_path / "images").iterdir()))
    done = edgeseg("quantize", net, "--calib-data", "images")
    assert done.returncode == FAILURE
    assert f"image 3 of {count}: images/001b.png" in one_line(done.stderr)
    assert "--skip-bad" in done.stderr
    assert not (tmp_path / "net.int8.onnx").exists()
    over = edgeseg("quantize", net, "--calib-data", "images", "--skip-bad")
    assert over.returncode == 0, over.stderr
    assert "passed over: images/001b.png" in over.stdout
    assert f"calibrated on {count - 1} images" in over.stdout


def test_a_list_and_a_video_calibrate_too(edgeseg: Any, chain: Any, net: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in sorted(chain.images.iterdir())[:3]))
    listed = edgeseg("quantize", net, "--calib-data", "list.txt")
    assert "calibrated on 3 images" in listed.stdout, listed.stderr
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 96))
    for seed in range(9):
        writer.write(np.random.default_rng(seed).integers(0, 256, (96, 160, 3), np.uint8))
    writer.release()
    filmed = edgeseg("quantize", net, "--calib-data", "clip.avi", "--every", "4")
    assert "calibrated on 3 images" in filmed.stdout, filmed.stderr


def test_pictures_unlike_the_input_are_warned_about(edgeseg: Any, net: Path, tmp_path: Path) -> None:
    (tmp_path / "grey").mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / "grey" / f"{index}.png"), np.full((8, 12, 3), 60, np.uint8))
    done = edgeseg("quantize", net, "--calib-data", "grey")
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 4  # few, alike, grey, small


def test_the_host_keeps_a_promise_for_the_device(edgeseg: Any, chain: Any, net: Path, tmp_path: Path) -> None:
    """Labels are the net's own float32 masks: a drop of 99 points is held at once."""
    from edgeseg import Session
    from edgeseg.data import CalibrationSet

    for name in ("images", "labels"):
        (tmp_path / "eval" / name).mkdir(parents=True)
    with Session(chain.fp32, depth=1) as session:
        for index, frame in enumerate(CalibrationSet(chain.images)):
            flipped = np.ascontiguousarray(frame[:, ::-1])
            cv2.imwrite(str(tmp_path / "eval" / "images" / f"{index}.png"), flipped)
            cv2.imwrite(str(tmp_path / "eval" / "labels" / f"{index}.png"), session.segment(flipped))
    promise = ("--max-miou-drop", 99, "--eval-data", "eval")
    done = edgeseg("quantize", net, "--calib-data", chain.images, *promise)
    assert done.returncode == 0, done.stderr
    assert "points below float32 (promised: at most 99)" in done.stdout
    told = json.loads((tmp_path / "net.int8.json").read_text())["precision"]["search"]
    assert [trial["kind"] for trial in told["trials"]] == ["fp32", "int8"]
    built = edgeseg("build-engine", "net.int8.onnx", "-o", "net.engine", "--backend", "openvino")
    assert built.returncode == 0, built.stderr
    engine = json.loads((tmp_path / "net.engine.json").read_text())["precision"]
    assert engine["search"] == told
    assert not list(tmp_path.glob("*.search.json"))


def test_a_label_outside_the_classes_ends_the_search_with_its_name(
    edgeseg: Any, chain: Any, net: Path, tmp_path: Path
) -> None:
    for name in ("images", "labels"):
        (tmp_path / "eval" / name).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "eval" / "images" / "a.png"), np.full((32, 64, 3), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "eval" / "labels" / "a.png"), np.full((32, 64), 7, np.uint8))
    promise = ("--precision", "int8", "--max-miou-drop", 1, "--eval-data", "eval", "--backend", "openvino")
    done = edgeseg("build-engine", net, "--calib-data", chain.images, *promise)
    assert done.returncode == FAILURE
    assert "frame a: id 7 is no class of 3" in one_line(done.stderr)
    assert not (tmp_path / "net.engine").exists()
