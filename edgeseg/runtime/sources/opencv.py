"""Own cameras, files and streams as OpenCV plays them. Decide no policy, drop nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from edgeseg.errors import SourceError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sources.base import DEFAULT_FPS, FrameSource

__all__ = ["OpenCvCamera"]


class OpenCvCamera(FrameSource):
    """A video file, a camera index or a stream's address, decoded by OpenCV.

    Args:
        name: what the user typed.
        target: what OpenCV opens.
        is_live: a camera or a stream.
    Raises:
        SourceError: it cannot be opened.
    """

    def __init__(self, name: str, target: str | int, *, is_live: bool) -> None:
        self.name, self.is_live = name, is_live
        self._capture = _open_capture(name, target)
        import cv2

        self.fps = _positive(self._capture.get(cv2.CAP_PROP_FPS)) or DEFAULT_FPS
        frames = _positive(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = None if is_live or frames is None else int(frames)

    def __iter__(self) -> Iterator[Frame]:
        sequence = 0
        while True:
            arrived, pixels = self._capture.read()
            if not arrived:
                break
            yield Frame(picture=pixels, sequence=sequence, arrived_s=time.perf_counter(), name=f"{sequence:06d}")
            sequence += 1
        self._check_end(sequence)

    def close(self) -> None:
        self._capture.release()


def _open_capture(name: str, target: str | int) -> Any:
    import cv2

    capture = cv2.VideoCapture(target)
    if not capture.isOpened():
        kind = f"camera {target}" if isinstance(target, int) else name
        raise SourceError(f"{kind} cannot be opened as a video", "check that it exists and that a player can play it")
    return capture


def _positive(value: float) -> float | None:
    return value if value > 0 else None
