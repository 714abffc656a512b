"""Own the window that shows frames with their class colours, through OpenCV. Record nothing."""

from __future__ import annotations

import os
import re
from typing import Any

from edgeseg.errors import OutputError
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks.base import MaskSink
from edgeseg.runtime.sinks.painting import Painter
from edgeseg.spec import LabelSpec

__all__ = ["Display"]

TITLE = "edgeseg"
POLL_MS = 1  # lets the window draw and take its close button


class Display(MaskSink):
    """A window with the newest picture; whoever closes it ends the display and nothing else.

    Args:
        labels: class colours.
        alpha: weight of the colours, 0 to 1.
    Raises:
        OutputError: OpenCV has no windows, or there is no screen.
    """

    name = "display"

    def __init__(self, labels: LabelSpec, *, alpha: float = 0.5) -> None:
        import cv2

        self._cv2: Any = cv2
        _check_windows(cv2.getBuildInformation())
        self._painter = Painter(labels, alpha=alpha)
        self._is_open = self._is_ended = False

    def write(self, frame: Frame, mask: Mask) -> None:
        """Opens the window at the first frame: windows belong to the thread that makes them."""
        if self._is_ended:
            return
        picture = self._painter.paint(frame, mask)
        try:
            self._show(picture)
        except self._cv2.error as error:
            raise OutputError(f"the window cannot be shown ({error.err})", "check DISPLAY, or use --serve") from error

    def close(self) -> None:
        self._is_ended = True
        if self._is_open:
            self._is_open = False
            self._cv2.destroyWindow(TITLE)

    def abandon(self) -> None:
        self.close()

    def _show(self, picture: Any) -> None:
        if not self._is_open:
            self._cv2.namedWindow(TITLE, self._cv2.WINDOW_NORMAL)
            self._is_open = True
        elif self._cv2.getWindowProperty(TITLE, self._cv2.WND_PROP_VISIBLE) < 1:  # closed by hand
            self._is_open, self._is_ended = False, True
            return
        self._cv2.imshow(TITLE, picture)
        self._cv2.waitKey(POLL_MS)


def _check_windows(build_information: str) -> None:
    """Raise where this OpenCV, told by its own build information, or this session can have no window."""
    found = re.search(r"^\s*GUI:[ \t]*(.*)$", build_information, re.MULTILINE)
    if found is None or found[1].strip() == "NONE":
        raise OutputError(
            "this OpenCV is the headless one and has no windows",
            "pip uninstall opencv-python-headless && pip install opencv-python, or use --serve and a browser",
        )
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise OutputError("there is no screen (DISPLAY is not set)", "set DISPLAY=:0, or use --serve and a browser")
