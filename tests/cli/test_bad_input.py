"""Every bad input of every command ends in one line that says what, where and what to do, and in no file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FAILURE, USAGE = 1, 2
INPUT_SIZE = ("--input-size", "32x64")


def one_line(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """Hold a failed call against the rules: its code, one line of message, no traceback, the parts in it."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith(("edgeseg", "Error:"))
    if code == FAILURE:
        said = [line for line in done.stderr.splitlines() if line.startswith("edgeseg") and "warning" not in line]
        assert len(said) == 1
        assert message.count(": ") >= 2, f"no next step in: {message}"
    for part in parts:
        assert part in message


def leftovers(folder: Path) -> list[str]:
    """Files that a failed command must not leave: unfinished ones, hidden or not."""
    return sorted(path.name for path in folder.rglob("*") if ".part" in path.name)


def test_a_missing_onnx_is_refused(edgeseg: Any, tmp_path: Path) -> None:
    done = edgeseg("build-engine", "no.onnx")
    one_line(done, FAILURE, "no.onnx", "No such file", "edgeseg export")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_onnx_is_refused(edgeseg: Any, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    one_line(edgeseg("build-engine", "net.onnx"), FAILURE, "net.onnx", "empty", "edgeseg export")


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" * 20, b"hello, this is text", b"\x00" * 64])
def test_a_file_that_is_no_onnx_is_refused(edgeseg: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    one_line(edgeseg("build-engine", "net.onnx"), FAILURE, "net.onnx", "is no ONNX file")
    assert not (tmp_path / "net.engine").exists()


def test_an_onnx_without_a_4d_image_input_is_refused(edgeseg: Any, tmp_path: Path) -> None:
    from onnx import TensorProto, checker, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:]))
    checker.check_model(model)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    one_line(edgeseg("build-engine", "net.onnx"), FAILURE, "x (1, 8)", "4-D image")


def test_a_truncated_onnx_is_refused(edgeseg: Any, chain_copy: Path) -> None:
    data = (chain_copy / "net.onnx").read_bytes()
    (chain_copy / "net.onnx").write_bytes(data[: len(data) // 2])
    one_line(edgeseg("build-engine", "net.onnx"), FAILURE, "net.onnx")


def test_a_sidecar_of_another_onnx_is_refused(edgeseg: Any, chain_copy: Path) -> None:
    sidecar = json.loads((chain_copy / "net.json").read_text())
    (chain_copy / "net.json").write_text(json.dumps(sidecar | {"onnx_sha256": "0" * 64}))
    one_line(edgeseg("build-engine", "net.onnx"), FAILURE, "sha256", "net.json", "edgeseg export")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"surprise": 1}, "surprise"),
        ({"schema": 2}, "schema"),
        ({"input": {"name": "image"}}, "input"),
    ],
)
def test_a_sidecar_with_strange_content_is_refused(
    edgeseg: Any, chain_copy: Path, change: dict[str, object], told: str
) -> None:
    sidecar = json.loads((chain_copy / "net.json").read_text())
    (chain_copy / "net.json").write_text(json.dumps(sidecar | change))
    one_line(edgeseg("build-engine", "net.onnx"), FAILURE, "net.json", told)


def test_a_sidecar_whose_input_differs_from_the_graph_is_refused(edgeseg: Any, chain_copy: Path) -> None:
    sidecar = json.loads((chain_copy / "net.json").read_text())
    sidecar["input"]["size_hw"] = [64, 64]
    (chain_copy / "net.json").write_text(json.dumps(sidecar))
    one_line(edgeseg("build-engine", "net.onnx"), FAILURE, "asked to be 64x64", "takes image (1, 3, 32, 64)")


@pytest.mark.parametrize("command", [("inspect",), ("run", "{clip}"), ("evaluate", "--data", "."), ("benchmark",)])
def test_a_truncated_engine_is_refused_by_every_command(
    edgeseg: Any, chain_copy: Path, chain: Any, clip: Path, command: tuple[str, ...]
) -> None:
    engine = chain_copy / "net.fp32.engine"
    engine.write_bytes(engine.read_bytes()[:-100])
    make_labelled(chain_copy)
    words = [word.format(clip=clip) for word in command[1:]]
    one_line(edgeseg(command[0], engine.name, *words), FAILURE, "net.fp32.engine", "bytes", "edgeseg build-engine")


def test_an_engine_with_a_changed_byte_is_refused(edgeseg: Any, chain_copy: Path, clip: Path) -> None:
    engine = chain_copy / "net.fp32.engine"
    data = bytearray(engine.read_bytes())
    data[len(data) // 2] ^= 1
    engine.write_bytes(data)
    one_line(edgeseg("run", engine.name, clip), FAILURE, "net.fp32.engine", "sha256", "edgeseg build-engine")


def test_an_engine_of_another_openvino_is_refused(edgeseg: Any, chain_copy: Path, clip: Path) -> None:
    path = chain_copy / "net.fp32.engine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"backend_version": "2020.1"}))
    one_line(edgeseg("run", "net.fp32.engine", clip), FAILURE, "2020.1", "edgeseg build-engine")


def test_an_engine_sidecar_that_is_no_json_is_refused(edgeseg: Any, chain_copy: Path) -> None:
    (chain_copy / "net.fp32.engine.json").write_text("{")
    one_line(edgeseg("inspect", "net.fp32.engine"), FAILURE, "net.fp32.engine.json")


def test_int8_without_calibration_data_is_refused(edgeseg: Any, chain: Any, tmp_path: Path) -> None:
    done = edgeseg("build-engine", chain.onnx, "-o", "x.engine", "--precision", "int8")
    one_line(done, USAGE, "--calib-data")
    assert list(tmp_path.iterdir()) == []


def test_calibration_data_without_int8_is_refused(edgeseg: Any, chain: Any) -> None:
    one_line(edgeseg("build-engine", chain.onnx, "-o", "x", "--calib-data", chain.images), USAGE, "--calib-data")


@pytest.mark.parametrize("name", ["net.onnx", "net.json"])
def test_an_engine_may_not_take_the_place_of_the_model(edgeseg: Any, chain_copy: Path, name: str) -> None:
    before = (chain_copy / name).read_bytes()
    one_line(edgeseg("build-engine", "net.onnx", "-o", name), USAGE, name, "net.engine")
    assert (chain_copy / name).read_bytes() == before


def test_fp16_on_the_cpu_is_refused(edgeseg: Any, chain: Any) -> None:
    done = edgeseg("build-engine", chain.onnx, "-o", "x", "--precision", "fp16", "--backend", "openvino")
    one_line(done, FAILURE, "fp16", "int8")


def test_a_backend_that_is_not_installed_is_named_with_its_extra(edgeseg: Any, chain: Any) -> None:
    pytest.importorskip("tensorrt_rtx")
    if _has("tensorrt"):
        pytest.skip("tensorrt is installed here")
    done = edgeseg("build-engine", chain.onnx, "-o", "x", "--backend", "tensorrt")
    one_line(done, FAILURE, "tensorrt", "pip install 'edgeseg[tensorrt]'")


def test_a_calibration_folder_without_an_image_is_refused(edgeseg: Any, chain: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    done = edgeseg("build-engine", chain.onnx, "-o", "x", "--precision", "int8", "--calib-data", tmp_path)
    one_line(done, FAILURE, str(tmp_path), "holds no image")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 no jpeg at all"])
def test_a_calibration_folder_with_a_broken_image_is_refused(
    edgeseg: Any, chain: Any, tmp_path: Path, content: bytes
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes((chain.images / "000.png").read_bytes())
    (folder / "b.jpg").write_bytes(content)
    done = edgeseg("build-engine", chain.onnx, "-o", "x", "--precision", "int8", "--calib-data", "images")
    one_line(done, FAILURE, "b.jpg")
    assert not (tmp_path / "x").exists()


def test_a_video_that_ends_in_the_middle_of_a_frame_gives_what_it_holds_and_fails(
    edgeseg: Any, chain: Any, clip: Path, tmp_path: Path
) -> None:
    data = clip.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    done = edgeseg("run", chain.fp32, "cut.mp4", "overlay.mp4", "masks")
    one_line(done, FAILURE, "cut.mp4", "cut short", "of 40 frames")
    written = len(list((tmp_path / "masks").iterdir()))
    assert f"short: {written} of 40" in done.stderr
    assert 0 < written < 40
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"this is no video" * 100])
def test_a_source_that_is_no_video_is_refused(edgeseg: Any, chain: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    one_line(edgeseg("run", chain.fp32, "clip.mp4", "masks"), FAILURE, "clip.mp4")


def test_a_missing_source_is_refused(edgeseg: Any, chain: Any) -> None:
    one_line(edgeseg("run", chain.fp32, "no.mp4"), FAILURE, "no.mp4", "No such file")


def test_a_camera_that_is_not_there_is_refused(edgeseg: Any, chain: Any) -> None:
    if Path("/dev/video73").exists():
        pytest.skip("there is a camera 73")
    one_line(edgeseg("run", chain.fp32, "73"), FAILURE, "camera 73")


def test_a_sink_of_unknown_kind_is_refused_and_the_one_before_it_leaves_nothing(
    edgeseg: Any, chain: Any, clip: Path, tmp_path: Path
) -> None:
    one_line(edgeseg("run", chain.fp32, clip, "overlay.mp4", "masks.gif"), FAILURE, ".gif", ".mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_output_is_refused_by_every_command_that_writes(
    edgeseg: Any, chain: Any, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    make_labelled(tmp_path)
    calls = [
        ("export", f"{chain.net_file}:SmallNet", "-o", "file/net.onnx", "--input-size", "32x64"),
        ("build-engine", chain.onnx, "-o", "file/net.engine", "--backend", "openvino"),
        ("run", chain.fp32, clip, "file/overlay.mp4"),
        ("run", chain.fp32, clip, "file/masks"),
        ("evaluate", chain.fp32, "--data", ".", "--json", "file/a.json"),
        ("benchmark", chain.fp32, "--duration-s", "0.1", "--report", "file/r.json"),
        ("demo", "--out", "file/demo"),
    ]
    for words in calls:
        done = edgeseg(*words)
        one_line(done, FAILURE, "file/", "cannot be written")


@pytest.mark.parametrize("command", ["export", "build-engine", "run-video", "run-masks", "benchmark"])
def test_a_full_disk_is_said_and_leaves_nothing(chain: Any, clip: Path, tmp_path: Path, command: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    words: dict[str, list[object]] = {
        "export": ["export", f"{chain.net_file}:SmallNet", "--arg", "width=64", "-o", disk / "n.onnx", *INPUT_SIZE],
        "build-engine": ["build-engine", chain.onnx, "-o", disk / "net.engine", "--backend", "openvino"],
        "run-video": ["run", chain.fp32, clip, disk / "overlay.mp4"],
        "run-masks": ["run", chain.fp32, clip, disk / "masks"],
        "benchmark": ["benchmark", chain.fp32, "--duration-s", "0.1", "--report", disk / "r.html"],
    }
    after, listed = tmp_path / "after", tmp_path / "listed"
    script = f'mount -t tmpfs -o size=4k none {disk} && shift 0; "$@"; echo $? > {after}; ls -A {disk} > {listed}'
    command_line = [sys.executable, "-m", "edgeseg", *map(str, words[command])]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *command_line], capture_output=True, text=True, check=False
    )
    if not after.exists() or "mount:" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    done.returncode = int(after.read_text())
    one_line(done, FAILURE, "No space left on device", str(disk))
    unfinished = [name for name in listed.read_text().split() if name != "masks"]
    assert unfinished == []


def test_debug_shows_the_traceback(edgeseg: Any) -> None:
    done = edgeseg("build-engine", "no.onnx", "--debug")
    assert done.returncode == FAILURE
    assert "Traceback" in done.stderr
    assert "ModelError" in done.stderr


@pytest.mark.parametrize("words", [("frobnicate",), ("run",), ("export", "a:b", "-o", "x.onnx", "--input-size", "big")])
def test_a_wrong_use_exits_with_2(edgeseg: Any, words: tuple[str, ...]) -> None:
    done = edgeseg(*words)
    assert done.returncode == USAGE
    assert "Error: " in done.stderr


def make_labelled(folder: Path) -> None:
    """One labelled frame of class 0."""
    import cv2
    import numpy as np

    for name in ("images", "labels"):
        (folder / name).mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "images" / "a.png"), np.zeros((20, 30, 3), np.uint8))
    cv2.imwrite(str(folder / "labels" / "a.png"), np.zeros((20, 30), np.uint8))


def _has(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None
