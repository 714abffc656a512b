"""Ctrl-C in every command: one line, exit code 1, no unfinished file; sent where the command is known to wait."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest


def start(*words: object, cwd: Path, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """A command in a process group of its own, as a terminal gives it."""
    command = [sys.executable, "-m", "edgeseg", *map(str, words)]
    return subprocess.Popen(command, cwd=cwd, stdout=stdout, stderr=subprocess.PIPE, text=True, start_new_session=True)


def interrupt(process: subprocess.Popen[str], waits_for: IO[bytes] | None = None) -> str:
    """Send what a terminal sends on Ctrl-C, to the whole group; return the standard error.

    Then close the file that the process waits for: a signal that comes just before a read does not end it.
    """
    os.killpg(process.pid, signal.SIGINT)
    if waits_for is not None:
        waits_for.close()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    return errors


def unfinished(folder: Path) -> list[Path]:
    """What an interrupted command must not leave."""
    return [path for path in folder.rglob("*") if ".part" in path.name or path.suffix in {".engine", ".onnx"}]


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """A file that keeps its reader waiting; opening it for writing tells that the reader has come."""
    path = tmp_path / "waits"
    os.mkfifo(path)
    yield path
    path.unlink()


@pytest.mark.parametrize(
    "words",
    [
        ("export", "{net}:SmallNet", "-o", "out.onnx", "--input-size", "32x64", "--checkpoint", "{fifo}"),
        ("build-engine", "{fifo}", "-o", "out.engine", "--backend", "openvino"),
        ("build-engine", "{fifo}", "-o", "out.engine", "--backend", "tensorrt-rtx"),
        ("run", "{fifo}", "{clip}", "overlay.mp4", "masks"),
        ("run", "{engine}", "{fifo}", "overlay.mp4", "masks"),
        ("evaluate", "{fifo}", "--data", "."),
        ("benchmark", "{fifo}", "--report", "r.json"),
        ("inspect", "{fifo}"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_ctrl_c_while_a_file_is_read_ends_in_one_line(
    chain: Any, clip: Path, fifo: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "000.png").write_bytes((chain.images / "000.png").read_bytes())
    filled = [word.format(net=chain.net_file, fifo=fifo, clip=clip, engine=chain.fp32) for word in words]
    process = start(*filled, cwd=tmp_path)
    with fifo.open("wb") as writer:
        errors = interrupt(process, writer)
    said = [line for line in errors.splitlines() if line.startswith("edgeseg") and "warning" not in line]
    assert len(said) == 1
    assert said[0].startswith(f"edgeseg {words[0]}: interrupted")
    assert unfinished(tmp_path) == []


def test_ctrl_c_while_calibration_images_are_read_leaves_no_engine(chain: Any, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "000.png").write_bytes((chain.images / "000.png").read_bytes())
    os.mkfifo(images / "001.png")
    words = ("build-engine", chain.onnx, "-o", "out.engine", "--precision", "int8", "--calib-data", images)
    process = start(*words, "--backend", "openvino", cwd=tmp_path)
    with (images / "001.png").open("wb") as writer:
        errors = interrupt(process, writer)
    assert "edgeseg build-engine: interrupted" in errors
    assert unfinished(tmp_path) == []


def test_ctrl_c_in_a_run_leaves_whole_files(chain: Any, tmp_path: Path) -> None:
    """The source is a folder whose sixth image keeps the loop waiting, so five masks are under way."""
    import cv2

    images = tmp_path / "images"
    images.mkdir()
    for index in range(5):
        (images / f"{index}.png").write_bytes((chain.images / "000.png").read_bytes())
    os.mkfifo(images / "5.png")
    process = start("run", chain.fp32, images, "overlay.mp4", "masks", cwd=tmp_path)
    with (images / "5.png").open("wb") as writer:
        errors = interrupt(process, writer)
    assert "edgeseg run: interrupted after" in errors
    assert unfinished(tmp_path) == []
    masks = sorted((tmp_path / "masks").iterdir())
    assert all(cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None for path in masks)
    if masks:  # an interrupt before the first mask leaves no video, a later one a playable video
        assert cv2.VideoCapture(str(tmp_path / "overlay.mp4")).read()[0]


def fill(writing: int) -> None:
    """Let the next writer to a pipe wait."""
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, bytes(1)):
            pass
    os.set_blocking(writing, True)


def wait_until_it_sleeps(pid: int) -> None:
    """Return when a process has slept and used no time in ten looks on end."""
    seen: list[list[str]] = []
    while len(seen) < 10 or seen[-10:] != [seen[-1]] * 10 or seen[-1][0] != "S":
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seen.append([fields[0], *fields[11:13]])
        time.sleep(0.1)


def interrupt_a_writer(process: subprocess.Popen[str], reading: int) -> str:
    """As ``interrupt``, of a process that waits for room in a pipe; the pipe is emptied then."""
    os.killpg(process.pid, signal.SIGINT)
    while os.read(reading, 1 << 16):
        pass
    os.close(reading)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    return errors


def test_ctrl_c_in_doctor_ends_in_one_line(tmp_path: Path) -> None:
    """Interrupted while it waits for somebody to read its table."""
    reading, writing = os.pipe()
    fill(writing)
    process = start("doctor", cwd=tmp_path, stdout=writing)
    os.close(writing)
    wait_until_it_sleeps(process.pid)
    assert "edgeseg doctor: interrupted" in interrupt_a_writer(process, reading)


def test_ctrl_c_in_the_demo_ends_the_command_under_way_too(tmp_path: Path) -> None:
    """Interrupted while the export waits for somebody to read what it did."""
    reading, writing = os.pipe()
    process = start("demo", "--out", "demo", cwd=tmp_path, stdout=writing)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (child := children.read_text().strip()):
        assert process.poll() is None
    fill(writing)
    os.close(writing)
    wait_until_it_sleeps(int(child))
    errors = interrupt_a_writer(process, reading)
    assert "edgeseg demo: interrupted" in errors
    assert "edgeseg export: interrupted" in errors
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["net.json", "net.onnx"]


def test_ctrl_c_while_the_demo_starts_a_command_ends_that_command() -> None:
    """The signal comes before the command's process exists, so only the demo gets it."""
    script = """
import os, signal, sys
from pathlib import Path
from edgeseg.cli import demo
sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGINT) if event == "subprocess.Popen" else None)
try:
    demo._run(["sleep", "600"])
except KeyboardInterrupt:
    print("interrupted", Path(f"/proc/self/task/{os.getpid()}/children").read_text())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["interrupted"]
