from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg.errors import OutputError
from edgeseg.runtime.sinks import open_sink
from edgeseg.runtime.sinks.display import _check_windows

WINDOWS = "  GUI:                           GTK3\n    GTK+:                        YES (ver 3.24.33)\n"
HEADLESS = "  GUI:                           NONE\n\n  Media I/O:\n"
QT = "  GUI:                           QT5\n    QT:                          YES (ver 5.15.16 )\n"


class Windows:
    """Stands in for a screen, which these machines have not: keeps what is shown, and may be closed by hand."""

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []
        self.open: set[str] = set()

    def install(self, patch: pytest.MonkeyPatch) -> Windows:
        patch.setattr(cv2, "getBuildInformation", lambda: WINDOWS)
        patch.setattr(cv2, "namedWindow", lambda title, flags: self.open.add(title))
        patch.setattr(cv2, "getWindowProperty", lambda title, which: 1.0 if title in self.open else -1.0)
        patch.setattr(cv2, "imshow", lambda title, picture: self.shown.append(picture.copy()))
        patch.setattr(cv2, "waitKey", lambda delay: -1)
        patch.setattr(cv2, "destroyWindow", self.open.remove)
        patch.setenv("DISPLAY", ":0")
        return self


def test_the_headless_opencv_is_told_at_opening(labels: Any) -> None:
    if "NONE" not in [line.split()[-1] for line in cv2.getBuildInformation().splitlines() if "GUI:" in line]:
        pytest.skip("this OpenCV has windows")
    for name in ("display", "display://0"):
        with pytest.raises(OutputError, match=r"headless one .* pip install opencv-python, or use --serve"):
            open_sink(name, labels, fps=30)


def test_a_session_without_a_screen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for build in (WINDOWS, QT):
        with pytest.raises(OutputError, match="no screen"):
            _check_windows(build)
    with pytest.raises(OutputError, match="headless"):
        _check_windows(HEADLESS)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    _check_windows(QT)


def test_every_frame_is_shown_until_the_end(labels: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows().install(monkeypatch)
    sink = open_sink("display", labels, fps=30, alpha=1.0)
    assert windows.open == set()  # it belongs to the thread that writes
    for number in range(3):
        sink.write(*make(number))
    assert [picture.shape for picture in windows.shown] == [(32, 48, 3)] * 3
    assert windows.shown[0][2, 40].tolist() == [0, 255, 0]
    sink.close()
    sink.close()
    sink.abandon()
    assert windows.open == set()


def test_a_window_closed_by_hand_ends_the_display_alone(
    labels: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = Windows().install(monkeypatch)
    sink = open_sink("display", labels, fps=30)
    sink.write(*make(0))
    windows.open.clear()
    for number in range(1, 4):
        sink.write(*make(number))
    sink.close()
    assert len(windows.shown) == 1


def test_a_window_that_cannot_be_shown_is_an_output_error(
    labels: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Windows().install(monkeypatch)

    def refuse(*_: Any) -> None:
        error = cv2.error("Can't initialize GTK backend")
        error.err = "Can't initialize GTK backend"
        raise error

    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(OutputError, match="GTK backend"):
        open_sink("display", labels, fps=30).write(*make(0))
