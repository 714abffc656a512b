"""Own cameras as OpenCV plays them: an index. Decide no policy, drop nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from edgeseg.errors import SourceError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sources.base import DEFAULT_FPS, FrameSource

__all__ = ["OpenCvCamera"]


class OpenCvCamera(FrameSource):
    """A camera by its index, its frames as BGR.

    Args:
        name: what the user typed.
        index: OpenCV's number of the camera.
    Raises:
        SourceError: it cannot be opened.
    """

    is_live, length = True, None

    def __init__(self, name: str, index: int) -> None:
        import cv2

        self.name = name
        self._capture: Any = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise SourceError(
                f"camera {index} cannot be opened as a video", "check that it exists and that a player can play it"
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if fps > 0 else DEFAULT_FPS

    def __iter__(self) -> Iterator[Frame]:
        sequence = 0
        while True:
            arrived, pixels = self._capture.read()
            if not arrived:
                break
            yield Frame(picture=pixels, sequence=sequence, arrived_s=time.perf_counter(), name=f"{sequence:06d}")
            sequence += 1
        raise SourceError(f"{self.name} stopped after {sequence} frames", "check the camera or the stream")

    def close(self) -> None:
        self._capture.release()
