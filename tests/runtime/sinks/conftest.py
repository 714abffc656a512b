"""Own what the sinks' tests share: labels, frames with masks, and a writer that is killed or out of room."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeseg.runtime.frames import Frame
from edgeseg.spec import ClassSpec, LabelSpec

LABELS = LabelSpec(
    classes=(
        ClassSpec(name="road", colour=(255, 0, 0)),
        ClassSpec(name="sky", colour=(0, 255, 0)),
        ClassSpec(name="tree", colour=(0, 0, 255)),
    )
)

#: what a child process that writes to a sink begins with
WRITER = """
import sys, time
import numpy as np
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks import SinkOptions, open_sink
from edgeseg.spec import ClassSpec, LabelSpec
labels = LabelSpec(classes=(ClassSpec(name="a", colour=(255, 0, 0)), ClassSpec(name="b", colour=(0, 255, 0))))
rng = np.random.default_rng(0)

def write(sink, count, size_hw=(64, 96), first=0):
    for number in range(first, first + count):
        picture = rng.integers(0, 256, (*size_hw, 3), np.uint8)
        mask = rng.integers(0, 2, size_hw, np.uint8)
        sink.write(Frame(picture=picture, sequence=number, arrived_s=number / 30, name=f"{number:06d}"), mask)

def wait():
    print("ready", flush=True)
    time.sleep(600)
"""

Make = Callable[..., tuple[Frame, np.ndarray]]
Spawn = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def labels() -> LabelSpec:
    return LABELS


@pytest.fixture
def make() -> Make:
    """``make(number, size_hw, at_s)``: a frame of one grey, and a mask with all classes."""

    def one(number: int, size_hw: tuple[int, int] = (32, 48), at_s: float | None = None) -> tuple[Frame, np.ndarray]:
        mask = np.zeros(size_hw, np.uint8)
        mask[: size_hw[0] // 2] = 1
        mask[:, : size_hw[1] // 3] = 2
        picture = np.full((*size_hw, 3), number % 256, np.uint8)
        arrived_s = number / 30 if at_s is None else at_s
        return Frame(picture=picture, sequence=number, arrived_s=arrived_s, name=f"{number:06d}"), mask

    return one


@pytest.fixture
def writer(tmp_path: Path) -> Spawn:
    """Start a Python process in the test's folder that runs a text behind ``WRITER``."""

    def start(text: str) -> subprocess.Popen[str]:
        program = WRITER + textwrap.dedent(text)
        return subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def killed(writer: Spawn) -> Callable[[str], None]:
    """Run a text until it calls ``wait()``, and end it by SIGKILL."""

    def run(text: str) -> None:
        child = writer(text + "\nwait()")
        assert child.stdout is not None
        line = child.stdout.readline()
        child.kill()
        assert line == "ready\n", child.communicate()[1]
        child.communicate()

    return run


@pytest.fixture
def cramped(writer: Spawn) -> Callable[[str, int], str]:
    """Run a text in a process whose files cannot grow beyond some bytes; returns what it printed."""

    def run(text: str, limit_bytes: int) -> str:
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))\n"
        child = writer(limit + textwrap.dedent(text))
        out, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
        return out

    return run
