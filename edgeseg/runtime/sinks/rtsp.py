"""Own frames with class colours as an RTSP stream. The server is rtsp_child.py's, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.errors import OutputError
from edgeseg.imaging.postprocess import Mask
from edgeseg.imaging.preprocess import Frame as Pixels
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.gstreamer_process import START_S, end_process, start_process
from edgeseg.runtime.sinks.base import MaskSink
from edgeseg.runtime.sinks.painting import Painter
from edgeseg.runtime.sinks.rtsp_child import HEAD
from edgeseg.spec import LabelSpec

__all__ = ["RTSP_SCHEME", "RtspStream"]

RTSP_SCHEME = "rtsp-out://"
LOOPBACK = "127.0.0.1"
PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly gstreamer1.0-rtsp"
STALL_S, END_S = 5.0, 5.0


class RtspStream(MaskSink):
    """H.264 over RTSP to any number of clients; encodes only while there is one.

    The stream has the first frame's size; frames of another are scaled to it.

    Args:
        name: ``rtsp-out://[ADDRESS]:PORT/PATH``; without an address on loopback alone.
        labels: class colours.
        alpha: weight of the colours, 0 to 1.
    Raises:
        OutputError: GStreamer is not installed, or the port is taken.
    """

    def __init__(self, name: str, labels: LabelSpec, *, alpha: float = 0.5) -> None:
        import cv2

        self.name, self._cv2 = name, cv2
        self._painter = Painter(labels, alpha=alpha)
        self._size_wh: tuple[int, int] | None = None
        self._child: subprocess.Popen[bytes] | None = _start(name)

    def write(self, frame: Frame, mask: Mask) -> None:
        picture = self._sized(self._painter.paint(frame, mask))
        height, width = picture.shape[:2]
        planes: Pixels = np.asarray(self._cv2.cvtColor(picture, self._cv2.COLOR_BGR2YUV_I420), np.uint8)
        if self._child is None:
            raise OutputError(f"{self.name} is closed", "open another stream")
        try:
            _send(self._child, HEAD.pack(width, height, planes.size))
            _send(self._child, planes.reshape(-1).data)
        except OSError as error:
            reason = "takes no more frames" if isinstance(error, TimeoutError) else "has ended"
            raise OutputError(f"{self.name}: its server {reason}", "open the stream again") from error

    def _sized(self, picture: Pixels) -> Pixels:
        """In the first picture's size: clients and GStreamer's payloader do not follow a change in mid-stream."""
        height, width = picture.shape[:2]
        self._size_wh = self._size_wh or (width, height)
        if (width, height) == self._size_wh:
            return picture
        return np.asarray(self._cv2.resize(picture, self._size_wh, interpolation=self._cv2.INTER_AREA), np.uint8)

    def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            end_process(child, END_S)

    def abandon(self) -> None:
        self.close()


def _start(name: str) -> subprocess.Popen[bytes]:
    found = re.fullmatch(r"rtsp-out://([^:/\s]*):(\d{1,5})(/\S+)", name)
    if found is None or not 0 < int(found[2]) <= 65535:
        raise OutputError(f"{name} is no address to serve", "write rtsp-out://:8554/live")
    script, words = Path(__file__).with_name("rtsp_child.py"), (found[1] or LOOPBACK, found[2], found[3])
    child = start_process(script, *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said = _first_line(child)
    if said != "ready":
        end_process(child, END_S)
        can_serve = "cannot be listened on" in said
        raise OutputError(
            f"{name}: {said or 'its server does not start'}",
            "take another port or address" if can_serve else f"apt-get install {PACKAGES}",
        )
    os.set_blocking(_pipe(child), False)
    return child


def _first_line(child: subprocess.Popen[bytes]) -> str:
    pipe: Any = child.stdout
    readable, _, _ = select.select([pipe], [], [], START_S)
    return pipe.readline().decode("utf-8", "replace").strip() if readable else ""


def _pipe(child: subprocess.Popen[bytes]) -> int:
    pipe: Any = child.stdin
    return int(pipe.fileno())


def _send(child: subprocess.Popen[bytes], data: bytes | memoryview) -> None:
    """Write everything; TimeoutError where the other end takes nothing for a while."""
    left, pipe = memoryview(data), _pipe(child)
    deadline_s = time.monotonic() + STALL_S
    while left:
        _, writable, _ = select.select([], [pipe], [], max(deadline_s - time.monotonic(), 0.0))
        if not writable:
            raise TimeoutError("the pipe is full")
        with contextlib.suppress(BlockingIOError):
            left = left[os.write(pipe, left) :]
