from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.errors import OutputError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks import MaskCallback, open_sink

MODULE = """
seen = []

def take(frame, mask):
    seen.append((frame.sequence, int(mask.max())))

class Counter:
    def __init__(self):
        self.frames = 0
    def __call__(self, frame, mask):
        self.frames += 1
    def close(self):
        seen.append(f"closed after {self.frames}")

def fails(frame, mask):
    raise ZeroDivisionError("no road")

class Needy:
    def __init__(self, road):
        pass

number = 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a user's module; what importing it changes is undone."""
    (tmp_path / "users_sink.py").write_text(MODULE)
    (tmp_path / "broken_sink.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("users_sink", "broken_sink"):
        sys.modules.pop(name, None)


def test_a_function_of_the_working_folder_gets_every_frame_and_mask(folder: Path, labels: Any, make: Any) -> None:
    sink = open_sink("py:users_sink:take", labels, fps=30)
    for number in range(3):
        sink.write(*make(number))
    sink.close()
    sink.abandon()
    assert sys.modules["users_sink"].seen == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_a_class_is_made_once_and_closed_once(end: str, folder: Path, labels: Any, make: Any) -> None:
    sink = open_sink("py:users_sink:Counter", labels, fps=30)
    for number in range(3):
        sink.write(*make(number))
    getattr(sink, end)()
    sink.close()
    sink.abandon()
    assert sys.modules["users_sink"].seen == ["closed after 3"]


def test_what_the_function_raises_is_an_output_error_with_the_frame(folder: Path, labels: Any, make: Any) -> None:
    sink = open_sink("py:users_sink:fails", labels, fps=30)
    with pytest.raises(OutputError, match=r"users_sink:fails raised ZeroDivisionError at frame 7 \(no road\)") as told:
        sink.write(*make(7))
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def test_a_close_that_fails_is_told_by_close_and_not_by_abandon() -> None:
    class Bad:
        def __call__(self, frame: Frame, mask: np.ndarray) -> None:
            pass

        def close(self) -> None:
            raise ValueError("disk")

    with pytest.raises(OutputError, match="while closing"):
        MaskCallback(Bad(), name="bad").close()
    MaskCallback(Bad(), name="bad").abandon()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("py:users_sink", "names no function"),
        ("py::take", "names no function"),
        ("py:not_there:take", "cannot be imported .ModuleNotFoundError"),
        ("py:broken_sink:take", "cannot be imported .ZeroDivisionError"),
        ("py:users_sink:absent", "has no absent"),
        ("py:users_sink:number", "is int"),
        ("py:users_sink:Needy", "cannot be made .TypeError"),
    ],
)
def test_a_name_that_is_no_function_is_refused_at_opening(name: str, message: str, folder: Path, labels: Any) -> None:
    with pytest.raises(OutputError, match=message):
        open_sink(name, labels, fps=30)
