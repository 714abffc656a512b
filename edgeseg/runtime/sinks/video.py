"""Own masks as video: frames blended with their class colours. Make no masks."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.errors import OutputError, ShapeError
from edgeseg.files import atomic_path, output_errors
from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.postprocess import Mask
from edgeseg.imaging.preprocess import Frame as Pixels
from edgeseg.packages import require
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks.base import MaskSink
from edgeseg.spec import UNSEEN, LabelSpec

__all__ = ["VIDEO_SUFFIXES", "OverlayVideo"]

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov")


class OverlayVideo(MaskSink):
    """H.264 video of frames blended with their class colours; appears under its name when it is whole.

    Args:
        path: .mp4, .mkv or .mov.
        labels: class colours.
        fps: frames a second of the video.
        alpha: weight of the colours, 0 to 1.
    """

    def __init__(self, path: Path, labels: LabelSpec, *, fps: float, alpha: float = 0.5) -> None:
        self.name = str(path)
        self._path, self._overlay = path, Overlay(labels, alpha=alpha, clear=(UNSEEN,))
        self._picture = np.empty((0, 0, 3), np.uint8)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._size_hw: tuple[int, int] | None = None
        self._av = require("av")
        self._stack = contextlib.ExitStack()
        temporary = self._stack.enter_context(atomic_path(path))
        with output_errors(path):
            self._container: Any = self._av.open(str(temporary), "w")
        self._stream: Any = None

    def write(self, frame: Frame, mask: Mask) -> None:
        if self._picture.shape != frame.bgr.shape:
            self._picture = np.empty(frame.bgr.shape, np.uint8)
        picture = _even(self._overlay.blend(frame.bgr, mask, out=self._picture))
        size_hw = (picture.shape[0], picture.shape[1])
        if self._stream is None:
            self._begin(size_hw)
        if size_hw != self._size_hw:
            raise ShapeError(
                f"frame {frame.sequence} is {size_hw} where {self._path} holds {self._size_hw}",
                "write masks to a folder",
            )
        self._mux(self._av.VideoFrame.from_ndarray(picture, format="bgr24"))

    def close(self) -> None:
        if self._container is None:
            return
        if self._stream is None:
            self.abandon()
            return
        with self._removed_on_error():
            self._mux(None)
            self._close_container()
        self._stack.close()

    def abandon(self) -> None:
        if self._container is not None:
            with contextlib.suppress(OSError):  # the trailer may not fit on a full device; the file goes anyway
                self._close_container()
        self._unwind(OutputError(f"{self._path} was abandoned"))

    def _begin(self, size_hw: tuple[int, int]) -> None:
        self._size_hw = size_hw
        self._stream = self._container.add_stream("libx264", rate=self._rate)
        self._stream.height, self._stream.width = size_hw
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": "23"}

    def _mux(self, picture: Any) -> None:
        with output_errors(self._path):
            for packet in self._stream.encode(picture):
                self._container.mux(packet)

    def _close_container(self) -> None:
        container, self._container = self._container, None
        with output_errors(self._path):
            container.close()

    @contextlib.contextmanager
    def _removed_on_error(self) -> Any:
        try:
            yield
        except BaseException as error:
            self._unwind(error)
            raise

    def _unwind(self, error: BaseException) -> None:
        with contextlib.suppress(type(error)):
            self._stack.__exit__(type(error), error, None)


def _even(picture_bgr: Pixels) -> Pixels:
    """Repeat the last row or column where a side is odd, since 4:2:0 video has even sides."""
    height, width = picture_bgr.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return picture_bgr
    return np.pad(picture_bgr, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
